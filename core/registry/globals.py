"""The global models: what the catalog says, kept beside the personal ones and read only (P7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlmodel import Session, col, select

from core.events import now
from core.registry.base import Store
from core.registry.records import CatalogState, Deployment, Model, Server

_STATE = "catalog"


class GlobalRecords(Store):
    """The catalog's models and which state of the catalog they are of."""

    async def catalog_state(self) -> CatalogState | None:
        """What the global models were made from, or None before the first time."""
        return await self._db.read(lambda session: session.get(CatalogState, _STATE))

    async def put_globals(
        self, wanted: Mapping[str, Mapping[str, Any]], *, fingerprint: str, problems: Sequence[Mapping[str, Any]]
    ) -> bool:
        """Make the catalog's models, columns by id, the global ones; False when another program has done it already.

        Those that left the catalog go. One that is still deployed, since it was another user's wish, is archived
        until its servers are gone. Personal models are never touched.
        """
        return await self._db.write(partial(_put, dict(wanted), fingerprint, list(problems)))


def _put(
    wanted: dict[str, Mapping[str, Any]], fingerprint: str, problems: list[Mapping[str, Any]], session: Session
) -> bool:
    state = session.get(CatalogState, _STATE) or CatalogState(id=_STATE)
    if state.fingerprint == fingerprint:
        return False
    known = {model.id: model for model in session.exec(select(Model).where(Model.is_global, Model.catalog != ""))}
    for model_id, columns in wanted.items():
        _put_one(session, known.pop(model_id, None), model_id, columns)
    _remove(session, known)
    state.fingerprint, state.problems, state.synced_at = fingerprint, [dict(one) for one in problems], now()
    session.add(state)
    return True


def _put_one(session: Session, model: Model | None, model_id: str, columns: Mapping[str, Any]) -> None:
    if model is None:
        session.add(Model(id=model_id, user_id=None, is_global=True, **columns))
        return
    wanted = {**{name: _default(name) for name in _NULLED - columns.keys()}, **columns, "archived_at": None}
    if own := _own_key(model, wanted):
        wanted["api_key_ref"] = own
    changed = {name: value for name, value in wanted.items() if getattr(model, name) != value}
    for name, value in changed.items():
        setattr(model, name, value)
    if changed:
        model.updated_at = now()


_NULLED = frozenset(
    {
        *("task", "context_length", "max_output_tokens", "default_temperature", "default_top_p"),
        *("endpoint", "api_key_ref", "region", "flags"),
    }
)


def _own_key(model: Model, wanted: Mapping[str, Any]) -> str:
    """The key that the user put on the model (P7), while the model is still asked at the same place; "" for none."""
    own = model.api_key_ref != model.catalog_key
    return model.api_key_ref if own and all(getattr(model, name) == wanted[name] for name in _PLACE) else ""


_PLACE = ("provider", "endpoint")


def _default(name: str) -> object:
    return Model.model_fields[name].get_default(call_default_factory=True)


def _remove(session: Session, gone: Mapping[str, Model]) -> None:
    for table in (Server, Deployment):
        used = session.exec(select(table.model_id).where(col(table.model_id).in_(gone)))
        for model_id in set(used):
            gone[model_id].archived_at = gone[model_id].archived_at or now()
            gone = {key: model for key, model in gone.items() if key != model_id}
    for model in gone.values():
        session.delete(model)
