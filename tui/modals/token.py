"""A token for a download (D11): typed hidden, held in memory, kept only when that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input

from core.errors import DownloadDenied, InvalidInput, NotFound
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.show import line, pairs, plural, problem, size
from tui.widgets.fields import Field, Toggle
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from textual.app import App
    from textual.binding import BindingType

    from core.app import Modelyard
    from core.downloads.sources.base import Listing

_ROOM = 68  # cells
_EITHER: list[tuple[str, Content | str]] = [
    ("Misspelled?", "Esc goes back to what was typed."),
    ("Private?", "Give a token that may read it."),
]
_HELD = "Held in memory until the download is over, unless kept.\nIt goes to this source alone."


@dataclass(frozen=True)
class Given:
    """A token, and whether it is to be kept for other downloads; never shown."""

    token: str
    keep: bool = False

    def __repr__(self) -> str:
        return "Given(…)"


async def look(
    app: App[Any], yard: Modelyard, source: str, *, patterns: Sequence[str] = (), token: str = ""
) -> tuple[Listing, str]:
    """What a source offers, and the token that it took; asks for one, and again, as long as the source wants one.

    The source may be an id of the catalog.

    Raises:
        DownloadDenied: nobody gave one. What `DownloadService.look` raises.
    """
    from core.downloads.sources import source_for

    source, patterns = await _resolved(yard, source, patterns)
    key, given = source_for(source).key, Given(token)
    while True:
        try:
            listing = await yard.downloads.look(source, patterns=patterns, token=given.token)
        except DownloadDenied as error:
            answer = await app.push_screen_wait(TokenDialog(source, error, key=key))
            if answer is None:
                raise
            given = answer
        else:
            if given.keep and key:
                await yard.keys.set(key, given.token)
            return listing, given.token


async def _resolved(yard: Modelyard, source: str, patterns: Sequence[str]) -> tuple[str, Sequence[str]]:
    """What an id of the catalog stands for; the files that were named go before the catalog's.

    Raises:
        InvalidInput: it can only be an id, and there is none such.
    """
    try:
        offer = await yard.catalog.weights_called(source)
    except NotFound as error:
        raise InvalidInput({"source": f"{error.message} {error.remedy}"}) from error
    return (offer.source, patterns or offer.patterns) if offer is not None else (source, patterns)


class TokenDialog(Dialog[Given | None]):
    """What was given, or None; without a `key` to keep it under, that is not offered."""

    HEADING = "Token"
    AUTO_FOCUS = "#field-token TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "download.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, source: str, error: DownloadDenied, *, key: str = "") -> None:
        super().__init__()
        self._source = source
        self._error = error
        self._key = key

    def body(self) -> Iterable[Widget]:
        error = self._error
        if error.may_be_absent:
            yield Plain(line(error.message), classes="lead")
            yield Plain(pairs(_EITHER, _ROOM, width=14))
        else:
            yield Plain(line(self._source), classes="lead")
            if told := _told(error.offered):
                yield Plain(line(told))
                error = DownloadDenied(error.message, remedy=error.remedy)  # the cause would say it once more
            yield Plain(problem(error, _ROOM))
        with Vertical(classes="fields"):
            yield Field("token", "Token *", TextField(password=True), hint="Never shown")
            if self._key:
                yield Field("keep", "Keep it", Toggle(False), hint=f"as the key {self._key}")
        yield Plain(_HELD, classes="muted")
        with Horizontal(id="buttons"):
            yield button("Cancel", "cancel")
            yield button("Go on", "go")

    @on(Button.Pressed, "#button-cancel")
    def cancel_pressed(self) -> None:
        """Close."""
        self.action_cancel()

    @on(Input.Submitted)
    @on(Button.Pressed, "#button-go")
    def action_submit(self) -> None:
        """Take it."""
        field = self.query_one("#field-token", Field)
        token = field.query_one(TextField).value.strip()
        if token:
            self.dismiss(Given(token, keep=any(toggle.value for toggle in self.query(Toggle))))
        else:
            field.complain("Required.")


def _told(offered: object) -> str:
    """What the token is for, where the source tells it without one."""
    from core.downloads.sources.base import Listing

    if not isinstance(offered, Listing):
        return ""
    amount = "size not told" if offered.size is None else size(offered.size)
    return f"{amount} in {plural(len(offered.files), 'file')}; licence: {offered.licence or 'not told'}"
