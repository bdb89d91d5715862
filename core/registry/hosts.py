"""The hosts of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import or_
from sqlmodel import Session, col, select

from core.errors import NotAllowed, NotFound, Refused
from core.registry.base import Store, assign
from core.registry.records import Deployment, Host, Server
from core.registry.values import ACTIVE, LOCAL_HOST


class HostRecords(Store):
    """The machines that can serve; this one is always among them."""

    async def hosts(self) -> list[Host]:
        """This machine first, then the others by name."""

        def work(session: Session) -> list[Host]:
            order = (col(Host.kind) != LOCAL_HOST, col(Host.name))
            return list(session.exec(select(Host).order_by(*order)))

        return await self._db.read(work)

    async def ensure_local_host(self, *, models_dir: str) -> None:
        """This machine is always a host, and its models folder is the one of the settings."""

        def local(session: Session) -> Host | None:
            return session.exec(select(Host).where(Host.kind == LOCAL_HOST)).first()

        def work(session: Session) -> None:
            host = local(session)
            if host is None:
                session.add(Host(name=LOCAL_HOST, kind=LOCAL_HOST, models_dir=models_dir))
            else:
                host.models_dir = models_dir

        known = await self._db.read(local)
        if known is None or known.models_dir != models_dir:
            await self._db.write(work)

    async def get_host(self, name: str) -> Host:
        """By name or id."""
        return await self._db.read(lambda session: _find_host(session, name))

    async def add_host(self, host: Host) -> Host:
        """Add a host that was seen to work.

        Raises:
            InvalidInput: the name is taken.
        """
        await self._save(host, "host", "added", duplicate={"name": f"There is a host {host.name} already."})
        return host

    async def edit_host(self, name: str, changes: Mapping[str, Any]) -> Host:
        """Write some columns of a host."""

        def work(session: Session) -> Host:
            host = _find_host(session, name)
            assign(host, changes)
            return host

        return await self._change(work, "host", "edited", duplicate={"name": "There is a host of this name already."})

    async def remove_host(self, name: str) -> Host:
        """Forget a host; nothing on it is touched.

        Raises:
            NotAllowed: it is this machine. Refused: servers are still active there.
        """

        def work(session: Session) -> Host:
            host = _find_host(session, name)
            if host.kind == LOCAL_HOST:
                raise NotAllowed("This machine is always there and can't be removed.")
            servers = list(session.exec(select(Server).where(Server.host_id == host.id)))
            if active := [server.model_name for server in servers if server.status in ACTIVE]:
                raise Refused(f"{name} still serves {', '.join(active)}.", remedy="Stop these servers first.")
            for record in (*servers, *session.exec(select(Deployment).where(Deployment.host_id == host.id))):
                session.delete(record)
            session.flush()
            session.delete(host)
            return host

        return await self._change(work, "host", "deleted")


def _find_host(session: Session, name: str) -> Host:
    host = session.exec(select(Host).where(or_(col(Host.name) == name, col(Host.id) == name))).first()
    if host is None:
        raise NotFound(f"There is no host {name!r}.", remedy="modelyard hosts list shows them; hosts add adds one.")
    return host
