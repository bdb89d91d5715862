"""Where things are kept and a handful of choices: environment, then config.toml, then XDG defaults."""

from __future__ import annotations

import getpass
import json
import os
import re
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
    download_bandwidth: int = 0  # bytes per second of all downloads and copies together; 0: no limit
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
            models_dir=Path(models_dir).expanduser(),
            db_path=Path(db_path).expanduser(),
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
        NotAllowed: MODELS_DIR stands above it. UsageError: the file can't be read.
    """
    if os.environ.get("MODELS_DIR"):
        raise NotAllowed("MODELS_DIR names the models folder of this machine.", remedy="Change or unset MODELS_DIR.")
    path = config_dir / "config.toml"
    _read_config(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    top = next((at for at, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    kept = [line for line in lines[:top] if not re.match(r"\s*models_dir\s*=", line)]
    fresh = path.with_suffix(".new")
    make_folder(config_dir)
    chosen = f"models_dir = {json.dumps(folder, ensure_ascii=False)}"
    fresh.write_text("\n".join([*kept, chosen, *lines[top:]]) + "\n", encoding="utf-8")
    fresh.replace(path)


def _runtime_dir() -> Path:
    """A short, private folder for sockets: Unix socket paths hold 107 bytes at most."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base.startswith("/") and len(base) < 40 and os.access(base, os.W_OK):
        return Path(base) / "modelyard"
    return Path(f"/tmp/modelyard-{os.getuid()}")  # noqa: S108 - owner and mode are checked before use
