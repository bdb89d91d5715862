"""Saves the traceback of an error that nobody foresaw: for its owner alone, and without secrets."""

from __future__ import annotations

import os
import re
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from core.errors import ModelyardError
from core.redaction import without_handled
from core.settings import Settings

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"""
    (?i: \bbearer \s+ ) [^\s'"]+
  | \b (?: hf_ | sk- | ghp_ | glpat- ) [\w-]{8,}
  | (?<= :// ) [^/\s:@]+ : [^/\s@]+ (?= @ )       # user:password in an address
  | (?i: (?: api[_-]?key | token | secret | password ) ['"]? \s* [=:] \s* ['"]? ) [^\s'",]+
    """,
    re.VERBOSE,
)
_SHORTEST_SECRET = 6  # characters: shorter values would blank out half the text


def save(error: BaseException) -> Path | None:
    """Write the traceback to a new file, mode 0600; None when nothing can be written."""
    text = without_secrets("".join(traceback.format_exception(error)))
    name = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-"
    for folder in (_own_folder(), Path(tempfile.gettempdir())):
        try:
            for made in (folder.parent, folder):  # the one above is the data folder, which must be private too
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)
        except OSError:
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return Path(path)
    return None


def without_secrets(text: str) -> str:
    """The text without the keys that were handled, secret-looking environment variables, and well-known forms."""
    text = without_handled(text)
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "[secret]")
    return _SECRET_TEXT.sub("[secret]", text)


def _own_folder() -> Path:
    try:
        return Settings.load().data_dir / "crashes"
    except ModelyardError:
        return Path(tempfile.gettempdir())
