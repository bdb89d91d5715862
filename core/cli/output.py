"""Owns standard output: data for scripts as JSON, tables and records for people; nothing else writes there."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from core.text import clean_block, clean_line
from core.text import size as size  # noqa: PLC0414 - what commands show amounts by

_COLOURS = {
    "running": "32",
    "ok": "32",
    "yes": "32",
    "starting": "33",
    "loading": "33",
    "stopping": "33",
    "warning": "33",
    "failed": "31",
    "error": "31",
    "unreachable": "31",
}
_EMPTY = "-"


class Output:
    """One command's output; `json` says which of the two kinds of reader there is."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self._colours = not json and sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def document(self, data: object) -> None:
        """The one JSON document of a command; ASCII only, so no byte of it can steer a terminal."""
        self._write(json.dumps(data, indent=2, default=str) + "\n")

    def event(self, data: object) -> None:
        """One line of NDJSON."""
        self._write(json.dumps(data, default=str) + "\n")

    def line(self, text: str) -> None:
        """One harmless line for people."""
        self._write(clean_line(text) + "\n")

    def block(self, text: str) -> None:
        """Harmless lines for people."""
        self._write(clean_block(text).rstrip("\n") + "\n")

    def piece(self, cleaned: str) -> None:
        """A part of a line that a `StreamCleaner` has made harmless."""
        self._write(cleaned)

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Aligned columns, the last one ragged; empty cells show as a dash."""
        cells = [[_cell(value) for value in row] for row in rows]
        widths = [max((width(row[i]) for row in (headers, *cells)), default=0) for i in range(len(headers))]
        lines = [self._bold(_aligned(headers, widths, [None] * len(headers)))]
        lines += [_aligned(row, widths, [self._colour(cell) for cell in row]) for row in cells]
        self._write("".join(f"{line}\n" for line in lines))

    def record(self, pairs: Mapping[str, object]) -> None:
        """One record, a field to a line; empty fields are left out."""
        shown = {name: _cell(value) for name, value in pairs.items() if value not in (None, "", [], {}, ())}
        column = max(map(len, shown), default=0)
        for name, cell in shown.items():
            self._write(f"{name.ljust(column)}  {self._coloured(cell)}\n")

    def changed(self, document: Mapping[str, object], said: str) -> None:
        """What a change made of a record: scripts get the record, people the sentence."""
        if self.json:
            self.document(document)
        else:
            self.line(said)

    def _colour(self, cell: str) -> str | None:
        return _COLOURS.get(cell) if self._colours else None

    def _coloured(self, cell: str) -> str:
        colour = self._colour(cell)
        return f"\x1b[{colour}m{cell}\x1b[0m" if colour else cell

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._colours else text

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def width(text: str) -> int:
    """Cells that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def duration(seconds: float | None) -> str:
    """Seconds for people: `45s`, `3m 20s`, `2h 5m`, `4d 3h`."""
    if seconds is None:
        return ""
    whole = int(seconds)
    for step, big, small in ((86400, "d", "h"), (3600, "h", "m"), (60, "m", "s")):
        if whole >= step:
            rest = whole % step // {"h": 3600, "m": 60, "s": 1}[small]
            return f"{whole // step}{big} {rest}{small}"
    return f"{whole}s"


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cell(value: object) -> str:
    if value is None or value == "":
        return _EMPTY
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return clean_line(", ".join(str(item) for item in value)) or _EMPTY
    if isinstance(value, Mapping):
        return clean_line(json.dumps(value, default=str, ensure_ascii=False))
    return clean_line(str(value)) or _EMPTY


def _aligned(row: Sequence[str], widths: Sequence[int], colours: Sequence[str | None]) -> str:
    parts = []
    for cell, column, colour in zip(row, widths, colours, strict=True):
        painted = f"\x1b[{colour}m{cell}\x1b[0m" if colour else cell
        parts.append(painted + " " * (column - width(cell)))
    return "  ".join(parts).rstrip()
