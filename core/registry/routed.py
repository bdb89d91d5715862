"""The models that have a way to be reached: what the routing registry is made of (L2)."""

from __future__ import annotations

from sqlmodel import Session, col, or_, select

from core.events import now
from core.registry.base import Store
from core.registry.records import Model, Server


class RoutedRecords(Store):
    """Models with a server or an endpoint."""

    async def note_deployed(self, model_id: str, server_id: str) -> None:
        """Keep in the model's metadata when and to which server it was deployed last (N2); no change of the user's."""

        def work(session: Session) -> None:
            model = session.get(Model, model_id)
            if model is not None:
                model.extra = {**model.extra, "deployed_at": now().isoformat(), "server_id": server_id}

        await self._db.write(work)

    async def routed_models(self) -> list[Model]:
        """The user's models that have a server or an endpoint and are not archived, by name."""

        def work(session: Session) -> list[Model]:
            served = select(Server.model_id)
            mine = (Model.user_id == self.user_id, col(Model.archived_at).is_(None))
            reachable = or_(Model.endpoint != "", col(Model.id).in_(served))
            return list(session.exec(select(Model).where(*mine, reachable).order_by(col(Model.name))))

        return await self._db.read(work)
