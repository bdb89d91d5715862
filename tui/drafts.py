"""What stands in a form that was not saved yet: kept in a private file, so that a crash or a kill loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.events import now
from core.registry.checks import looks_secret

Raw = str | bool


@dataclass(frozen=True)
class Draft:
    """What was filled in, by field, and when."""

    values: Mapping[str, Raw]
    at: datetime


class Drafts:
    """One file per form in a folder of mode 0700; the files are 0600 and hold nothing that looks like a key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> Draft | None:
        """The draft of this form; None when there is none, or none that can be read."""
        try:
            kept = json.loads(self._path(name).read_text(encoding="utf-8"))
            values = {str(key): raw for key, raw in kept["values"].items() if isinstance(raw, str | bool)}
            at = datetime.fromisoformat(kept["at"]).astimezone(UTC)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return Draft(values, at) if values else None

    def write(self, name: str, values: Mapping[str, Raw]) -> None:
        """Keep these, and only these: all or nothing of it is there afterwards."""
        if not values:
            return self.remove(name)
        kept = {key: raw for key, raw in values.items() if isinstance(raw, bool) or not looks_secret(raw)}
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(name)
        fresh = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"values": kept, "at": now().isoformat()}, file)
        fresh.replace(path)
        return None

    def remove(self, name: str) -> None:
        """Saved or discarded."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
