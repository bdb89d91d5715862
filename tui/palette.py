"""The palette's entries: every action of the screen below, from the registry of keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.widgets import Input

from tui.keys import GROUPS, Key

_ON_LISTS = ("view", "app")


class Palette(CommandPalette):
    """Textual's, with a cursor that stands still."""

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False


class Actions(Provider):
    """Actions of the screen that the palette was opened on, then the themes' switch."""

    def _entries(self) -> list[tuple[str, str, Callable[[], object]]]:
        place = str(getattr(self.screen, "PLACE", ""))
        groups = [place, *_ON_LISTS] if place in GROUPS else ["app"]
        keys = [key for group in groups for key in GROUPS[group].keys if key.id != "app.palette"]
        entries = [(f"{key.label}", self._help(key), partial(self._run, key)) for key in keys]
        return [*entries, ("Theme", "Change the colours, or take the terminal's own", self.app.action_change_theme)]

    def _help(self, key: Key) -> str:
        keymap: dict[str, str] = getattr(self.app, "keymap", {})
        return f"{key.help} ({key.shown(keymap)})"

    async def _run(self, key: Key) -> None:
        target = self.app if key.id.startswith("app.") else self.screen
        await self.app.run_action(key.action, target)

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for label, text, run in self._entries():
            yield DiscoveryHit(Content(label), run, text=label, help=_literal(text))

    async def search(self, query: str) -> Hits:
        """Those whose name or explanation matches."""
        matcher = self.matcher(query)
        for label, text, run in self._entries():
            score = max(matcher.match(label), matcher.match(text) * 0.8)
            if score > 0:
                yield Hit(score, matcher.highlight(label), run, text=label, help=_literal(text))


def _literal(text: str) -> str:
    return text.replace("[", r"\[")
