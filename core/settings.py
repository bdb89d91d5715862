"""Where things are kept and a handful of choices: environment, then config.toml, then XDG defaults."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import NotAllowed, UsageError
from core.private import check_folder, make_folder

KEY_PLACES = ("auto", "keyring", "vault", "environment")


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else Path.home() / default


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Paths and choices of one user on this machine; folders are made by `ensure_folders`."""

    config_dir: Path
    data_dir: Path
    runtime_dir: Path
    models_dir: Path
    db_path: Path
    user_id: str
    theme: str = "modelyard"
    keys: str = "auto"  # where API keys are kept: "auto", "keyring", "vault" or "environment"
    connect_timeout_s: float = 10.0
    health_interval_s: float = 2.0
    load_timeout_s: float = 1800.0
    stop_timeout_s: float = 30.0
    download_jobs: int = 2  # at once
    download_parts: int = 4  # connections per file
    download_bandwidth: int = 0  # bytes per second of downloads and copies together, and of each host; 0: no limit
    ephemeral: bool = False  # processes of this program's servers end with it (the demo)
    catalog: str = ""  # a site catalog's file or folder in place of /etc/modelyard's; "none": no global models at all
    keymap: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls) -> Settings:
        """Read the environment and `config.toml`.

        Raises:
            UsageError: the file is not TOML, or a value has the wrong type.
        """
        config_dir = _xdg("XDG_CONFIG_HOME", ".config") / "modelyard"
        data_dir = _xdg("XDG_DATA_HOME", ".local/share") / "modelyard"
        chosen = _read_config(config_dir / "config.toml")
        in_file = chosen.pop("models_dir", None), chosen.pop("catalog", "")
        models_dir = os.environ.get("MODELS_DIR") or in_file[0] or data_dir / "models"
        db_path = os.environ.get("MODELS_DB_PATH") or data_dir / "registry.db"
        return cls(
            config_dir=config_dir,
            data_dir=data_dir,
            runtime_dir=_runtime_dir(),
            models_dir=Path(models_dir).expanduser().absolute(),  # the worker works in another folder than we
            db_path=Path(db_path).expanduser().absolute(),
            user_id=getpass.getuser(),
            catalog=os.environ.get("MODELYARD_CATALOG") or in_file[1],
            **chosen,
        )

    def ensure_folders(self) -> None:
        """Make the folders that are ours alone, mode 0700.

        Raises:
            Refused: one of them is open to others, or someone else's.
        """
        for folder in (self.data_dir, self.runtime_dir):
            make_folder(folder)
        check_folder(self.config_dir)
        self.db_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


_CHOICES: dict[str, type | tuple[type, ...]] = {
    "models_dir": str,
    "theme": str,
    "keys": str,
    "connect_timeout_s": (int, float),
    "health_interval_s": (int, float),
    "load_timeout_s": (int, float),
    "stop_timeout_s": (int, float),
    "download_jobs": int,
    "download_parts": int,
    "download_bandwidth": int,
    "catalog": str,
    "keymap": dict,
}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}", remedy="Correct the file or move it away.") from error
    for key, value in content.items():
        wanted = _CHOICES.get(key)
        if wanted is None or not isinstance(value, wanted):
            known = ", ".join(sorted(_CHOICES))
            raise UsageError(f"{path}: {key} is unknown or of the wrong type", remedy=f"Known keys: {known}.")
    if content.get("keys", "auto") not in KEY_PLACES:
        raise UsageError(f"{path}: keys is none of {', '.join(KEY_PLACES)}", remedy='The default is keys = "auto".')
    return content


def choose_models_dir(config_dir: Path, folder: str) -> None:
    """Write the models folder of this machine into config.toml; everything else in it stays as it is.

    Raises:
        NotAllowed: MODELS_DIR stands above it. UsageError: the file can't be read or changed.
    """
    if os.environ.get("MODELS_DIR"):
        raise NotAllowed("MODELS_DIR names the models folder of this machine.", remedy="Change or unset MODELS_DIR.")
    choose(config_dir, "models_dir", folder)


def chosen(config_dir: Path) -> dict[str, Any]:
    """What stands in config.toml now.

    Raises:
        UsageError: it can't be read.
    """
    return _read_config(config_dir / "config.toml")


def choose(config_dir: Path, key: str, value: str | int) -> None:
    """Write one choice into config.toml, in its line if it has one; comments and other keys stay as they are.

    Raises:
        UsageError: the file can't be read, or its line can't be told from others; it is as it was then.
    """
    path = (config_dir / "config.toml").resolve()  # of a link, the file
    wanted = {**_read_config(path), key: value}
    before = path.read_bytes().decode() if path.exists() else ""
    line = f"{key} = {value:_}" if isinstance(value, int) else f"{key} = {json.dumps(value, ensure_ascii=False)}"
    after = _with_choice(before, key, line)
    if not _says(after, wanted):
        raise UsageError(f"{path}: {key} can't be changed in this file.", remedy=f"Write it yourself: {line}")
    make_folder(config_dir)
    try:
        _replace(path, after)
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error}", remedy=f"See who may: ls -ld {path.parent}") from error


def _with_choice(text: str, key: str, line: str) -> str:
    """The text with this line in place of the key's, or below the last choice that is in no table."""
    lines = text.splitlines(keepends=True)
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    top = next((at for at, one in enumerate(lines) if one.lstrip().startswith("[")), len(lines))
    for at, one in enumerate(lines[:top]):
        if found := re.match(rf"\s*{key}\s*=\s*{_VALUE}(\s*(?:#.*)?)$", one):
            return "".join([*lines[:at], line + found[1].rstrip("\r\n") + end, *lines[at + 1 :]])
    while 0 < top < len(lines) and not _is_choice(lines[top - 1]):  # what stands above a table is the table's
        top -= 1
    if top and not lines[top - 1].endswith("\n"):
        lines[top - 1] += end
    return "".join([*lines[:top], line + end, *lines[top:]])


_VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[\w+.-]+)"""


def _is_choice(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _says(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text.encode().decode()) == wanted
    except ValueError:  # not TOML, or no text that a file can hold
        return False


def _replace(path: Path, text: str) -> None:
    """At once, with the rights that it had."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(text.encode())
        if path.exists():
            shutil.copymode(path, fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _runtime_dir() -> Path:
    """A short, private folder for sockets: Unix socket paths hold 107 bytes at most."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base.startswith("/") and len(base) < 40 and os.access(base, os.W_OK):
        return Path(base) / "modelyard"
    return Path(f"/tmp/modelyard-{os.getuid()}")  # noqa: S108 - owner and mode are checked before use
