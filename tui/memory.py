"""What a screen keeps from one run to the next, such as filters and sort: one small file beside the registry."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

FILE = "screens.json"


def recall(folder: Path, place: str) -> dict[str, Any]:
    """What was kept for a screen; nothing where the file is missing or damaged."""
    kept = _read(folder / FILE).get(place)
    return kept if isinstance(kept, dict) else {}


def remember(folder: Path, place: str, values: Mapping[str, Any]) -> None:
    """Keep values for a screen, whole or not at all; a folder that can't be written to is no reason to stop."""
    with suppress(OSError):
        _write(folder / FILE, {**_read(folder / FILE), place: dict(values)})


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Readable by the user alone from its first byte on, as every temporary file is."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8") as file:
        temporary = Path(file.name)
        try:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
