"""What a key is: what it does, how it is shown, when it can't be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Key:
    """One binding: `keys` as Textual writes them, `label` for the key bar, `needs` when it may be disabled.

    `id` names it in the configuration's `[keymap]`; `weight` says which labels go first when the bar is short
    of room (0: never in the bar).
    """

    id: str
    keys: str
    action: str
    label: str
    help: str
    needs: str = ""
    weight: int = 5
    priority: bool = False

    def shown(self, keymap: Mapping[str, str] | None = None) -> str:
        """The keys as a person reads them, such as `ctrl+p` or `↑ k`."""
        keys = (keymap or {}).get(self.id, self.keys)
        return " ".join(_NAMES.get(key.strip(), key.strip()) for key in keys.split(","))


@dataclass(frozen=True, kw_only=True)
class Group:
    """The keys of one place."""

    title: str
    keys: tuple[Key, ...]


_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "asterisk": "*",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "number_sign": "#",
    "backspace": "Backspace",
    "right_square_bracket": "]",
    "left_square_bracket": "[",
    "shift+down": "Shift+↓",
    "shift+up": "Shift+↑",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "enter": "Enter",
    "escape": "Esc",
    "space": "Space",
    "tab": "Tab",
    "shift+tab": "Shift+Tab",
    "G": "G",
}
