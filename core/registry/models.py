"""The models of the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from sqlalchemy import or_
from sqlalchemy.orm import object_session
from sqlmodel import Session, col, select

from core.errors import InvalidInput, NotAllowed, NotFound, Refused
from core.events import now
from core.registry import naming
from core.registry.base import Store, assign, chunks
from core.registry.forms import MODEL_FIELDS, check_model
from core.registry.places import refuse_unknown_places
from core.registry.records import Deployment, Model, Server
from core.registry.values import ACTIVE

_DUPLICATE = "There is a model of this name already."
_COPY = "modelyard models add NAME --from MODEL"
_KEY = "api_key_ref"
_NAMED = 5  # so many are named in a refusal
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class ModelRecords(Store):
    """Models: global ones, which are read only, and the user's own."""

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

        def work(session: Session) -> Model:
            refuse_unknown_places(session, values)
            session.add(model)
            return model

        return await self._change(work, "model", "added", duplicate={"name": _DUPLICATE})

    async def edit_model(self, ref: str, changes: Mapping[str, Any]) -> Model:
        """Write only what changed (P5); of a global model the key may be one's own (P7), "" is the catalog's again.

        Raises:
            InvalidInput: messages by field. NotAllowed: the model is global.
        """

        def work(session: Session) -> Model:
            if set(changes) == {_KEY} and (model := self._find_model(session, ref)).is_global:
                _edit(model, {_KEY: changes[_KEY] or model.catalog_key})
            else:
                model = self._personal(session, ref, "edited")
                _edit(model, changes)
            return model

        return await self._change(work, "model", "edited", duplicate={"name": _DUPLICATE})

    async def change_models(
        self,
        refs: Sequence[str],
        changes: Mapping[str, Any] | Callable[[Model], Mapping[str, Any]] = _NOTHING,
        *,
        add_tags: Sequence[str] = (),
        remove_tags: Sequence[str] = (),
    ) -> list[Model]:
        """Edit many models in one transaction, one event and one batch to undo: all or none.

        `changes` are a form's values for all of them, or a function that gives them for each; tags are added at the
        end, in order, and only where they are missing. Records that come out as they were are not written.

        Raises:
            InvalidInput: messages by field. NotAllowed: one of the models is global. NotFound: one is not there.
        """

        def work(session: Session) -> list[Model]:
            models = self._personals(session, refs, "edited")
            for model in models:
                given = {**(changes(model) if callable(changes) else changes)}
                if add_tags or remove_tags:
                    given["tags"] = _retagged(given.get("tags", model.tags), add_tags, remove_tags)
                _edit(model, given)
            return models

        return await self._change_many(work, "model", "edited", duplicate={"name": _DUPLICATE})

    async def archive_model(self, ref: str, archived: bool = True) -> Model:
        """Hide a model and keep its record, or bring it back (L11)."""
        return (await self.archive_models([ref], archived))[0]

    async def archive_models(self, refs: Sequence[str], archived: bool = True) -> list[Model]:
        """The same for many, all or none; those that are so already stay as they are.

        Raises:
            NotAllowed: one of the models is global. NotFound: one is not there.
        """

        def work(session: Session) -> list[Model]:
            models = self._personals(session, refs, "archived" if archived else "restored")
            at = now()
            for model in models:
                if (model.archived_at is not None) != archived:
                    model.archived_at = at if archived else None
            return models

        return await self._change_many(work, "model", "edited")

    async def delete_model(self, ref: str) -> Model:
        """Remove the record and those of its deployments and stopped servers; files are not looked at (L8).

        Raises:
            NotAllowed: the model is global. Refused: one of its servers is still active.
        """
        return (await self.delete_models([ref]))[0]

    async def delete_models(self, refs: Sequence[str]) -> list[Model]:
        """The same for many, all or none.

        Raises:
            NotAllowed: some are global. Refused: some are still served. NotFound: one is not there.
        """

        def work(session: Session) -> list[Model]:
            models = self._personals(session, refs, "deleted")
            _remove_servers(session, models)
            session.flush()
            for model in models:
                session.delete(model)
            return models

        return await self._change_many(work, "model", "deleted")

    def _find_model(self, session: Session, ref: str) -> Model:
        mine = or_(col(Model.user_id) == self.user_id, col(Model.is_global))
        for columns in ((Model.id, Model.name), (Model.model_id, Model.served_name)):
            condition = or_(*(col(column) == ref for column in columns))
            found = list(session.exec(select(Model).where(mine, condition)))
            found = [model for model in found if not model.is_global] or found
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(sorted(model.name for model in found))
                raise NotFound(f"Several models answer to {ref!r}: {names}.", remedy="Give the name or the id.")
        raise NotFound(f"There is no model {ref!r}.", remedy="modelyard models list shows them all.")

    def _personal(self, session: Session, ref: str, verb: str) -> Model:
        return self._personals(session, [ref], verb)[0]

    def _personals(self, session: Session, refs: Sequence[str], verb: str) -> list[Model]:
        """Each of them once, in the order given; global ones are named in the refusal."""
        known: dict[str, Model] = {}
        for some in chunks(refs):
            own = select(Model).where(col(Model.id).in_(some), col(Model.user_id) == self.user_id)
            known.update((model.id, model) for model in session.exec(own))
        models = [known.get(ref) or self._find_model(session, ref) for ref in refs]
        models = list({model.id: model for model in models}.values())
        if fixed := [model.name for model in models if model.is_global]:
            words = ("is a global model", "Add") if len(fixed) == 1 else ("are global models", "Leave them out, or add")
            key = " Of itself, only the key can be yours: --key NAME alone." if verb == "edited" else ""
            raise NotAllowed(
                f"{_some(fixed)} {words[0]} and can't be {verb}.", remedy=f"{words[1]} a personal one: {_COPY}.{key}"
            )
        return models

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
    """A form's values as columns; metadata replaces what was there, but for the path that is kept in it (N2)."""
    columns = dict(values)
    metadata = dict(extra)
    if "extra" in columns:
        path = {"model_path": extra["model_path"]} if "model_path" in extra else {}
        metadata = {**path, **(columns.pop("extra") or {})}
    if "path" in columns:
        metadata["model_path"] = columns.pop("path")
    if not metadata.get("model_path", True):
        del metadata["model_path"]
    if metadata != dict(extra):
        columns["extra"] = metadata
    if "flags" in columns:
        columns["flags"] = dict(columns["flags"] or {})
    if "tags" in columns:
        columns["tags"] = list(columns["tags"])
    return columns


