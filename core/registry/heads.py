"""The regions a model can be in, and the heads: gateways that are a model's way in (R1, R2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from core.errors import InvalidInput, NotAllowed, NotFound
from core.registry.base import Store, assign
from core.registry.forms import HEAD_FIELDS, REGION_FIELDS, FieldSpec, check_fields, check_model
from core.registry.places import (
    SHOWN,
    Uses,
    builtin_regions,
    refuse_unknown_places,
    refuse_used,
    unknown_places,
    uses_of,
)
from core.registry.records import Head, Model, Region

_TAKEN_HEAD = "There is a head of this name already."


class HeadRecords(Store):
    """Regions and heads."""

    # Regions

    async def regions(self) -> list[Region]:
        """The user's own first, then the built-in ones, blocs before countries."""

        def work(session: Session) -> list[Region]:
            return list(session.exec(select(Region).where(col(Region.builtin).is_(False)).order_by(col(Region.id))))

        own = await self._db.read(work)
        taken = {region.id for region in own}
        return [*own, *(_builtin(code) for code in builtin_regions() if code not in taken)]

    async def get_region(self, code: str) -> Region:
        """By its code, in either case."""
        return await self._db.read(lambda session: _find_region(session, code))

    async def add_region(self, values: Mapping[str, Any]) -> Region:
        """Add a region of one's own: `id` (its code) and `name`.

        Raises:
            InvalidInput: messages by field.
        """
        columns = _checked(REGION_FIELDS, values)
        taken = f"There is a region {columns['id']} already."
        if columns["id"] in builtin_regions():
            raise InvalidInput({"id": f"{taken[:-1]}: {builtin_regions()[columns['id']]}."})
        return await self._save(Region(**columns), "region", "added", duplicate={"id": taken})

    async def edit_region(self, code: str, changes: Mapping[str, Any]) -> Region:
        """Give one's own region another name; its code stays, since models and heads hold it.

        Raises:
            InvalidInput: messages by field. NotAllowed: it is built in.
        """
        columns = _checked(REGION_FIELDS, changes, partial=True)
        if columns.get("id", code) != code:
            raise InvalidInput({"id": "A code stays as it is: add another region, and move to it."})

        def work(session: Session) -> Region:
            region = _own_region(session, code, "edited")
            assign(region, columns)
            return region

        return await self._change(work, "region", "edited")

    async def remove_region(self, code: str) -> Region:
        """Remove one's own region.

        Raises:
            NotAllowed: it is built in. Refused: models or heads are in it.
        """

        def work(session: Session) -> Region:
            region = _own_region(session, code, "removed")
            refuse_used(
                f"The region {region.id}", uses_of(session, region=region.id), "Give them another region first."
            )
            session.delete(region)
            return region

        return await self._change(work, "region", "deleted")

    # Heads

    async def heads(self) -> list[Head]:
        """All, by name."""
        return await self._db.read(lambda session: list(session.exec(select(Head).order_by(col(Head.name)))))

    async def get_head(self, ref: str) -> Head:
        """By name or id."""
        return await self._db.read(lambda session: _find_head(session, ref))

    async def add_head(self, values: Mapping[str, Any]) -> Head:
        """Add a gateway.

        Raises:
            InvalidInput: messages by field.
        """
        head = Head(**_checked(HEAD_FIELDS, values))

        def work(session: Session) -> Head:
            refuse_unknown_places(session, {"region": head.region})
            session.add(head)
            return head

        return await self._change(work, "head", "added", duplicate={"name": _TAKEN_HEAD})

    async def edit_head(self, ref: str, changes: Mapping[str, Any]) -> Head:
        """Write only what changed; models follow a new name.

        Raises:
            InvalidInput: messages by field.
        """
        columns = _checked(HEAD_FIELDS, changes, partial=True)

        def work(session: Session) -> Head:
            head = _find_head(session, ref)
            refuse_unknown_places(session, {"region": columns.get("region", "")})
            if columns.get("name", head.name) != head.name:
                _rename(session, head.name, columns["name"])
            assign(head, columns)
            return head

        return await self._change(work, "head", "edited", duplicate={"name": _TAKEN_HEAD})

    async def remove_head(self, ref: str) -> Head:
        """Forget a gateway; nothing of it is stopped.

        Raises:
            Refused: it is the head of models.
        """

        def work(session: Session) -> Head:
            head = _find_head(session, ref)
            refuse_used(f"The head {head.name}", uses_of(session, head=head.name), "Give them another head first.")
            session.delete(head)
            return head

        return await self._change(work, "head", "deleted")

    # Who uses them

    async def uses(self, *, region: str = "", head: str = "", shown: int = SHOWN) -> Uses:
        """Who refers to this region or this head."""
        return await self._db.read(lambda session: uses_of(session, region=region, head=head, shown=shown))

    async def count_uses(self) -> tuple[dict[str, int], dict[str, int]]:
        """How many models each region has, and each head."""

        def counted(session: Session, column: Any) -> dict[str, int]:  # noqa: ANN401 - a column of Model
            rows = session.exec(select(column, func.count()).where(column != "").group_by(column))
            return {str(name): int(count) for name, count in rows}

        def work(session: Session) -> tuple[dict[str, int], dict[str, int]]:
            return counted(session, col(Model.region)), counted(session, col(Model.head))

        return await self._db.read(work)

    # Forms

    async def check_form(self, kind: str, values: Mapping[str, Any], *, editing: str | None = None) -> dict[str, str]:
        """What saving these fields would refuse, by field, without saving: `kind` is "model", "head" or "region".

        `editing` is the id of the record that is edited; only what is in `values` is checked.
        """
        if kind == "model":
            problems = check_model(values, partial=True)
        else:
            problems = check_fields(HEAD_FIELDS if kind == "head" else REGION_FIELDS, values, partial=True)

        def work(session: Session) -> dict[str, str]:
            found = unknown_places(session, values)
            if taken := _taken(session, kind, values, editing, self.user_id):
                found["id" if kind == "region" else "name"] = taken
            return found

        return {**await self._db.read(work), **problems}


