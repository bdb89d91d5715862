"""All keys, from the registry of keys; those of the screen below come first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget

from tui.keys import GROUPS, Group, bindings
from tui.modals.dialog import Dialog
from tui.show import hanging, toned
from tui.widgets.plain import Flow

_KEY_WIDTH = 12


class HelpDialog(Dialog[None]):
    """Scroll with the arrow keys; Escape closes."""

    HEADING = "Keys"
    KEYS = ("read",)
    CSS_PATH: ClassVar = ["dialog.tcss", "help.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("read")]
    AUTO_FOCUS = "#help"

    def body(self) -> Iterable[Widget]:
        with VerticalScroll(id="help", classes="fields"):
            yield Flow(id="help-text")

    def on_mount(self) -> None:
        self.query_one(Flow).flow(self._text)

    def _text(self, room: int) -> Content:
        return Content("\n\n").join(self._group(GROUPS[name], room) for name in self._order())

    def _order(self) -> list[str]:
        place = str(getattr(self.app.screen_stack[-2], "PLACE", "")) if len(self.app.screen_stack) > 1 else ""
        first = [name for name in (place, "view", "list", "app") if name in GROUPS]
        return [*first, *(name for name in GROUPS if name not in first)]

    def _group(self, group: Group, room: int) -> Content:
        lines = [Content.styled(group.title, "bold $text-primary")]
        for key in group.keys:
            shown = key.shown(self.modelyard.keymap).ljust(_KEY_WIDTH)
            lines.append(hanging(Content.styled("  " + shown, "bold"), Content(key.help), room))
            if key.needs:
                indent = Content(" " * (_KEY_WIDTH + 2))
                lines.append(hanging(indent, toned(f"not when {key.needs}", "dim"), room))
        return Content("\n").join(lines)
