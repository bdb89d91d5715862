"""Text as someone would write it who wants more from a terminal than letters: control sequences and markup."""

from __future__ import annotations

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
SEQUENCES = {
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil\x1b\\\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;b3duZWQ=\x07",
    "clear": "\x1b[2J\x1b[H",
    "report": "\x1b[6n\x1b[c",
    "device control": "\x1bPq#0;2;0;0;0\x1b\\",
    "application": "\x1b_Gf=100;AAAA\x1b\\",
    "C1": "\x9b2J\x9d0;owned\x9c\x90q\x9c",
    "bidi": BIDI,
    "bell": "\x07\x08\x7f",
}
MARKUP = ("[/b]", "[TODO]", "[@click=app.quit]a[/]")
EVERYTHING = {
    "sequences": "".join(f"a{sequence}" for sequence in SEQUENCES.values()),
    "unterminated": "ab\x1b]0;never ends",  # swallows what follows
    "markup": " ".join(MARKUP),
}
