"""The model list's questions to SQL: filters combine, pages come sorted by name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, or_
from sqlmodel import Session, col, select

from core.registry.records import Model, Server
from core.registry.values import ModelPage, ModelQuery, ModelRow, Ownership, ServerStatus

_PREFERRED = (
    ServerStatus.RUNNING,
    ServerStatus.LOADING,
    ServerStatus.STARTING,
    ServerStatus.STOPPING,
    ServerStatus.FAILED,
    ServerStatus.STOPPED,
)


def search_models(session: Session, query: ModelQuery, *, user_id: str, offset: int, limit: int) -> ModelPage:
    """One page of the list, with the counts of its line "Showing X of Y"."""
    visible = or_(col(Model.user_id) == user_id, col(Model.is_global))
    state = col(Model.archived_at).is_not(None) if query.archived else col(Model.archived_at).is_(None)
    matching = [visible, state, *_filters(query)]
    rows = select(Model).where(*matching).order_by(func.lower(Model.name), col(Model.id)).offset(offset).limit(limit)
    models = list(session.exec(rows))
    servers = _servers_of(session, [model.id for model in models])
    return ModelPage(
        rows=[ModelRow(model=model, server=servers.get(model.id)) for model in models],
        offset=offset,
        shown=_count(session, *matching),
        total=_count(session, visible, state),
    )


def _filters(query: ModelQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [_has_word(word) for word in query.text.split()]
    if query.provider is not None:
        wanted.append(col(Model.provider) == query.provider.value)
    if query.ownership is not Ownership.ALL:
        is_global = query.ownership is Ownership.GLOBAL
        wanted.append(col(Model.is_global) == is_global)
    return wanted


def _has_word(word: str) -> ColumnElement[bool]:
    columns = (Model.name, Model.model_id, Model.served_name)
    return or_(*(col(column).icontains(word, autoescape=True) for column in columns))


def _count(session: Session, *conditions: ColumnElement[bool]) -> int:
    counted: Select[Any] = select(func.count()).select_from(Model).where(*conditions)
    return int(session.execute(counted).scalar_one())


def _servers_of(session: Session, model_ids: list[str]) -> dict[str, Server]:
    """By model, the server to show: a running one is preferred (P14), then the newest."""
    rank = case(*((col(Server.status) == status.value, i) for i, status in enumerate(_PREFERRED)), else_=99)
    servers = select(Server).where(col(Server.model_id).in_(model_ids)).order_by(rank, col(Server.created_at).desc())
    best: dict[str, Server] = {}
    for server in session.exec(servers):
        best.setdefault(server.model_id, server)
    return best
