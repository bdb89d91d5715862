"""The catalog in use: brought into the registry when its files are others than last time, and asked about."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from core.catalog.copying import personal_values
from core.catalog.load import Files, check_file, load
from core.catalog.values import Problem
from core.catalog.weights import find, weights_of

if TYPE_CHECKING:
    from core.catalog.values import Catalog, Entry
    from core.catalog.weights import Weights
    from core.registry.store import Registry
    from core.settings import Settings


def record_id(entry_id: str) -> str:
    """The id of an entry's record: the same on every machine, and after every change but one of the entry's id."""
    return sha256(f"catalog:{entry_id}".encode()).hexdigest()[:12]


class CatalogService:
    """The built-in and the site's catalog (P7); `problems` are those of the site's files, found when it was read."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._chosen = settings.catalog
        self._registry = registry
        self.problems: tuple[Problem, ...] = ()

    async def sync(self) -> None:
        """Bring the global models up to date; a few milliseconds, and no YAML, when no file has changed."""
        files = await asyncio.to_thread(Files, self._chosen)
        fingerprint = files.fingerprint()
        state = await self._registry.catalog_state()
        if state is not None and state.fingerprint == fingerprint:
            self.problems = tuple(Problem(**one) for one in state.problems)
            return
        if state is None and not files.builtin and not files.site and not files.problems:
            return
        found = await asyncio.to_thread(load, files)
        self.problems = found.problems
        await self._registry.put_globals(
            {record_id(entry.id): entry.columns() for entry in found.entries},
            fingerprint=fingerprint,
            problems=[problem.as_dict() for problem in found.problems],
        )

    async def load(self) -> Catalog:
        """All entries and problems, read from the files."""
        return await asyncio.to_thread(_load_now, self._chosen)

    async def weights(self) -> tuple[Weights, ...]:
        """What can be fetched by its id (D1): weights, and models with open weights; built in and the site's."""
        return weights_of(await self.load())

    async def weights_called(self, text: str) -> Weights | None:
        """The offer that a source's text names by its id, with or without `catalog:`; None for another kind of text.

        Raises:
            NotFound: it can only be an id, and there is none such.
        """
        return find(await self.weights(), text)

    async def check(self, path: Path) -> Catalog:
        """What one file or folder would add or change, and what is wrong with it."""
        return await asyncio.to_thread(check_file, path)

    async def copied(self, ref: str) -> dict[str, object]:
        """The values that a personal copy of a model begins with ("make it mine").

        Raises:
            NotFound: no model, or several, answer to `ref`.
        """
        return personal_values(await self._registry.get_model(ref))

    async def find(self, ref: str) -> Entry | None:
        """By entry id, name or model id."""
        entries = (await self.load()).entries
        for field in ("id", "name", "model_id"):
            named = (entry for entry in entries if _called(entry, field) == ref.casefold())
            if found := next(named, None):
                return found
        return None


def _called(entry: Entry, field: str) -> str:
    return str(entry.id if field == "id" else entry.values[field]).casefold()


def _load_now(chosen: str) -> Catalog:
    return load(Files(chosen))
