"""The views of the Downloads screen: what is installed and what is fetched, their lines and why an action can't be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from textual.content import Content

from core.registry.naming import is_hugging_face_id
from core.registry.values import DEPLOYABLE
from tui.screens import download_cards
from tui.screens.download_cards import FileRow, Outcome, job_mark, left, place_mark, share
from tui.screens.head_views import Snapshot
from tui.show import size
from tui.widgets.columns import Cell, Column

if TYPE_CHECKING:
    from core.catalog.values import Entry
    from core.files.service import Usage
    from core.registry.jobs import Job
    from tui.widgets.paged_list import PagedList

_OVER = frozenset({"done", "failed", "cancelled"})
_CATALOG_FACTS = (
    ("Family", "family"),
    ("Licence", "licence"),
    ("Parameters", "parameters"),
    ("Released", "released"),
    ("Notes", "notes"),
)
_NO_ROW = "Nothing is selected."


@dataclass(frozen=True)
class Offer:
    """An entry of the catalog that can be fetched; size in bytes, None where the catalog does not tell it."""

    entry: Entry
    repository: str
    size: int | None

    @property
    def source(self) -> str:
        """As the dialog takes it."""
        return f"hf:{self.repository}"

    @property
    def patterns(self) -> tuple[str, ...]:
        """The files that the catalog names, or none: all of them."""
        return tuple(str(file["name"]) for file in self.entry.values.get("files", ()))


def offers(entries: Iterable[Entry]) -> list[Offer]:
    """Those of open weights whose files or size the catalog tells, by name."""
    found = [offer for entry in entries if (offer := _offer(entry)) is not None]
    return sorted(found, key=lambda offer: str(offer.entry.values["name"]).casefold())


def _offer(entry: Entry) -> Offer | None:
    values = entry.values
    repository = str(values.get("hugging_face_id") or values["model_id"])
    files = values.get("files", ())
    if values["provider"] not in DEPLOYABLE or not (files or "size" in values) or not is_hugging_face_id(repository):
        return None
    sizes = [file.get("size") for file in files]
    return Offer(entry, repository, values.get("size") or (None if None in sizes else sum(sizes)))


@dataclass(frozen=True)
class Known:
    """What was read last, and what was found by verifying since the program was started."""

    jobs: Sequence[Job] = ()
    files: Sequence[FileRow] = ()
    catalog: Sequence[Offer] = ()
    usage: Usage | None = None
    checked: Mapping[str, Outcome] = field(default_factory=dict)


class DownloadsView:
    """One kind of line; `known` is the screen's."""

    NOUN: ClassVar[str] = ""
    EMPTY: ClassVar[str] = ""
    ACTIONS: ClassVar[frozenset[str]] = frozenset()

    def make_list(self, known: Callable[[], Known]) -> PagedList[Any]:
        """A list over rows that the screen puts into it."""
        raise NotImplementedError

    def rows(self, known: Known) -> Sequence[Any]:
        """All of them."""
        raise NotImplementedError

    def text(self, row: Any) -> str:  # noqa: ANN401 - a row of this view
        """What a search looks at."""
        raise NotImplementedError

    def group(self, row: Any) -> str:  # noqa: ANN401 - the same
        """What the filter chooses by."""
        raise NotImplementedError

    def card(self, row: Any, known: Known, room: int) -> Content:  # noqa: ANN401 - the same
        """The details of a row."""
        raise NotImplementedError

    def why_not(self, action: str, row: Any, known: Known) -> str:  # noqa: ANN401 - the same
        """Why an action of this view can't be done; "" when it can."""
        raise NotImplementedError


class JobList(Snapshot):
    """By priority, then the oldest first."""

    COLUMNS = (
        Column("TITLE", 14, weight=4, most=60),
        Column("STATE", 11),
        Column("DONE", 11),
        Column("SIZE", 8, right=True),
        Column("SPEED", 10, right=True),
        Column("LEFT", 7, right=True),
    )

    def row_id(self, row: Job) -> str:
        return row.id

    def cells(self, row: Job) -> tuple[Cell, ...]:
        mark = job_mark(row)
        return (
            Cell(row.title),
            Cell(mark.text, mark.tone),
            Cell(share(row.bytes_done, row.bytes_total), "dim" if row.state in _OVER else ""),
            Cell(size(row.bytes_total), "dim"),
            Cell(f"{size(round(row.rate))}/s" if row.rate else "-", "" if row.rate else "dim"),
            Cell(left(row.eta_s), "" if row.eta_s is not None else "dim"),
        )


class FileList(Snapshot):
    """By path; files that the folder's record does not tell of among them."""

    COLUMNS = (
        Column("PATH", 22, weight=4, most=70),
        Column("SIZE", 8, right=True),
        Column("FILES", 5, right=True),
        Column("STATE", 12),
        Column("SOURCE", 12, weight=3),
    )

    def __init__(self, known: Callable[[], Known]) -> None:
        super().__init__()
        self._known = known

    def row_id(self, row: FileRow) -> str:
        return row.path

    def cells(self, row: FileRow) -> tuple[Cell, ...]:
        mark = place_mark(row, self._known().checked.get(row.path))
        return (
            Cell(row.path),
            Cell(size(row.size)),
            Cell(f"{row.count:,}", "dim"),
            Cell(mark.text, mark.tone),
            Cell(row.model.source if row.model else "-", "dim"),
        )


