"""TOML read with its line numbers, which the standard library's reader does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

from core.catalog.reader import DEEPEST, MOST_VALUES, Marked, Unreadable
from core.catalog.values import Problem

_MOST_DOTS = 1000  # in one line: keys of very many parts take the reader ages
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*+")
_KEY = re.compile(r"""[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'""")
_STRING = re.compile(r'''"""(?:\\.|[^\\])*?"{3,5}|'\'\'.*?'{3,5}|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+\'''', re.DOTALL)
_PLAIN = re.compile(r"[^,\]}\n#]*+")
Path = tuple[str | int, ...]


def read_toml(text: str, file: str) -> Marked:
    """The document; a value that has no line of its own has that of what it stands in.

    Raises:
        Unreadable: it is no TOML, or larger or deeper than a catalog may be.
    """
    crowded = next((n for n, line in enumerate(text.split("\n"), 1) if line.count(".") > _MOST_DOTS), 0)
    if crowded:
        raise _fault(file, crowded, "Holds too many dots.")
    try:
        values = tomllib.loads(text)
        lines = _Lines(text.replace("\r\n", "\n")).found()
    except tomllib.TOMLDecodeError as error:
        raise _told(error, text, file) from error
    except RecursionError as error:
        raise _fault(file, 0, "Is nested too deeply.") from error
    except ValueError as error:  # a number of more digits than Python reads
        raise _fault(file, 0, f"Is not TOML: {error}.") from error
    return _Marking(file, lines).marked(values, (), 1)


def _told(error: Exception, text: str, file: str) -> Unreadable:
    place = _PLACE.search(str(error))
    line = int(place[1]) if place and place[1] else text.rstrip("\n").count("\n") + 1
    return _fault(file, line, f"Is not TOML: {_PLACE.sub('', str(error))}.")


def _fault(file: str, line: int, message: str) -> Unreadable:
    return Unreadable(Problem(file=file, line=line, message=message))


class _Lines:
    """One way through a text that is known to be TOML: on which line each value begins."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._lines: dict[Path, int] = {}
        self._counts: dict[tuple[str, ...], int] = {}  # of the tables that an array of tables has so far

    def found(self) -> dict[Path, int]:
        """By the keys and numbers that lead to it."""
        table: Path = ()
        while self._begins():
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table, len(table))
        return self._lines

    def _begins(self) -> bool:
        self._skip(_GAP)
        return self._at < len(self._text)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at + 1
        return found[0] if found else ""

    def _mark(self, path: Path) -> None:
        self._lines.setdefault(path, bisect_right(self._ends, self._at - 1) + 1)

    def _header(self) -> Path:
        many = self._text.startswith("[[", self._at)
        start = self._at
        self._at += 2 if many else 1
        keys = self._keys()
        if many:
            self._counts[keys] = self._counts.get(keys, 0) + 1
        path = self._resolved(keys)
        self._at, end = start, self._at
        self._mark(path)
        self._at = end + (2 if many else 1)
        return path

    def _resolved(self, keys: tuple[str, ...]) -> Path:
        """With the numbers of the tables that are the newest of their arrays."""
        path: Path = ()
        for end, key in enumerate(keys, 1):
            count = self._counts.get(keys[:end])
            path = (*path, key) if count is None else (*path, key, count - 1)
        return path

    def _keys(self) -> tuple[str, ...]:
        keys = []
        while True:
            self._skip(_GAP)
            keys.append(_key(self._skip(_KEY)))
            self._skip(_GAP)
            if not self._text.startswith(".", self._at):
                return tuple(keys)
            self._at += 1

    def _pair(self, table: Path, depth: int) -> None:
        start = self._at
        keys = self._keys()
        self._at, end = start, self._at
        for count in range(1, len(keys) + 1):
            self._mark((*table, *keys[:count]))
        self._at = end + 1  # the equals sign
        self._skip(_GAP)
        self._value((*table, *keys), depth + 1)

    def _value(self, path: Path, depth: int) -> None:
        self._mark(path)
        opening = self._text[self._at : self._at + 1]
        if depth > DEEPEST:
            raise RecursionError
        if opening in {"[", "{"}:
            self._at += 1
            for number in self._items("]" if opening == "[" else "}"):
                if opening == "[":
                    self._value((*path, number), depth + 1)
                else:
                    self._pair(path, depth + 1)
        else:
            self._skip(_STRING if opening in {'"', "'"} else _PLAIN)

    def _items(self, closing: str) -> Iterator[int]:
        """At the beginning of each; what stands between them is passed over."""
        number = 0
        while True:
            self._skip(_GAP)
            if self._text.startswith(",", self._at):
                self._at += 1
            elif self._text.startswith(closing, self._at) or self._at >= len(self._text):
                self._at += 1
                return
            else:
                yield number
                number += 1


def _key(text: str) -> str:
    if text.startswith('"') and "\\" in text:
        return str(tomllib.loads(f"k = {text}")["k"])
    return text[1:-1] if text[:1] in {'"', "'"} else text


class _Marking:
    """The values with their lines, counted and no deeper than they may be."""

    def __init__(self, file: str, lines: dict[Path, int]) -> None:
        self._file = file
        self._lines = lines
        self._left = MOST_VALUES

    def marked(self, value: Any, path: Path, above: int) -> Marked:  # noqa: ANN401 - any value of TOML
        line = self._lines.get(path, above)
        self._left -= 1
        if self._left < 0 or len(path) > DEEPEST:
            raise _fault(self._file, line, "Holds too many values, or they are nested too deeply.")
        if isinstance(value, dict):
            return Marked({key: self.marked(inner, (*path, key), line) for key, inner in value.items()}, line)
        if isinstance(value, list):
            return Marked([self.marked(inner, (*path, n), line) for n, inner in enumerate(value)], line)
        return Marked(value.isoformat() if isinstance(value, date | datetime | time) else value, line)
