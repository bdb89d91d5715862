"""The words of import and export: formats, limits, what is read, what comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from core.errors import UsageError
from core.events import Event
from core.registry.import_values import Decision, Incoming, OnConflict, Outcome

KINDS = ("regions", "heads", "models")  # in the order of a document
VERSION = 1  # of the exported documents
DEEPEST = 60  # levels of lists and objects in each other
LIST_NAMES: Mapping[str, str] = {"regions": "region", "heads": "head", "models": "model", "model_list": "litellm"}


class Format(StrEnum):
    """How records are written in a file."""

    JSON = "json"
    YAML = "yaml"
    TOML = "toml"
    CSV = "csv"

    @classmethod
    def of(cls, name: str) -> Format | None:
        """By a file's name; None when it does not tell."""
        suffix = name.rpartition(".")[2].lower()
        return {"yml": cls.YAML}.get(suffix) or next((one for one in cls if one.value == suffix), None)


LARGEST: Mapping[Format, int] = {  # bytes of a file: what its reader copes with in time and memory
    Format.JSON: 256 << 20,
    Format.CSV: 256 << 20,
    Format.YAML: 64 << 20,
    Format.TOML: 32 << 20,
}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing of a document, in order: an element of a list that we know, or another member (`kind` "")."""

    kind: str
    key: str
    value: Any
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was found in a file or a store; `notes` are about it as a whole."""

    source: str
    records: Sequence[Incoming]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What an import would do, record by record; nothing is written yet."""

    source: str
    rule: OnConflict
    decisions: Sequence[Decision]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many of each outcome, in a fixed order."""
        counted = Counter(decision.outcome for decision in self.decisions)
        return {outcome: counted[outcome] for outcome in Outcome}

    @property
    def writes(self) -> int:
        """How many records would be added or changed."""
        counts = self.counts
        return counts[Outcome.ADD] + counts[Outcome.CHANGE]


@dataclass(frozen=True, kw_only=True)
class Imported(Event):
    """An import ended; `batch` takes all of it back."""

    source: str
    batch: str
    counts: Mapping[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()  # of the first models that were added


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote; `left_out` names values that look like secrets, which never leave."""

    counts: Mapping[str, int]
    left_out: tuple[str, ...] = ()


def unreadable(source: str, reason: str, *, line: int | None = None, remedy: str = "") -> UsageError:
    """A file that can't be read as records."""
    place = f"{source}:{line}" if line else source
    return UsageError(f"{place} can't be read: {reason}", remedy=remedy or "Correct the file, or export it again.")
