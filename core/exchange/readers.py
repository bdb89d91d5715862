"""Files of records, item by item: JSON, TOML and CSV here, YAML in a reader of its own; nothing in them is trusted."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any, NoReturn

from core.errors import UsageError
from core.exchange.values import LARGEST, LIST_NAMES, Format, Item, unreadable
from core.exchange.yaml_reader import read_yaml

_SPACE = re.compile(r"[ \t\r\n]*")
_BOMS = (b"\xff\xfe", b"\xfe\xff")


def load(path: str, known: Format | None) -> tuple[bytes, Format]:
    """A regular file's bytes, and its format.

    Raises:
        UsageError: it can't be read, is too large, or its format is not told.
    """
    form = known or Format.of(path)
    if form is None:
        raise UsageError(f"{path}: the format is not told by the name.", remedy="Say --format json, yaml, toml or csv.")
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe would make everyone wait
            raise unreadable(path, "it is no file", remedy="Give a file; - reads standard input.")
        with Path(path).open("rb") as file:
            return check_size(file.read(LARGEST[form] + 1), path, form), form
    except OSError as error:
        raise unreadable(path, error.strerror or str(error), remedy="Correct the path, or its rights.") from error


def check_size(data: bytes, source: str, form: Format) -> bytes:
    """The same bytes.

    Raises:
        UsageError: there are too many.
    """
    if len(data) > LARGEST[form]:
        most = LARGEST[form] >> 20
        raise unreadable(source, f"it is larger than {most} MiB", remedy="Split it, or use CSV or JSON.")
    return data


def read(data: bytes, form: Format, source: str) -> Iterator[Item]:
    """What stands in the document, in order.

    Raises:
        UsageError: it is not of this format; the message names the line.
    """
    return _READERS[form](_text(data, source), source)


def _text(data: bytes, source: str) -> str:
    try:
        if data.startswith(_BOMS):
            raise unreadable(source, "it is UTF-16", remedy="Save it as UTF-8.")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise unreadable(source, "it is not UTF-8", line=line, remedy="Save it as UTF-8.") from error


class _Json:
    """A JSON document, whose lists of records are read one record at a time."""

    def __init__(self, text: str, source: str) -> None:
        self._text, self._source = text, source
        self._at = 0
        self._line, self._counted = 1, 0
        self._decode = json.JSONDecoder(parse_constant=self._constant, object_pairs_hook=self._object).raw_decode

    def items(self) -> Iterator[Item]:
        first = self._next()
        if first == "[":
            yield from self._list("models")
        elif first == "{":
            yield from self._members()
        else:
            self._fail("it holds no records")
        if self._next():
            self._fail("there is more after the end")

    def _members(self) -> Iterator[Item]:
        self._at += 1
        while self._next() != "}":
            key = self._value() if self._next() == '"' else self._fail("a name in quotes is expected")
            self._expect(":")
            line = self._line_now()
            if key in LIST_NAMES and self._next() == "[":
                yield from self._list(key)
            else:
                yield Item(kind="", key=key, value=self._value(), line=line)
            if self._next() != "}":
                self._expect(",")
        self._at += 1

    def _list(self, key: str) -> Iterator[Item]:
        self._at += 1
        while self._next() != "]":
            line = self._line_now()
            yield Item(kind=LIST_NAMES[key], key=key, value=self._value(), line=line)
            if self._next() != "]":
                self._expect(",")
        self._at += 1

    def _next(self) -> str:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._text[self._at : self._at + 1]

    def _expect(self, char: str) -> None:
        if self._next() != char:
            self._fail(f"{char} is expected")
        self._at += 1

    def _value(self) -> Any:  # noqa: ANN401 - JSON
        self._next()
        try:
            value, self._at = self._decode(self._text, self._at)
        except json.JSONDecodeError as error:
            self._at = min(error.pos, len(self._text))
            self._fail(f"no JSON: {error.msg}")
        except (ValueError, RecursionError) as error:
            self._fail("it is nested too deeply" if isinstance(error, RecursionError) else str(error))
        return value

    def _line_now(self) -> int:
        self._next()
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _fail(self, reason: str) -> NoReturn:
        line = self._text.count("\n", 0, self._at) + 1
        raise unreadable(self._source, reason, line=line)

    def _constant(self, name: str) -> NoReturn:
        raise ValueError(f"JSON knows no {name}")

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a name is there twice in one object")
        return made


def _json(text: str, source: str) -> Iterator[Item]:
    return _Json(text, source).items()


def _toml(text: str, source: str) -> Iterator[Item]:
    import tomllib

    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise unreadable(source, "it is nested too deeply") from error
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise unreadable(source, f"no TOML: {error}") from error
    for key, value in document.items():
        if key in LIST_NAMES and isinstance(value, list):
            lines = _header_lines(text, key)
            known = len(lines) == len(value)
            for number, one in enumerate(value):
                yield Item(kind=LIST_NAMES[key], key=key, value=_plain(one), line=lines[number] if known else None)
        else:
            yield Item(kind="", key=key, value=_plain(value))


def _header_lines(text: str, key: str) -> list[int]:
    """Where the tables of a list begin; a value of several lines can fool this, and then the count differs."""
    header = re.compile(rf"\s*\[\[\s*{key}\s*\]\]")
    return [number for number, line in enumerate(text.split("\n"), 1) if header.match(line)]


def _plain(value: Any) -> Any:  # noqa: ANN401 - TOML
    """Times as text, like in the other formats."""
    if isinstance(value, date | time):
        return value.isoformat()
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _csv(text: str, source: str) -> Iterator[Item]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        kind = _kind_of(header)
        if not kind:
            raise unreadable(source, "its first row does not name the fields", line=1, remedy=_CSV_REMEDY)
        if len(set(header)) != len(header):
            raise unreadable(source, "a field is named twice", line=1)
        line = rows.line_num + 1
        for row in rows:
            if row:
                yield Item(kind=kind, key=kind, value=_row(header, row), line=line)
            line = rows.line_num + 1
    except csv.Error as error:
        raise unreadable(source, f"no CSV: {error}", line=rows.line_num) from error


_CSV_REMEDY = "Begin with a row such as: name,provider,model_id"


def _kind_of(header: list[str]) -> str:
    names = set(header)
    if {"name", "provider"} <= names:
        return "model"
    if {"name", "url"} <= names:
        return "head"
    return "region" if {"code", "name"} <= names else ""


def _row(header: list[str], row: list[str]) -> dict[str, object] | None:
    """None when the row has not as many cells as the header; the last ones may be missing."""
    return None if len(row) > len(header) else dict(zip(header, row, strict=False))


_READERS: Mapping[Format, Callable[[str, str], Iterator[Item]]] = {
    Format.JSON: _json,
    Format.YAML: read_yaml,
    Format.TOML: _toml,
    Format.CSV: _csv,
}