def _taken(session: Session, kind: str, values: Mapping[str, Any], editing: str | None, user_id: str) -> str:
    """Whether another record has this name (or, of a region, this code)."""
    if kind == "region":
        code = str(values.get("id", ""))
        known = code in builtin_regions() or session.get(Region, code) is not None
        return f"There is a region {code} already." if known and code != editing else ""
    name = values.get("name")
    if kind == "head":
        found = session.exec(select(Head.id).where(Head.name == name)).first()
        return _TAKEN_HEAD if found is not None and found != editing else ""
    mine = select(Model.id, Model.archived_at).where(Model.name == name, Model.user_id == user_id)
    other = session.exec(mine.where(Model.id != (editing or ""))).first()
    if other is None:
        return ""
    return f"There is {'an archived' if other[1] else 'a'} model of this name already."


def _checked(specs: Mapping[str, FieldSpec], values: Mapping[str, Any], *, partial: bool = False) -> dict[str, Any]:
    if problems := check_fields(specs, values, partial=partial):
        raise InvalidInput(problems)
    return dict(values)


def _builtin(code: str) -> Region:
    return Region(id=code, name=builtin_regions()[code], builtin=True)


def _find_region(session: Session, code: str) -> Region:
    wanted = code.strip().lower()
    region = session.get(Region, wanted)
    if region is None and wanted in builtin_regions():
        region = _builtin(wanted)
    if region is None:
        raise NotFound(
            f"There is no region {code!r}.", remedy="modelyard regions list shows them; regions add adds one."
        )
    return region


def _own_region(session: Session, code: str, verb: str) -> Region:
    region = _find_region(session, code)
    if region.builtin:
        raise NotAllowed(
            f"{region.id} ({region.name}) is a built-in region and can't be {verb}.",
            remedy="Add a region of your own: modelyard regions add CODE NAME",
        )
    return region


def _find_head(session: Session, ref: str) -> Head:
    head = session.exec(select(Head).where(or_(col(Head.name) == ref, col(Head.id) == ref))).first()
    if head is None:
        raise NotFound(f"There is no head {ref!r}.", remedy="modelyard heads list shows them; heads add adds one.")
    return head


def _rename(session: Session, before: str, after: str) -> None:
    for model in session.exec(select(Model).where(Model.head == before)):
        assign(model, {"head": after})
