"""Every key of the screens, in one place: the bindings, the key bar, `?`, the palette and the README come from here."""

from __future__ import annotations

from collections.abc import Mapping

from textual.binding import Binding

from tui.keys import (
    analytics,
    dialogs,
    downloads,
    everywhere,
    machines,
    models,
    records,
    talk,
)
from tui.keys.key import Group, Key

__all__ = ["GROUPS", "Group", "Key", "bindings", "keys_markdown", "keys_of"]

_PLACES = (everywhere, models, machines, downloads, records, analytics, dialogs, talk)
GROUPS: Mapping[str, Group] = {name: group for place in _PLACES for name, group in place.GROUPS.items()}


def keys_of(*groups: str) -> tuple[Key, ...]:
    """The keys of these places, in order."""
    return tuple(key for group in groups for key in GROUPS[group].keys)


_AT_ONCE = frozenset({"app", "list", "view", "models", "servers", "hosts", "heads", "downloads"})


def bindings(*groups: str) -> list[Binding]:
    """What a screen or widget declares as `BINDINGS`.

    Keys of the lists act at once (Textual's `priority`), in the order they were pressed; the screens let them pass
    to a field that is being typed in.
    """
    return [
        Binding(
            key.keys,
            key.action,
            key.label,
            show=key.weight > 0,
            id=key.id,
            tooltip=key.help,
            priority=key.priority or group in _AT_ONCE,
        )
        for group in groups
        for key in keys_of(group)
    ]


def keys_markdown() -> str:
    """The README's tables of keys."""
    return "\n\n".join(_table(group) for group in GROUPS.values())


def _table(group: Group) -> str:
    rows = [f"| `{key.shown()}` | {key.help} | {key.needs} |" for key in group.keys]
    return "\n".join([f"**{group.title}**", "", "| Key | What it does | Not when |", "| --- | --- | --- |", *rows])