def _edit(model: Model, changes: Mapping[str, Any]) -> None:
    """Check, then write what differs.

    Raises:
        InvalidInput: messages by field.
    """
    together = {"endpoint": model.endpoint, "local_inference": model.local_inference}
    if problems := check_model({**(together if together.keys() & changes.keys() else {}), **changes}, partial=True):
        raise InvalidInput(problems)
    if (session := object_session(model)) is not None:
        refuse_unknown_places(cast("Session", session), changes)
    changed = {name: value for name, value in _columns(changes, model.extra).items() if getattr(model, name) != value}
    if changed:
        assign(model, changed)


def _retagged(tags: Sequence[str], add: Sequence[str], remove: Sequence[str]) -> list[str]:
    kept = [tag for tag in tags if tag not in remove]
    return [*kept, *(tag for tag in dict.fromkeys(add) if tag not in kept)]


def _remove_servers(session: Session, models: Sequence[Model]) -> None:
    """The records of their stopped servers and their deployments."""
    for some in chunks(models):
        ids = [model.id for model in some]
        servers = list(session.exec(select(Server).where(col(Server.model_id).in_(ids))))
        if active := sorted({server.model_name for server in servers if server.status in ACTIVE}):
            words = ("is", "it", active[0]) if len(active) == 1 else ("are", "them", "NAME")
            raise Refused(f"{_some(active)} {words[0]} still served.", remedy=_stop_first(words[1], words[2]))
        for record in (*servers, *session.exec(select(Deployment).where(col(Deployment.model_id).in_(ids)))):
            session.delete(record)


def _stop_first(what: str, name: str) -> str:
    return f"Stop {what} first: modelyard stop {name}"


def _some(names: Sequence[str]) -> str:
    """The first few by name, the others as a count."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
