"""Which records refer to which key."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import and_, case, func, or_
from sqlmodel import Session, col, select

from core.registry.base import Store
from core.registry.records import Head, Model
from core.registry.values import Provider

_HOSTED = (Provider.OPENAI, Provider.ANTHROPIC, Provider.GOOGLE)


@dataclass(frozen=True)
class KeyUse:
    """`count` records use a key; `names` are the first of them."""

    names: tuple[str, ...] = ()
    count: int = 0


class KeyUses(Store):
    """Who uses a key, for the list of keys."""

    async def key_uses(self, *, limit: int = 20) -> dict[str, KeyUse]:
        """By the key's name; models without one of their own use their provider's (P7)."""
        return await self._db.read(lambda session: self._key_uses(session, limit))

    def _key_uses(self, session: Session, limit: int) -> dict[str, KeyUse]:
        names: dict[str, list[str]] = defaultdict(list)
        counts: dict[str, int] = defaultdict(int)
        for key, name, count in session.exec(self._model_keys(limit)):
            names[key].append(name)
            counts[key] = count
        for head in session.exec(select(Head).where(col(Head.api_key_ref) != "")):
            names[head.api_key_ref].append(f"head {head.name}")
            counts[head.api_key_ref] += 1
        return {key: KeyUse(tuple(names[key]), counts[key]) for key in names}

    def _model_keys(self, limit: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 - SQLAlchemy's own type
        hosted = and_(col(Model.provider).in_(_HOSTED), or_(col(Model.is_global), col(Model.endpoint) == ""))
        key = case((col(Model.api_key_ref) != "", col(Model.api_key_ref)), (hosted, col(Model.provider)))
        place = func.row_number().over(partition_by=key, order_by=col(Model.name))
        count = func.count().over(partition_by=key)
        mine = or_(col(Model.user_id) == self.user_id, col(Model.is_global))
        rows = select(key.label("key"), Model.name, count.label("count"), place.label("place"))
        found = rows.where(mine, key.is_not(None), col(Model.archived_at).is_(None)).subquery()
        chosen = select(found.c.key, found.c.name, found.c.count).where(found.c.place <= limit)
        return chosen.order_by(found.c.key, found.c.place)
