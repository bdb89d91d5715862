"""The models of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import or_
from sqlmodel import Session, col, select

from core.errors import InvalidInput, NotAllowed, NotFound, Refused
from core.events import now
from core.registry import naming
from core.registry.base import Store
from core.registry.forms import MODEL_FIELDS, check_model
from core.registry.records import Deployment, Model, Server
from core.registry.search import search_models
from core.registry.values import ACTIVE, ModelPage, ModelQuery

_DUPLICATE = "There is a model of this name already."


class ModelRecords(Store):
    """Models: global ones, which are read only, and the user's own."""

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