class OfferList(Snapshot):
    """By name."""

    COLUMNS = (
        Column("NAME", 16, weight=3, most=44),
        Column("SIZE", 8, right=True),
        Column("ACCESS", 7),
        Column("STATE", 11),
        Column("REPOSITORY", 16, weight=4, most=60),
    )

    def __init__(self, known: Callable[[], Known]) -> None:
        super().__init__()
        self._known = known

    def row_id(self, row: Offer) -> str:
        return row.entry.id

    def cells(self, row: Offer) -> tuple[Cell, ...]:
        gated = bool(row.entry.values.get("gated"))
        installed = is_installed(row, self._known())
        return (
            Cell(str(row.entry.values["name"])),
            Cell(size(row.size)),
            Cell("token" if gated else "free", "warn" if gated else "dim"),
            Cell("✓ installed" if installed else "-", "good" if installed else "dim"),
            Cell(row.repository, "dim"),
        )


def is_installed(offer: Offer, known: Known) -> bool:
    """Whether something of its repository lies in the models folder."""
    sources = (row.model.source for row in known.files if row.model is not None)
    return any(source.partition("@")[0] == offer.source for source in sources)


class CatalogView(DownloadsView):
    """What the catalog offers for download."""

    NOUN = "catalog"
    EMPTY = "The catalog offers nothing to download."

    def make_list(self, known: Callable[[], Known]) -> PagedList[Any]:
        return OfferList(known)

    def rows(self, known: Known) -> Sequence[Offer]:
        return known.catalog

    def text(self, row: Offer) -> str:
        return f"{row.entry.values['name']} {row.repository} {self.group(row)}"

    def group(self, row: Offer) -> str:
        return str(row.entry.values.get("family", "other"))

    def card(self, row: Offer, known: Known, room: int) -> Content:
        values = row.entry.values
        facts = [(label, str(values.get(name, ""))) for label, name in _CATALOG_FACTS]
        access = "a token and an accepted licence" if values.get("gated") else "free"
        return download_cards.offer_card(
            str(values["name"]),
            [("Size", size(row.size)), ("Access", access), ("From", row.source), *facts],
            row.patterns,
            room,
        )

    def why_not(self, action: str, row: Offer | None, known: Known) -> str:
        return ""


class InstalledView(DownloadsView):
    """What lies in the models folder of this machine."""

    NOUN = "installed"
    EMPTY = "Nothing is installed yet.\n\nPress a to download a model, or to take one of this machine into the folder."
    ACTIONS = frozenset({"verify", "model", "delete", "adopt"})

    def make_list(self, known: Callable[[], Known]) -> PagedList[Any]:
        return FileList(known)

    def rows(self, known: Known) -> Sequence[FileRow]:
        return known.files

    def text(self, row: FileRow) -> str:
        return f"{row.path} {row.model.title} {row.model.source}" if row.model else row.path

    def group(self, row: FileRow) -> str:
        return row.family

    def card(self, row: FileRow, known: Known, room: int) -> Content:
        return download_cards.file_card(row, known.usage, known.checked.get(row.path), room)

    def why_not(self, action: str, row: FileRow | None, known: Known) -> str:
        if action == "adopt":
            return "" if any(one.model is None for one in known.files) else "All files are known already."
        if row is None:
            return _NO_ROW
        if row.model is None:
            return "Nothing is known of this file; u takes it up first."
        return ""


class JobsView(DownloadsView):
    """What is fetched, or was."""

    NOUN = "downloads"
    EMPTY = "No downloads yet.\n\nPress a to begin one. It goes on without this terminal."
    ACTIONS = frozenset({"pause", "resume", "cancel", "remove"})

    def make_list(self, known: Callable[[], Known]) -> PagedList[Any]:
        return JobList()

    def rows(self, known: Known) -> Sequence[Job]:
        return known.jobs

    def text(self, row: Job) -> str:
        return f"{row.title} {row.state} {download_cards.source_of(row)} {row.folder}"

    def group(self, row: Job) -> str:
        return row.state

    def card(self, row: Job, known: Known, room: int) -> Content:
        return download_cards.job_card(row, room)

    def why_not(self, action: str, row: Job | None, known: Known) -> str:
        if row is None:
            return _NO_ROW
        if action == "remove":
            return "" if row.state in _OVER else f"It is {row.state}; c cancels it first."
        if action == "resume":
            return _why_not_resume(row)
        if row.state in _OVER:
            return f"It is {row.state} already."
        if action == "pause" and row.wanted == "pause":
            return "It is paused already."
        return ""


def _why_not_resume(job: Job) -> str:
    if job.state == "done":
        return "It is done already."
    waits = job.state == "paused" or job.state in {"failed", "cancelled"} or job.wanted != "run"
    return "" if waits or job.not_before is not None else f"It is {job.state} already."


def is_live(job: Job) -> bool:
    """Whether something happens to it by itself."""
    return job.state not in _OVER and not (job.state == "paused" and job.wanted == "pause")


VIEWS: Mapping[str, type[DownloadsView]] = {
    "installed": InstalledView,
    "downloads": JobsView,
    "catalog": CatalogView,
}
