"""What an import is made of: the records, the rule for those that are there already, and what becomes of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class OnConflict(StrEnum):
    """What happens to a record whose name is there already with other values."""

    SKIP = "skip"  # the one that is there stays
    REPLACE = "replace"  # it becomes what comes in; fields that don't come in go to their defaults
    RENAME = "rename"  # what comes in is added under another name: NAME (2)
    MERGE = "merge-fields"  # only the fields that come in are set; tags, flags and metadata are joined


class Outcome(StrEnum):
    """What an import makes of a record."""

    ADD = "add"
    CHANGE = "change"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"  # there already with other values, and left alone
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A record from outside: `columns` holds only what was given; `problems` are messages by field."""

    kind: str  # "region", "head" or "model"
    name: str  # of a region, its code
    columns: Mapping[str, Any] = field(default_factory=dict)
    line: int | None = None  # or row, counted from 1
    where: str = ""  # what `line` counts in, or the path it was found at
    problems: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """`models.yaml:12`."""
        return f"{self.where}:{self.line}" if self.line else self.where


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of one record; `name` differs from the incoming one where it is renamed."""

    incoming: Incoming
    outcome: Outcome
    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)  # columns to write
    record_id: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that differ, by the names that a person knows."""
        names = ("metadata" if name == "extra" else name for name in self.changes)
        return tuple(names) if self.outcome in (Outcome.CHANGE, Outcome.CONFLICT) else ()

    @property
    def how(self) -> str:
        """Why, or which fields, for people; not yet harmless for a terminal."""
        if self.outcome is Outcome.INVALID:
            return "; ".join(f"{name}: {text}" for name, text in self.incoming.problems.items())
        renamed = f"as {self.name}" if self.name != self.incoming.name else ""
        fields = f"differs: {', '.join(self.fields)}" if self.fields else ""
        return "; ".join(part for part in (renamed, fields, *self.incoming.notes) if part)

    def as_dict(self) -> dict[str, object]:
        """A row of the preview for scripts."""
        one = self.incoming
        return {
            "kind": one.kind,
            "name": one.name,
            "as": self.name,
            "outcome": self.outcome.value,
            "fields": list(self.fields),
            "problems": dict(one.problems),
            "notes": list(one.notes),
            "where": one.where,
            "line": one.line,
        }
