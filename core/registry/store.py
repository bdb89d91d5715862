"""The one way in to the records. Every change is one transaction and one event on the bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import or_
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel, col, select

from core.errors import InvalidInput, NotAllowed, NotFound, Refused
from core.events import EventBus, RecordChanged, now
from core.registry import naming
from core.registry.forms import MODEL_FIELDS, check_model
from core.registry.records import Deployment, Host, Model, Server
from core.registry.search import search_models
from core.registry.values import ACTIVE, LOCAL_HOST, ModelPage, ModelQuery

if TYPE_CHECKING:
    from core.db import Database

R = TypeVar("R", bound=SQLModel)
_DUPLICATE = "There is a model of this name already."


class Registry:
    """Records of one user; what it returns are values, changed only through here."""

    def __init__(self, db: Database, bus: EventBus, *, user_id: str) -> None:
        self._db = db
        self._bus = bus
        self.user_id = user_id

    # models

    async def search(self, query: ModelQuery, offset: int = 0, limit: int = 100) -> ModelPage:
        """A page of the list (P1, P2)."""
        return await self._db.read(
            partial(search_models, query=query, user_id=self.user_id, offset=offset, limit=limit)
        )

    async def get_model(self, ref: str) -> Model:
        """By id, name, or, where only one has it, model id or served name.

        Raises:
            NotFound: no model, or several, answer to `ref`.
        """
        return await self._db.read(lambda session: self._find_model(session, ref))

    async def add_model(self, values: Mapping[str, Any]) -> Model:
        """Validate and add a personal model (P4).

        Raises:
            InvalidInput: messages by field.
        """
        model = self._new_model(values)
        await self._save(model, "model", "added", duplicate={"name": _DUPLICATE})
        return model

    async def edit_model(self, ref: str, changes: Mapping[str, Any]) -> Model:
        """Write only what changed (P5).

        Raises:
            InvalidInput: messages by field. NotAllowed: the model is global.
        """
        if problems := check_model(changes, partial=True):
            raise InvalidInput(problems)

        def work(session: Session) -> Model:
            model = self._personal(session, ref, "edited")
            for name, value in _columns(changes, model.extra).items():
                setattr(model, name, value)
            model.updated_at = now()
            return model

        return await self._change(work, "model", "edited", duplicate={"name": _DUPLICATE})

    async def archive_model(self, ref: str, archived: bool = True) -> Model:
        """Hide a model and keep its record, or bring it back (L11)."""

        def work(session: Session) -> Model:
            model = self._personal(session, ref, "archived" if archived else "restored")
            model.archived_at = now() if archived else None
            return model

        return await self._change(work, "model", "edited")

    async def delete_model(self, ref: str) -> Model:
        """Remove the record and those of its deployments and stopped servers; files are not looked at (L8).

        Raises:
            NotAllowed: the model is global. Refused: one of its servers is still active.
        """

        def work(session: Session) -> Model:
            model = self._personal(session, ref, "deleted")
            servers = list(session.exec(select(Server).where(Server.model_id == model.id)))
            if any(server.status in ACTIVE for server in servers):
                raise Refused(f"{model.name} is still served.", remedy=f"Stop it first: modelyard stop {model.name}")
            deployments = session.exec(select(Deployment).where(Deployment.model_id == model.id))
            for record in (*servers, *deployments):
                session.delete(record)
            session.flush()
            session.delete(model)
            return model

        return await self._change(work, "model", "deleted")

    def _find_model(self, session: Session, ref: str) -> Model:
        mine = or_(col(Model.user_id) == self.user_id, col(Model.is_global))
        for columns in ((Model.id, Model.name), (Model.model_id, Model.served_name)):
            condition = or_(*(col(column) == ref for column in columns))
            found = list(session.exec(select(Model).where(mine, condition)))
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(sorted(model.name for model in found))
                raise NotFound(f"Several models answer to {ref!r}: {names}.", remedy="Give the name or the id.")
        raise NotFound(f"There is no model {ref!r}.", remedy="modelyard models list shows them all.")

    def _personal(self, session: Session, ref: str, verb: str) -> Model:
        model = self._find_model(session, ref)
        if model.is_global:
            raise NotAllowed(f"{model.name} is a global model and can't be {verb}.", remedy="Add a personal one.")
        return model

    def _new_model(self, values: Mapping[str, Any]) -> Model:
        given = {name: value for name, value in values.items() if value is not None}
        if not given.get("model_id") and given.get("path"):
            given["model_id"] = naming.readable_id(path=str(given["path"]))
        if problems := check_model(given):
            raise InvalidInput(problems)
        defaults = {name: spec.default for name, spec in MODEL_FIELDS.items() if spec.default not in (None, ())}
        columns = _columns({**defaults, **given}, {})
        columns["served_name"] = columns["served_name"] or naming.served_name(columns["name"])
        return Model(user_id=self.user_id, **columns)

    # hosts

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
            _assign(host, changes)
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

    # deployments

    async def deployments(self, *, host_id: str | None = None) -> list[Deployment]:
        """What is wished for, on one host or all."""

        def work(session: Session) -> list[Deployment]:
            wanted = select(Deployment)
            return list(session.exec(wanted.where(Deployment.host_id == host_id) if host_id else wanted))

        return await self._db.read(work)

    async def get_deployment(self, deployment_id: str) -> Deployment:
        """By id."""
        return await self._db.read(lambda session: _get(session, Deployment, deployment_id))

    async def put_deployment(self, deployment: Deployment) -> Deployment:
        """Add the wish, or replace the one for the same model and host, whose id is kept."""

        def work(session: Session) -> Deployment:
            same = (Deployment.model_id == deployment.model_id, Deployment.host_id == deployment.host_id)
            existing = session.exec(select(Deployment).where(*same)).first()
            if existing is None:
                session.add(deployment)
                return deployment
            _assign(existing, deployment.model_dump(exclude={"id", "created_at", "updated_at"}))
            return existing

        return await self._change(work, "deployment", "edited")

    async def edit_deployment(self, deployment_id: str, changes: Mapping[str, Any]) -> Deployment:
        """Write some columns of a deployment."""

        def work(session: Session) -> Deployment:
            deployment = _get(session, Deployment, deployment_id)
            _assign(deployment, changes)
            return deployment

        return await self._change(work, "deployment", "edited")

    # servers

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
            server = _get(session, Server, server_id)
            _assign(server, changes(server) if callable(changes) else changes)
            return server

        return await self._change(work, "server", "edited")

    async def remove_server(self, server_id: str) -> Server:
        """Forget a server."""

        def work(session: Session) -> Server:
            server = _get(session, Server, server_id)
            session.delete(server)
            return server

        return await self._change(work, "server", "deleted")

    # all

    async def _save(self, record: R, kind: str, action: str, duplicate: Mapping[str, str] | None = None) -> R:
        def work(session: Session) -> R:
            session.add(record)
            return record

        return await self._change(work, kind, action, duplicate)

    async def _change(
        self, work: Callable[[Session], R], kind: str, action: str, duplicate: Mapping[str, str] | None = None
    ) -> R:
        try:
            record = await self._db.write(partial(_flushed, work))
        except IntegrityError as error:
            if duplicate is None or "UNIQUE" not in str(error.orig):
                raise
            raise InvalidInput(duplicate) from error
        self._bus.publish(RecordChanged(kind=kind, id=str(record.id), action=action))  # type: ignore[attr-defined]
        return record


def _flushed(work: Callable[[Session], R], session: Session) -> R:
    record = work(session)
    session.flush()
    return record


def _columns(values: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A form's values as columns: the path is kept in the metadata (N2)."""
    columns = dict(values)
    metadata = {**extra, **columns.pop("extra", {})}
    if "path" in columns:
        metadata["model_path"] = columns.pop("path")
    if metadata != dict(extra):
        columns["extra"] = {key: value for key, value in metadata.items() if value != ""}
    if "tags" in columns:
        columns["tags"] = list(columns["tags"])
    return columns


def _assign(record: Host | Deployment | Server, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        setattr(record, name, value)
    record.updated_at = now()


def _get(session: Session, table: type[R], record_id: str) -> R:
    record = session.get(table, record_id)
    if record is None:
        raise NotFound(f"There is no {table.__name__.lower()} {record_id!r} any more.")
    return record


def _find_host(session: Session, name: str) -> Host:
    host = session.exec(select(Host).where(or_(col(Host.name) == name, col(Host.id) == name))).first()
    if host is None:
        raise NotFound(f"There is no host {name!r}.", remedy="modelyard hosts list shows them; hosts add adds one.")
    return host


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
