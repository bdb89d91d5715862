"""The first and the last line of every screen: where one is, and which keys lead on."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from tui.keys import GROUPS, Key
from tui.widgets.plain import Plain

_PLACES = tuple(key for key in GROUPS["app"].keys if key.action.startswith("go("))


class Header(Horizontal):
    """The program's name, the screens with their keys, and on the right what goes on."""

    def __init__(self, place: str) -> None:
        super().__init__(id="header")
        self._place = place
        self._activity = Content()

    def compose(self) -> ComposeResult:
        yield Static(" Modelyard", id="brand", markup=False)
        for key in _PLACES:
            here = key.label.lower() == self._place
            yield Tab(key, classes="tab here" if here else "tab")
        yield Plain(id="activity")

    def say(self, text: Content | str) -> None:
        """What goes on, on the right."""
        self._activity = text if isinstance(text, Content) else Content(text)
        self.call_after_refresh(self._fit)

    def on_resize(self) -> None:
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        """Marks and counts alone where the words have no room."""
        shown = self.query_one("#activity", Plain)
        if self._activity.cell_length > shown.content_size.width:
            parts = self._activity.split("  ")
            shown.show(Content("  ").join(part[: len(" ".join(part.plain.split(" ")[:2]))] for part in parts))
        else:
            shown.show(self._activity)


class Tab(Static):
    """A screen's key and name; a click goes there."""

    def __init__(self, key: Key, *, classes: str) -> None:
        super().__init__(f" {key.keys} {key.label}", classes=classes, markup=False)
        self._key = key

    async def on_click(self) -> None:
        """As its key."""
        await self.run_action(f"app.{self._key.action}")


class KeyBar(Widget):
    """The keys that lead on from here, the most useful ones first; those that can't be used now are dimmed."""

    def __init__(self, *groups: str) -> None:
        super().__init__(id="keys")
        self._groups = groups
        self._shown = Content()
        self._room = 0

    def on_mount(self) -> None:
        self.renew()

    def on_resize(self, event: events.Resize) -> None:
        self._room = event.size.width - 1
        self.renew()

    def renew(self) -> None:
        """Look again at what can be done now."""
        content = self._content()
        if not content.is_same(self._shown) or content.spans != self._shown.spans:
            self._shown = content
            self.refresh()

    def render(self) -> Content:
        return self._shown

    def _content(self) -> Content:
        hides: Callable[[str], bool] = getattr(self.screen, "hides", lambda _: False)
        keys = [key for group in self._groups for key in GROUPS[group].keys if key.weight and not hides(key.id)]
        room, chosen = self._room, set[str]()
        for key in sorted(keys, key=lambda key: -key.weight):
            room -= self._part(key).cell_length + 2
            if room >= 0:
                chosen.add(key.id)
        return Content("  ").join([Content(), *(self._part(key) for key in keys if key.id in chosen)]).simplify()

    def _part(self, key: Key) -> Content:
        shown = key.shown(getattr(self.app, "keymap", None)).split(" ")[0]
        disabled = bool(self._why_not(key))
        key_style, label_style = ("$quiet", "$faint") if disabled else ("bold $text-primary", "$foreground")
        part = Content.assemble((shown, key_style), (f" {self._label(key)}", label_style))
        scope = "app" if key.id.startswith("app.") else "screen"
        return part.stylize(Style.from_meta({"does": f"{scope}.{key.action}"}))

    def _label(self, key: Key) -> str:
        label_of: Callable[[Key], str] | None = getattr(self.screen, "label_of", None)
        return key.label if label_of is None else label_of(key)

    async def on_click(self, event: events.Click) -> None:
        """A click on a label is its key."""
        action = event.style.meta.get("does")
        if action:
            await self.run_action(action)

    def _why_not(self, key: Key) -> str:
        why_not = getattr(self.screen, "why_not", None)
        return str(why_not(key.id)) if why_not is not None else ""
