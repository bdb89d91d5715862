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
from tui.widgets.plain import Plain

_KEY_WIDTH = 12


class HelpDialog(Dialog[None]):
    """Scroll with the arrow keys; Escape closes."""

    HEADING = "Keys"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]
    AUTO_FOCUS = "#help"

    def body(self) -> Iterable[Widget]:
        with VerticalScroll(id="help", classes="fields"):
            yield Plain(Content("\n\n").join(self._group(GROUPS[name]) for name in self._order()), id="help-text")

    def _order(self) -> list[str]:
        place = str(getattr(self.app.screen_stack[-2], "PLACE", "")) if len(self.app.screen_stack) > 1 else ""
        first = [name for name in (place, "view", "list", "app") if name in GROUPS]
        return [*first, *(name for name in GROUPS if name not in first)]

    def _group(self, group: Group) -> Content:
        lines = [Content.styled(group.title, "bold $text-primary")]
        for key in group.keys:
            shown = key.shown(self.modelyard.keymap).ljust(_KEY_WIDTH)
            lines.append(Content.assemble(("  " + shown, "bold"), key.help))
            if key.needs:
                lines.append(Content.styled(" " * (_KEY_WIDTH + 2) + f"not when {key.needs}", "$quiet"))
        return Content("\n").join(lines)

    def action_submit(self) -> None:
        """Seen."""
        self.dismiss(None)
