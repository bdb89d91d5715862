"""The deployments, which are wishes, and the servers, which are what was last seen of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import or_
from sqlmodel import Session, col, select

from core.errors import NotFound
from core.registry.base import Store, assign, get
from core.registry.records import Deployment, Server
from core.registry.values import ACTIVE


class ServerRecords(Store):
    """Deployments and servers."""

    async def deployments(self, *, host_id: str | None = None) -> list[Deployment]:
        """What is wished for, on one host or all."""

        def work(session: Session) -> list[Deployment]:
            wanted = select(Deployment)
            return list(session.exec(wanted.where(Deployment.host_id == host_id) if host_id else wanted))

        return await self._db.read(work)

    async def get_deployment(self, deployment_id: str) -> Deployment:
        """By id."""
        return await self._db.read(lambda session: get(session, Deployment, deployment_id))

    async def put_deployment(self, deployment: Deployment) -> Deployment:
        """Add the wish, or replace the one for the same model and host, whose id is kept."""

        def work(session: Session) -> Deployment:
            same = (Deployment.model_id == deployment.model_id, Deployment.host_id == deployment.host_id)
            existing = session.exec(select(Deployment).where(*same)).first()
            if existing is None:
                session.add(deployment)
                return deployment
            assign(existing, deployment.model_dump(exclude={"id", "created_at", "updated_at"}))
            return existing

        return await self._change(work, "deployment", "edited")

    async def edit_deployment(self, deployment_id: str, changes: Mapping[str, Any]) -> Deployment:
        """Write some columns of a deployment."""

        def work(session: Session) -> Deployment:
            deployment = get(session, Deployment, deployment_id)
            assign(deployment, changes)
            return deployment

        return await self._change(work, "deployment", "edited")

    async def servers(
        self, *, model_id: str | None = None, host_id: str | None = None, deployment_id: str | None = None
    ) -> list[Server]:
        """The servers that match, newest first."""
        wanted = {"model_id": model_id, "host_id": host_id, "deployment_id": deployment_id}

        def work(session: Session) -> list[Server]:
            conditions = [col(getattr(Server, name)) == value for name, value in wanted.items() if value]
            return list(session.exec(select(Server).where(*conditions).order_by(col(Server.created_at).desc())))

        return await self._db.read(work)

    async def get_server(self, ref: str) -> Server:
        """By id or its beginning, container, model or served name; of several an active one, then the newest."""
        return await self._db.read(lambda session: _find_server(session, ref))

    async def add_server(self, server: Server) -> Server:
        """Add a server."""
        await self._save(server, "server", "added")
        return server

    async def put_server(self, server: Server) -> Server:
        """The server of this model on this host, which is added unless there is one."""

        def work(session: Session) -> Server:
            same = (Server.model_id == server.model_id, Server.host_id == server.host_id)
            known = session.exec(select(Server).where(*same).order_by(col(Server.created_at).desc())).first()
            if known is not None:
                known.deployment_id = server.deployment_id
                return known
            session.add(server)
            return server

        return await self._change(work, "server", "added")

    async def edit_server(
        self, server_id: str, changes: Mapping[str, Any] | Callable[[Server], Mapping[str, Any]]
    ) -> Server:
        """Write some columns of a server; a function decides from the record as it is inside the transaction."""

        def work(session: Session) -> Server:
            server = get(session, Server, server_id)
            assign(server, changes(server) if callable(changes) else changes)
            return server

        return await self._change(work, "server", "edited")

    async def remove_server(self, server_id: str) -> Server:
        """Forget a server."""

        def work(session: Session) -> Server:
            server = get(session, Server, server_id)
            session.delete(server)
            return server

        return await self._change(work, "server", "deleted")


def _find_server(session: Session, ref: str) -> Server:
    named = or_(*(col(column) == ref for column in (Server.container_name, Server.model_name, Server.served_name)))
    for condition in (
        col(Server.id) == ref,
        named,
        col(Server.model_id) == ref,
        col(Server.id).startswith(ref, autoescape=True),
    ):
        found = list(session.exec(select(Server).where(condition).order_by(col(Server.created_at).desc())))
        if found:
            return next((server for server in found if server.status in ACTIVE), found[0])
    raise NotFound(f"There is no server {ref!r}.", remedy="modelyard servers list shows them all.")
