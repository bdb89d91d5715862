"""Begin a download (D4, D5): look at a source, see what it is and whether there is room, then fetch it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, Select

from core.errors import InvalidInput, ModelyardError
from core.files.kinds import pickles_told
from core.findings import Finding, Severity
from core.registry.values import LOCAL_HOST
from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.show import findings, line, pairs, plural, problem, size
from tui.widgets.fields import Choice, Field
from tui.widgets.plain import Flow, Plain, TextField

if TYPE_CHECKING:
    from textual.binding import BindingType
    from textual.worker import Worker

    from core.app import Modelyard
    from core.downloads.sources.base import Listing

_HOW = [("copy it", "copy"), ("link it, needs no more room", "link"), ("move it", "move")]
_HERE = "this machine"
_SOURCES = (
    "A repository, an Ollama or CivitAI model, a URL, or a path here.\n"
    "Nothing is fetched before Start; it goes on without this terminal."
)
_EXAMPLES = "hf:org/name, ollama:name:tag, civitai:1234, https://…"
_MOST_FILES = 20
_LABELS = 12  # cells
_GATING = ("hf:", "civitai:")
_ACCESS = {"": "free", "auto": "a token; the licence accepted on its page", "manual": "a token; let in by its authors"}


class DownloadDialog(Dialog[str | None]):
    """The id of the job that was begun, or None."""

    HEADING = "Download"
    AUTO_FOCUS = "#field-source TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "download.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(
        self,
        yard: Modelyard,
        *,
        source: str = "",
        patterns: Sequence[str] = (),
        host: str = LOCAL_HOST,
        turn: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self._turn = turn  # the first of one; the second of three that are looked at one after the other
        self._host = host  # where at first
        self._yard = yard
        self._begun = (source, ", ".join(patterns))
        self._found: Listing | None = None
        self._free = 0
        self._token = ("", "")  # the source that it was given for, and the token
        self._work: Worker[None] | None = None
        self._has_hosts = False

    def body(self) -> Iterable[Widget]:
        yield Plain(_SOURCES, classes="muted")
        with Vertical(classes="fields"):
            source, patterns = self._begun
            yield Field("source", "From *", TextField(source, placeholder=_EXAMPLES))
            yield Field("include", "Only files", TextField(patterns, placeholder="all; or *.safetensors, *.json"))
            yield Field("how", "Its files", Choice(_HOW, "copy"))
            yield Field("host", "Where", Choice([(_HERE, LOCAL_HOST)], LOCAL_HOST))
        with VerticalScroll(id="seen", classes="fields"):
            yield Flow(id="listing")
        yield Vertical(id="rest")
        with Horizontal(id="buttons"):
            yield button("Close", "close")
            yield button("Look", "look")
            yield button("Start", "start", disabled=True)

    def on_mount(self) -> None:
        if self._turn[1] > 1:
            self.query_one("#dialog").border_title = f"{self.HEADING} {self._turn[0]:,} of {self._turn[1]:,}"
        self.query_one("#field-how").display = self.query_one("#field-host").display = False
        self.modelyard.guard(self._offer_hosts(), group="hosts")
        if self._begun[0]:
            self.call_after_refresh(self.look_soon)

    async def _offer_hosts(self) -> None:
        """A host that has internet can download by itself; without hosts there is nothing to choose."""
        names = [host.name for host in await self._yard.registry.hosts() if host.kind != LOCAL_HOST]
        self._has_hosts = bool(names)
        if names:
            options = [(_HERE, LOCAL_HOST), *((f"{name}, which downloads by itself", name) for name in names)]
            choice = self.query_one("#field-host Choice", Choice)
            choice.set_options([(line(label), key) for label, key in options])
            choice.value = self._host if self._host in names else LOCAL_HOST
            self._fit()

    def _fit(self) -> None:
        """Only what there is to choose."""
        from core.downloads.sources.local import LocalSource

        is_here = LocalSource().understands(self._text("source"))
        self.query_one("#field-how").display = is_here
        self.query_one("#field-host").display = self._has_hosts and not is_here

    def on_unmount(self) -> None:
        """Looking ends with the dialog."""
        if self._work is not None:
            self._work.cancel()

    def _text(self, key: str) -> str:
        found = self.query(f"#field-{key}")
        return str(found.first(Field).value).strip() if found else ""

    @property
    def _patterns(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self._text("include").split(",") if part.strip())

    # Looking

    @on(Input.Changed, "#field-source TextField")
    @on(Input.Changed, "#field-include TextField")
    def elsewhere(self) -> None:
        """What was seen is of another source, or of other files."""
        self._fit()
        self.query_one("#field-source", Field).complain("")
        if self._found is not None:
            self._found = None
            self._show(Content())
            self.modelyard.guard(self._offer(), group="look")

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        """Enter goes on, once there is something to go on with."""
        if self._text("source"):
            self.action_submit()

    @on(Button.Pressed, "#button-look")
    def look_soon(self) -> None:
        """Ask the source."""
        if not self._text("source"):
            self.query_one("#field-source", Field).complain("Required.")
        elif not self._is_busy:
            self._say("Looking…")
            self._work = self.modelyard.guard(self._look(), group="look")

    @property
    def _is_busy(self) -> bool:
        return self._work is not None and self._work.is_running

    async def _look(self) -> None:
        try:
            found = await self._ask_source()
            free = await asyncio.to_thread(_free, self._yard.settings.models_dir)
        except InvalidInput as error:
            self._token = ("", "")
            self._say("")
            self.query_one("#field-source", Field).complain("; ".join(error.fields.values()))
        except ModelyardError as error:
            self._show_problem(error)
        else:
            self.remove_class("-problem")
            self._found, self._free = found, free
            self.query_one(Flow).flow(lambda room: _told(found, free, room))
        await self._offer()

    async def _ask_source(self) -> Listing:
        """With a token where the source wants one; that of another source is never sent."""
        from tui.modals.token import look

        source = self._text("source")
        token = self._token[1] if self._token[0] == source else ""
        found, token = await look(self.app, self._yard, source, patterns=self._patterns, token=token)
        self._token = (source, token)
        return found

    async def _offer(self) -> None:
        """The place it goes to, once that is known."""
        found, rest = self._found, self.query_one("#rest")
        await rest.remove_children()
        self.query_one("#button-start", Button).disabled = found is None
        self.set_class(found is not None, "-found")
        if found is not None:
            where = TextField(found.folder)
            await rest.mount(Field("folder", "Into folder", where))
            self.query_one("#button-start", Button).focus()

    # Starting

    @on(Button.Pressed, "#button-close")
    def close_pressed(self) -> None:
        """Close."""
        self.action_cancel()

    @on(Button.Pressed, "#button-start")
    def action_submit(self) -> None:
        """Look first; then start."""
        if self._found is None:
            self.look_soon()
        elif not self._is_busy:
            self._work = self.modelyard.guard(self._start(self._found), group="start-download")

    async def _start(self, found: Listing) -> None:
        from core.downloads.placing import How

        source, token = self._token
        try:
            is_here = found.source.startswith("local:")
            job = await self._yard.downloads.start(
                found,
                folder=self._text("folder"),
                how=How(self._text("how")) if is_here else How.COPY,
                token=token if source == self._text("source") else "",
                host=LOCAL_HOST if is_here else self._text("host"),
            )
        except InvalidInput as error:
            self.query_one("#field-folder", Field).complain("; ".join(error.fields.values()))
        except ModelyardError as error:
            self._show_problem(error)
        else:
            self.dismiss(job.id)

    @on(Select.Changed, "#field-how Choice")
    def how_changed(self) -> None:
        """Say what a move does."""
        is_move = self._text("how") == "move"
        note = "The original goes" if is_move else ""
        self.query_one("#field-how .note", Plain).show(note)

    # What is said

    def _say(self, text: str) -> None:
        self._show(line(text))

    def _show(self, text: Content) -> None:
        self.remove_class("-problem")
        self.query_one(Flow).flow(lambda _: text)

    def _show_problem(self, error: ModelyardError) -> None:
        self.add_class("-problem")
        self.query_one(Flow).flow(lambda room: problem(error, room))


def _told(found: Listing, free: int, room: int) -> Content:
    """What it is, and what stands against it."""
    files = sorted(found.files, key=lambda file: -(file.size or 0))
    names = [f"{file.path}  {size(file.size) if file.size is not None else ''}".strip() for file in files]
    more = [f"and {len(names) - _MOST_FILES:,} more"] if len(names) > _MOST_FILES else []
    rows: list[tuple[str, Content | str]] = [
        ("Title", found.title),
        ("Size", f"{_size(found)} in {plural(len(files), 'file')}; {size(free)} are free here"),
        ("Licence", found.licence or "not told"),
        ("Access", _ACCESS.get(found.gated, found.gated) if found.source.startswith(_GATING) else ""),
        ("Revision", found.revision),
        ("Files", Content("\n").join(line(name) for name in [*names[:_MOST_FILES], *more])),
    ]
    told = findings(_findings(found, free), room, width=_LABELS)
    return Content("\n").join(part for part in (told, pairs(rows, room, width=_LABELS)) if part.plain)


def _size(found: Listing) -> str:
    return "a size that is not told" if found.size is None else size(found.size)


def _findings(found: Listing, free: int) -> list[Finding]:
    told = []
    if found.size is not None and found.size > free:
        reason = f"{size(found.size)} don't fit into {size(free)}."
        told.append(Finding(severity=Severity.ERROR, check="disk", reason=reason, remedy="Make room, or link it."))
    if found.gated:
        how = "by hand, by its authors" if found.gated == "manual" else "at once, on its page"
        reason = f"Its licence has to be accepted; access is then given {how}."
        told.append(Finding(severity=Severity.WARNING, check="licence", reason=reason))
    if reason := pickles_told(file.path for file in found.files):
        told.append(Finding(severity=Severity.WARNING, check="pickle", reason=reason))
    for severity, name in ((Severity.WARNING, "warnings"), (Severity.INFO, "notes")):
        reasons = (clean_line(str(reason)) for reason in found.metadata.get(name, ()))
        told += [Finding(severity=severity, check=name, reason=reason) for reason in reasons]
    return told


def _free(folder: Path) -> int:
    """Bytes free where the folder is, or is going to be."""
    return shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists())).free
