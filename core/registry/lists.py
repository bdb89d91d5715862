"""The model list's questions: pages, counts, places; each a read that is dropped when nobody waits for it any more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlmodel import Session

from core.registry.base import Store
from core.registry.search import count_models, model_names, model_rows, place_of, regions_of, search_models
from core.registry.search_index import bring_up_to_date, is_behind
from core.registry.values import ModelCounts, ModelPage, ModelQuery, ModelRow

T = TypeVar("T")


class ModelLists(Store):
    """Views of the models, filtered and sorted."""

    async def search(self, query: ModelQuery, offset: int = 0, limit: int = 100) -> ModelPage:
        """A page of the list with its counts (P1, P2)."""
        work = partial(search_models, query=query, user_id=self.user_id, offset=offset, limit=limit)
        return await self._listed(work)

    async def model_rows(
        self, query: ModelQuery, offset: int = 0, limit: int = 100, *, shown: int | None = None
    ) -> list[ModelRow]:
        """The rows alone, which come long before the counts; `shown`, where known, makes the far end near."""
        work = partial(model_rows, query=query, user_id=self.user_id, offset=offset, limit=limit, shown=shown)
        return await self._listed(work)

    async def count_models(self, query: ModelQuery) -> ModelCounts:
        """How many match, and how many there are."""
        return await self._listed(partial(count_models, query=query, user_id=self.user_id))

    async def place_of_model(self, query: ModelQuery, model_id: str) -> int | None:
        """The index at which a model stands in the list; None when it is not in it."""
        return await self._listed(partial(place_of, query=query, user_id=self.user_id, model_id=model_id))

    async def model_names(self, query: ModelQuery, *, most: int) -> dict[str, tuple[str, bool]]:
        """By id, the name of each of the first `most` that match, and whether it is global; in the list's order."""
        return await self._listed(partial(model_names, query=query, user_id=self.user_id, most=most))

    async def regions_in_use(self) -> list[str]:
        """The regions that models are in."""
        return await self._listed(regions_of)

    async def _listed(self, work: Callable[[Session], T]) -> T:
        """Read with an index that knows every model, also those that another program wrote."""

        def asked(session: Session) -> tuple[T] | None:
            return None if is_behind(session) else (work(session),)

        while (answer := await self._db.read(asked)) is None:
            await self._db.write(bring_up_to_date)
        return answer[0]
