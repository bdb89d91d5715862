"""Which of a model's files a container could not read: its root has no capabilities, so modes hold for it as well."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from core.hosts import remote

if TYPE_CHECKING:
    from core.files.values import ModelInfo
    from core.hosts.connection import Connection

_STAT = 'for f; do stat -L -c "%u %g %a" -- "$f" || echo - - -; done'
_MOST = 500  # files asked for; a model has fewer


async def closed_to_containers(connection: Connection, info: ModelInfo) -> tuple[str, ...]:
    """The paths, the folder's included, that a container's root may not read on that host; one round trip."""
    folder, of_folder = (posixpath.dirname(info.path), 0o1) if info.format == "gguf" else (info.path, 0o5)
    files = [posixpath.join(folder, name) for name, _ in info.files[:_MOST]]
    paths = [remote.safe(path) for path in (folder, *files)]
    told = await connection.run(remote.script(_STAT, *paths), check=False)
    modes = told.stdout.splitlines()
    return tuple(
        path
        for path, line in zip(paths, modes, strict=False)
        if not _is_open(line, wanted=of_folder if path == paths[0] else 0o4)
    )


def _is_open(line: str, *, wanted: int) -> bool:
    """Whether user 0 of group 0 has the bits of `wanted`; what can't be told is no finding."""
    owner, group, mode = line.split()
    if mode == "-":
        return True
    shift = 6 if owner == "0" else 3 if group == "0" else 0
    return (int(mode, 8) >> shift) & wanted == wanted
