"""Text from outside (names, paths, log lines, answers) made harmless for a terminal."""

from __future__ import annotations

import re
import unicodedata

from core.redaction import without_handled

_ESCAPES = re.compile(
    r"""
    \x1b \[ [0-?]* [ -/]* [@-~]?            # CSI
  | \x1b [\]PX^_] .*? (?: \x07 | \x1b\\ | \x9c | \Z )   # OSC, DCS, SOS, PM, APC, even unterminated
  | \x9b [0-?]* [ -/]* [@-~]?               # CSI as one C1 byte
  | [\x90\x98\x9d\x9e\x9f] .*? (?: \x07 | \x1b\\ | \x9c | \Z )
  | \x1b [ -/]* [0-~]?                      # other escapes
    """,
    re.VERBOSE | re.DOTALL,
)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LINE_BREAKS = frozenset("\n\u2028\u2029\x85")


def _harmless(char: str) -> bool:
    return char not in _BIDI and unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"}


def clean_line(text: str) -> str:
    """One printable line: no escape sequence, control or bidi-override character; breaks become spaces."""
    if text.isascii() and text.isprintable():
        return text
    stripped = _ESCAPES.sub("", text)
    spaced = (" " if char in _LINE_BREAKS or char == "\t" else char for char in stripped)
    return "".join(char for char in spaced if _harmless(char))


def clean_block(text: str) -> str:
    """Like `clean_line` for each line; line breaks stay, tabs become four spaces."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    stripped = _ESCAPES.sub("", text.replace("\r\n", "\n")).replace("\t", "    ")
    return "".join(char for char in stripped if char == "\n" or _harmless(char))


def said_line(text: str, limit: int = 300) -> str:
    """What a server, a host or a library said, for a message: one harmless line that repeats no key, not even cut."""
    return without_handled(clean_line(text)).strip()[:limit]


class StreamCleaner:
    """`clean_block` for text that arrives in pieces: a sequence split over two pieces is still caught."""

    _HOLD = 4096

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The harmless text so far known to be complete."""
        text = self._held + piece
        cut = self._unfinished(text)
        self._held = text[cut:]
        return clean_block(text[:cut])

    def finish(self) -> str:
        """What was held back at the end of the stream."""
        text, self._held = self._held, ""
        return clean_block(text)

    def _unfinished(self, text: str) -> int:
        starts = [match.start() for match in re.finditer(r"[\x1b\x90\x98\x9b\x9d\x9e\x9f]", text)]
        for start in starts:
            match = _ESCAPES.match(text, start)
            reaches_end = match is not None and match.end() == len(text)
            if reaches_end and len(text) - start < self._HOLD:
                return start
        return len(text)


def size(amount: int | None) -> str:
    """Bytes for people."""
    if amount is None:
        return "?"
    value, unit = float(amount), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):  # noqa: B007 - the last one is used
        if value < 1024:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def plural(count: int, word: str) -> str:
    """`1 warning`, `2 warnings`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def then(remedy: str, command: str) -> str:
    """What to do, and the command that goes on after it."""
    if not remedy:
        return command
    return f"{remedy} Then: {command}" if remedy.endswith((".", "!", "?")) else f"{remedy}, then: {command}"
