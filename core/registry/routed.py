"""The models that have a way to be reached: what the routing registry is made of (L2)."""

from __future__ import annotations

from sqlmodel import Session, col, or_, select

from core.registry.base import Store
from core.registry.records import Model, Server


class RoutedRecords(Store):
    """Models with a server or an endpoint."""

    async def routed_models(self) -> list[Model]:
        """The user's models that have a server or an endpoint and are not archived, by name."""

        def work(session: Session) -> list[Model]:
            served = select(Server.model_id)
            mine = (Model.user_id == self.user_id, col(Model.archived_at).is_(None))
            reachable = or_(Model.endpoint != "", col(Model.id).in_(served))
            return list(session.exec(select(Model).where(*mine, reachable).order_by(col(Model.name))))

        return await self._db.read(work)
