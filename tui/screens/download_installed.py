"""The Installed tab (D8): what lies in the models folder and in other programs' stores, its size and condition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from textual.content import Content

from core.files.stores import LABELS
from core.registry.values import LOCAL_HOST
from core.text import clean_line
from tui.screens import download_cards
from tui.screens.download_cards import FileRow, label_of, place_mark, store_name
from tui.screens.download_table import Line, Order, facets
from tui.screens.download_views import DownloadList, DownloadsView, Known, within
from tui.show import line, plural, size, toned
from tui.widgets.columns import Cell, Column

if TYPE_CHECKING:
    from core.files.installed import InstalledModel
    from core.files.model_files import Survey, Usage
    from tui.screens.download_checks import Checks

_NEEDS_RECORD = frozenset({"use", "verify", "model", "copy", "repair", "training"})
_OURS_ALONE = frozenset({"delete", "repair"})
_EMPTY_THERE = (
    "Nothing is installed on {}.\n\nPress a to let it download by itself, or Esc for this machine, where C copies a "
    "model to hosts."
)
_NAME = 12  # cells
_ONE = frozenset({"model", "use", "copy", "training"})


class FileList(DownloadList):
    """Installed models, and files that the folder's record does not tell of among them."""

    COLUMNS = (
        Column("PATH", 22, weight=5, most=70),
        Column("SIZE", 8, right=True),
        Column("STATE", 14),
        Column("SOURCE", 14, weight=3, most=50),
        Column("INSTALLED", 10, from_width=96),
    )

    def __init__(self, known: Callable[[], Known]) -> None:
        super().__init__()
        self._known = known

    def row_id(self, row: FileRow) -> str:
        return row.path

    def cells(self, row: FileRow) -> tuple[Cell, ...]:
        mark = place_mark(row, self._known().checks)
        return (
            Cell(row.shown, is_path=not row.store),
            Cell(size(row.size)),
            Cell(mark.text, mark.tone),
            Cell(row.model.source if row.model else "-", "dim"),
            Cell(row.model.installed_at[:10] if row.model else "-", "dim"),
        )


class InstalledView(DownloadsView):
    """What is on this machine, or on another host."""

    NAME = "installed"
    OF_HOST = True
    EMPTY = (
        "Nothing is installed yet.\n\nPress v for the catalog, or a to download from elsewhere or to take a model "
        "of this machine into the folder."
    )
    ACTIONS = frozenset({"use", "verify", "repair", "model", "copy", "training", "delete", "adopt", "host"})
    ORDERS = (
        Order("path", "", lambda row: row.shown.casefold()),
        Order("size", "SIZE", lambda row: row.size, descending=True),
        Order("newest", "INSTALLED", lambda row: row.model.installed_at if row.model else "", descending=True),
        Order("source", "SOURCE", lambda row: row.model.source.casefold() if row.model else ""),
    )

    def make_list(self, known: Callable[[], Known]) -> DownloadList:
        return FileList(known)

    def fill(self, known: Known) -> None:
        checks = known.checks
        self.table.fill(known.files, lambda row: _line(row, checks))

    def tab(self, known: Known) -> str:
        count = "…" if known.is_asking and not known.files else super().tab(known)
        return count if known.host == LOCAL_HOST else f"{count} on {short(known.host)}"

    def summary(self, known: Known, room: int) -> Content:
        parts = [] if known.host == LOCAL_HOST else [line(known.host).stylize("bold")]
        parts += [toned("asking…", "busy")] if known.is_asking else []
        parts += [toned(f"! {known.old}", "warn")] if known.old else []
        return within([*parts, *self._amounts(known.usage)], room) if parts or known.usage else Content()

    def _amounts(self, usage: Usage | None) -> list[Content]:
        if usage is None:
            return []
        families = sorted(usage.families.items(), key=lambda pair: -pair[1])
        return [
            toned(f"{size(usage.free)} free", "") if usage.folder != "/" else toned("no models folder", "warn"),
            toned(f"{size(usage.total)} in {plural(len(usage.models), 'model')}", ""),
            *([toned(f"{size(usage.unfinished)} unfinished", "")] if usage.unfinished_count else []),
            *(toned(f"{size(amount)} in {LABELS.get(store, store)}", "") for store, amount in usage.stores.items()),
            *(toned(f"{name} {size(amount)}", "dim") for name, amount in families),
        ]

    def amount(self, row: FileRow) -> int:
        return row.size

    def card(self, row: FileRow, known: Known, room: int) -> Content:
        return download_cards.file_card(row, known.usage, known.checks, room, host=known.host)

    def empty(self, known: Known) -> str:
        if known.host == LOCAL_HOST:
            return self.EMPTY
        return f"Asking {short(known.host)}…" if known.is_asking else _EMPTY_THERE.format(short(known.host))

    def why_not(self, action: str, rows: Sequence[FileRow], known: Known) -> str:
        if action == "host":
            return ""
        if action == "copy" and known.host != LOCAL_HOST:
            return "Copies start from this machine: Esc goes back to it."
        if action == "adopt":
            return "" if known.has_unknown else "All files are known already."
        if action in _ONE and len(rows) > 1:
            return "One at a time: Esc takes the marks off."
        if action == "delete" and len(rows) > 1 and any(_is_by_hand(row) for row in rows):
            return "What was put there by hand is deleted one at a time: Esc takes the marks off."
        return super().why_not(action, rows, known)

    def refusal(self, action: str, row: FileRow, known: Known) -> str:
        if action in _NEEDS_RECORD and row.model is None:
            return "Nothing is known of this file; u takes it up first."
        if row.store and action in _OURS_ALONE:
            return f"It is in {store_name(row)}: used in place, never changed or deleted from here."
        if action == "repair":
            checked = known.checks.of(row.model) if row.model else None
            return "" if checked and checked.bad else "Nothing bad was found in it; V looks."
        return ""


