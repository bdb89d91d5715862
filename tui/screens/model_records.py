"""Records as such: in and out of files, their history, and taking changes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui.screens.model_actions import ModelActions


async def import_records(screen: ModelActions) -> None:
    """The first model that came in is selected."""
    from tui.modals.exchange import ImportDialog

    done = await screen.app.push_screen_wait(ImportDialog(screen.yard))
    if done is not None and done.names:
        screen.show_new((await screen.yard.registry.get_model(done.names[0])).id)


async def export_records(screen: ModelActions) -> None:
    """Of all models, or of those on the list."""
    from tui.modals.export import ExportDialog

    await screen.app.push_screen_wait(ExportDialog(screen.yard, screen.models.query_now, screen.models.count))


async def history(screen: ModelActions) -> None:
    """All changes, from which any can be taken back."""
    from tui.modals.history import HistoryDialog

    await screen.app.push_screen_wait(HistoryDialog(screen.yard))
    screen.reload_soon()


async def undo(screen: ModelActions, *, redo: bool = False) -> None:
    """The newest change, at once: it can be done again; a model that came back is selected."""
    from tui.modals.history import take_back

    done = await take_back(screen.modelyard, redo=redo)
    screen.reload_soon(select=done.record("model") if done else None)
