"""Keys that this program has handled, so that no error, finding or report can repeat one; imports nothing."""

from __future__ import annotations

_handled: set[str] = set()
_SHORTEST = 6  # characters: shorter values would blank out half the text
HIDDEN = "[secret]"


def remember(secret: str) -> None:
    """From now on this value is blanked out wherever `without_handled` is asked."""
    if len(secret) >= _SHORTEST:
        _handled.add(secret)


def without_handled(text: str) -> str:
    """The text without the keys that were read or set since the program started."""
    for secret in sorted(_handled, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