def short(host: str) -> str:
    """A host's name where there is little room."""
    name = clean_line(host)
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _is_by_hand(row: FileRow) -> bool:
    return row.model is None or row.model.by_hand


def _line(row: FileRow, checks: Checks) -> Line:
    word = place_mark(row, checks).word
    state = next((end for end in ("bad", "gone") if word.endswith(f" {end}")), word)
    is_pickle = row.model is not None and row.model.pickle is not None
    return Line(row, _text(row).casefold(), _facets(row.family, row.store, state, is_pickle=is_pickle))


def _text(row: FileRow) -> str:
    """What a search looks at; a text that another one holds is not said twice."""
    if row.model is None:
        return row.path
    texts = [row.model.source] if row.model.source else []
    for text in (row.path, row.model.title, row.model.licence):
        if not any(text in other for other in texts):
            texts.append(text)
    return " ".join(texts)


@lru_cache(maxsize=4096)
def _facets(family: str, store: str, state: str, *, is_pickle: bool) -> frozenset[str]:
    states = [state, "pickle"] if is_pickle else [state]
    return facets({"family": family, "in": label_of(store), "state": states})


def rows_of(models: Iterable[InstalledModel]) -> list[FileRow]:
    """Of models of the folder, or of what other tools keep on this machine (X8)."""
    return [FileRow(one.path, one.size, len(one.files), one) for one in models]


def without_gone(rows: Sequence[FileRow], gone: Mapping[str, Sequence[str]]) -> list[FileRow]:
    """The same rows, those of models that miss files told so."""
    return [replace(row, gone=tuple(gone.get(row.path, ()))) if row.path in gone else row for row in rows]


def unknown_rows(seen: Survey) -> list[FileRow]:
    """Of model files that nothing tells of."""
    return [FileRow(found.path, found.size, 1) for found in seen.unknown]


def by_source(rows: Iterable[FileRow], offered: Collection[str]) -> Mapping[str, Sequence[FileRow]]:
    """Those that came from one of these sources, by it, its revision left out."""
    found: dict[str, list[FileRow]] = {}
    for row in rows:
        if row.model is not None and (source := row.model.source.partition("@")[0]) in offered:
            found.setdefault(source, []).append(row)
    return found
