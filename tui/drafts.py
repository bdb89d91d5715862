"""What stands in a form that was not saved yet: kept in a private file, so that a crash or a kill loses nothing."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import NotFound
from core.events import now
from core.registry.checks import looks_secret

if TYPE_CHECKING:
    from core.registry.store import Registry

Raw = str | bool
_KEPT_S = 90 * 86400  # a deleted record may come back by undo; its draft waits for it so long


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

    def old(self) -> list[str]:
        """The names of drafts that were not touched for a long time; files that a kill left half written go."""
        names = []
        for path in [*self._folder.glob("*")] if self._folder.is_dir() else []:
            with suppress(FileNotFoundError):  # another program of the user's tidies up, too
                if time.time() - path.stat().st_mtime < _KEPT_S:
                    continue
                if path.suffix == ".json":
                    names.append(path.stem)
                else:
                    path.unlink()
        return names

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


async def forget_gone(drafts: Drafts, registry: Registry) -> None:
    """Remove old drafts of records that are not there any more; those of new records stay."""
    for name in await asyncio.to_thread(drafts.old):
        kind, _, record_id = name.partition("-")
        find = {"model": registry.get_model, "head": registry.get_head, "region": registry.get_region}.get(kind)
        if find is None or record_id == "new":
            continue
        try:
            await find(record_id)
        except NotFound:
            await asyncio.to_thread(drafts.remove, name)
