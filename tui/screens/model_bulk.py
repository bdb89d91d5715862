"""Marks, and what is done with all marked models at once: delete, archive, tag, region; one step to undo."""

from __future__ import annotations

from collections.abc import Sequence

from tui import operations
from tui.screens.model_actions import ModelActions
from tui.screens.model_list import MOST_MARKED, Marked
from tui.show import plural

_BULK = {"delete", "archive", "tags", "region"}
_NAMED = 8


class BulkActions(ModelActions):
    """Actions on the marked models or, where none is marked, on the selected one."""

    def why_not(self, key_id: str) -> str:
        name = key_id.removeprefix("models.")
        if name in _BULK and self.models.marks:
            fixed = [mark.name for mark in self.models.marks.values() if mark.is_global]
            return f"{named(fixed)} can't be changed: global." if fixed else ""
        return super().why_not("models.edit" if name in {"tags", "region"} else key_id)

    def meant(self) -> dict[str, Marked]:
        """The models that an action is meant for, by id."""
        if self.models.marks:
            return dict(self.models.marks)
        model = self.chosen.model
        return {model.id: Marked(model.name, model.is_global)}

    # Marks

    def action_mark(self) -> None:
        """Mark the selected model, or take its mark off."""
        self.models.mark()
        self.marks_changed()

    def action_mark_all(self) -> None:
        """Mark all that are listed, or none."""
        self.modelyard.guard(self._mark_all())

    async def _mark_all(self) -> None:
        if not await self.models.mark_all():
            self.modelyard.toast(f"Only the first {MOST_MARKED:,} are marked: narrow the list.", tone="warning")
        self.marks_changed()

    def unmark(self) -> None:
        """Take all marks off."""
        self.models.unmark()
        self.marks_changed()

    def marks_changed(self) -> None:
        """Say how many are marked; the screen knows where."""

    # Actions

    async def do_delete(self) -> None:
        """Delete the records, after a question that names them."""
        if not self.models.marks:
            await operations.delete_model(self.modelyard, self.chosen.model)
        else:
            await self._delete_marked()
        self.reload_soon()

    async def _delete_marked(self) -> None:
        from core.deploy.bulk import delete_models, servers_to_remove

        meant = self.meant()
        servers = await servers_to_remove(self.yard.registry, list(meant))
        details = [f"Deleted: the records {named([mark.name for mark in meant.values()])}."]
        if servers:
            details.append(f"Removed: {plural(len(servers), 'stopped server')} of theirs.")
        details.append("Kept: all model files.")
        if await operations.confirm(self.modelyard, f"Delete {_models(meant)}?", details=details, yes="Delete"):
            deleted = await delete_models(self.yard.deploys, self.yard.registry, list(meant))
            self.unmark()
            self.modelyard.toast(f"Deleted {plural(len(deleted), 'model')}; all files stay")

    async def do_archive(self) -> None:
        """Hide them, or bring them back."""
        meant = self.meant()
        archived = not self.models.query_now.archived
        await self.yard.registry.archive_models(list(meant), archived)
        self.unmark()
        hint = "; press Z to see the archived ones" if archived else ""
        self._done("Archived" if archived else "Restored", meant, hint)

    async def do_tags(self) -> None:
        """Add tags, and take others off."""
        from tui.modals.tags import TagsDialog

        meant = self.meant()
        heading = f"Tags of {named([mark.name for mark in meant.values()])}"
        present = sorted(self.chosen.model.tags) if not self.models.marks and self.row else []
        change = await self.app.push_screen_wait(TagsDialog(heading, present))
        if change is not None:
            await self.yard.registry.change_models(list(meant), add_tags=change.add, remove_tags=change.remove)
            self._done("Tagged", meant)

    async def do_region(self) -> None:
        """Put them in a region."""
        from tui.modals.choose import ChooseDialog
        from tui.widgets.picker import Option

        meant = self.meant()
        regions = [Option(region.id, region.id, region.name) for region in await self.yard.registry.regions()]
        heading = f"Region of {named([mark.name for mark in meant.values()])}"
        options = [*regions, Option(_NO_REGION, "none", "in no region")]
        picked = await self.app.push_screen_wait(ChooseDialog(heading, options))
        if picked is not None:
            region = "" if picked == _NO_REGION else picked
            await self.yard.registry.change_models(list(meant), {"region": region})
            self._done(f"Region {region or 'none'}:", meant)

    def _done(self, what: str, meant: dict[str, Marked], hint: str = "") -> None:
        self.modelyard.toast(f"{what} {named([mark.name for mark in meant.values()])}{hint}")
        self.reload_soon()


def _models(meant: dict[str, Marked]) -> str:
    return f"{len(meant):,} model{'' if len(meant) == 1 else 's'}"


_NO_REGION = "-"


def named(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
