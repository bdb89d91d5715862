"""The models folder of a host (L9): shown from its record, set without anything being moved."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InvalidInput, NotAllowed
from core.registry.values import LOCAL_HOST
from core.settings import choose_models_dir

if TYPE_CHECKING:
    from core.registry.records import Host
    from core.registry.store import Registry
    from core.settings import Settings


def models_dir_of(host: Host) -> str:
    """Its models folder.

    Raises:
        NotAllowed: it has none.
    """
    if not host.models_dir.startswith("/"):
        raise NotAllowed(
            f"{host.name} has no models folder.", remedy=f"modelyard files base-dir FOLDER --host {host.name}"
        )
    return host.models_dir


def _is_no_folder(path: str) -> bool:
    return os.path.lexists(path) and not Path(path).is_dir()


async def set_base_dir(registry: Registry, settings: Settings, host_name: str, folder: str) -> Host:
    """Let a host's models folder be this one; this machine's is kept in config.toml, too, from the next start on.

    Raises:
        NotFound: no such host. InvalidInput: no absolute path, or no folder. NotAllowed: MODELS_DIR names it.
    """
    host = await registry.get_host(host_name)
    if not folder.startswith("/"):
        raise InvalidInput({"folder": "an absolute path is needed"})
    if host.name == LOCAL_HOST:
        if await asyncio.to_thread(_is_no_folder, folder):
            raise InvalidInput({"folder": f"{folder} is no folder"}, remedy="Name a folder; it may be one to be made.")
        choose_models_dir(settings.config_dir, folder)
    return await registry.edit_host(host.name, {"models_dir": folder})
