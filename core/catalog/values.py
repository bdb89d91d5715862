"""What a catalog gives: entries, and what is wrong with its files, by file, line and field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from core.findings import Finding, Severity
from core.text import clean_line

BUILTIN = "builtin"
KEY = "api_key_ref"
COLUMNS = (
    *("name", "provider", "model_id", "served_name", "task", "context_length", "max_output_tokens"),
    *("default_temperature", "default_top_p", "endpoint", "api_key_ref", "region", "tags", "flags"),
)
CAPABILITIES = ("streaming", "tools", "vision")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong in a catalog file; `line` counts from 1 and is 0 where none can be told."""

    file: str
    line: int = 0
    field: str = ""
    message: str

    @property
    def text(self) -> str:
        """`file:line: field: message`, on one harmless line."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return clean_line(": ".join(part for part in (place, self.field, self.message) if part))

    def as_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return asdict(self)

    def as_finding(self) -> Finding:
        """As the doctor shows it."""
        return Finding(
            severity=Severity.WARNING,
            check="catalog",
            reason=self.text,
            remedy=f"Correct the file; modelyard catalog check {clean_line(self.file)} tells when it is right.",
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of a catalog; `values` are the fields as the file gives them, `catalog` is "builtin" or a file."""

    id: str
    values: Mapping[str, Any]
    catalog: str
    file: str
    line: int
    as_of: str = ""

    def columns(self) -> dict[str, Any]:
        """The columns of the record; what is not said stays at the form's default."""
        columns = {name: self.values[name] for name in COLUMNS if name in self.values}
        columns.setdefault("served_name", columns["model_id"])
        can = self.values.get("capabilities", ["streaming"])
        abilities = {f"supports_{name}": name in can for name in CAPABILITIES}
        return {**columns, **abilities, "tags": self._tags(), "extra": self.facts(), "catalog": self.catalog}

    def facts(self) -> dict[str, Any]:
        """What the catalog knows beyond the record's columns: licence, gating, size, date of the facts.

        The key that it names is among them: a user may have put another one on the record.
        """
        beyond = {k: v for k, v in self.values.items() if k not in COLUMNS and k != "capabilities"}
        beyond |= {KEY: self.values[KEY]} if self.values.get(KEY) else {}
        date = {"facts_as_of": self.as_of} if self.as_of else {}
        return {"catalog_id": self.id, **beyond, **date}

    def _tags(self) -> list[str]:
        family = str(self.values.get("family", "")).lower()
        tags = [*([family] if family else []), *self.values.get("tags", ())]
        return list(dict.fromkeys(tags))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        given = {name: value for name, value in self.columns().items() if name not in {"extra", "catalog"}}
        place = {"catalog": self.catalog, "file": self.file, "line": self.line}
        return {
            "id": self.id,
            **given,
            **{k: v for k, v in self.facts().items() if k not in {"catalog_id", KEY}},
            **place,
        }


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """All entries that hold, models and weights for download, and everything that does not."""

    entries: tuple[Entry, ...] = ()
    weights: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()
    files: tuple[str, ...] = field(default=())
