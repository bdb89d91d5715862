"""What regions and heads have to do with other records: which are there, and who refers to them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from core.errors import InvalidInput, Refused
from core.registry.records import Head, Model, Region

SHOWN = 5


@cache
def builtin_regions() -> Mapping[str, str]:
    """Names by code: blocs and the countries of ISO 3166-1."""
    kinds = tomllib.loads(Path(__file__).with_name("regions.toml").read_text(encoding="utf-8"))
    return {code: name for codes in kinds.values() for code, name in codes.items()}


@dataclass(frozen=True, kw_only=True)
class Uses:
    """Who refers to a region or a head: names of models and heads, a few of each, and how many there are."""

    models: tuple[str, ...] = ()
    model_count: int = 0
    heads: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`the models a, b and 3 more`, for a refusal; "" when nobody does."""
        more = self.model_count - len(self.models)
        models = ", ".join(self.models) + (f" and {more:,} more" if more else "")
        parts = [f"the models {models}" if models else "", f"the heads {', '.join(self.heads)}" if self.heads else ""]
        return " and ".join(part for part in parts if part)


def refuse_unknown_places(session: Session, values: Mapping[str, Any]) -> None:
    """A record's region and head must be there; called in the transaction that writes them.

    Raises:
        InvalidInput: one of them is not.
    """
    if problems := unknown_places(session, values):
        raise InvalidInput(problems)


def unknown_places(session: Session, values: Mapping[str, Any]) -> dict[str, str]:
    """Messages for a region or head that is not there, by field."""
    problems = {}
    region, head = values.get("region"), values.get("head")
    if region and region not in builtin_regions() and session.get(Region, region) is None:
        problems["region"] = f"There is no region {region}: choose one, or add it to the regions."
    if head and session.exec(select(Head.id).where(Head.name == head)).first() is None:
        problems["head"] = f"There is no head {head}: choose one, or add it to the heads."
    return problems


def uses_of(session: Session, *, region: str = "", head: str = "", shown: int = SHOWN) -> Uses:
    """The models and heads in a region, or the models of a head; at most `shown` names."""
    where = col(Model.region) == region if region else col(Model.head) == head
    names = session.exec(select(Model.name).where(where).order_by(col(Model.name)).limit(shown))
    count = session.exec(select(func.count()).select_from(Model).where(where)).one()
    heads = session.exec(select(Head.name).where(Head.region == region).order_by(col(Head.name))) if region else ()
    return Uses(models=tuple(names), model_count=count, heads=tuple(heads))


def refuse_used(what: str, uses: Uses, remedy: str) -> None:
    """What is still used can't go.

    Raises:
        Refused: with the names of those who use it.
    """
    if text := str(uses):
        raise Refused(f"{what} is used by {text}.", remedy=remedy)
