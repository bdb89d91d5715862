"""Which running container of a host uses files there, though no record tells of it: another user's, or made by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from core.errors import CommandFailed, EngineUnavailable
from core.hosts.unix_http import NoAnswer, get_json

if TYPE_CHECKING:
    from core.hosts.connection import Connection


@dataclass(frozen=True, kw_only=True)
class _Mount:
    """A folder or file of the host that a container sees at `target`."""

    container: str
    command: str
    source: str
    target: str


async def container_with(
    connection: Connection, paths: Sequence[str], resolve: Callable[[Sequence[str]], Awaitable[Sequence[str]]]
) -> str:
    """The name of a container that has one of these files or folders mounted itself, or loads it from a mount.

    A mount of a folder with more in it counts only where the container's command names the file. "" for none, and
    where the engine can't be asked.

    Raises:
        HostUnreachable: no connection.
    """
    try:
        told = await get_json(await connection.docker_socket(), "/containers/json")
    except (EngineUnavailable, NoAnswer, CommandFailed):
        return ""
    mounts = list(_mounts(told))
    if not mounts:
        return ""
    real = [PurePosixPath(path) for path in await resolve([*paths, *(mount.source for mount in mounts)])]
    pairs = zip(mounts, real[len(paths) :], strict=True)
    return next((mount.container for mount, source in pairs if _uses(mount, source, real[: len(paths)])), "")


def _mounts(told: object) -> Iterator[_Mount]:
    for container in _mappings(told):
        names = container.get("Names")
        name = str(names[0]).lstrip("/") if isinstance(names, list) and names else str(container.get("Id", ""))[:12]
        for mount in _mappings(container.get("Mounts")):
            if mount.get("Type") == "bind" and str(mount.get("Source", "")).startswith("/"):
                yield _Mount(
                    container=name,
                    command=str(container.get("Command", "")),
                    source=str(mount["Source"]),
                    target=str(mount.get("Destination", "/")),
                )


def _uses(mount: _Mount, source: PurePosixPath, places: Iterable[PurePosixPath]) -> bool:
    for place in places:
        if source == place or place in source.parents:
            return True
        if source in place.parents and str(PurePosixPath(mount.target) / place.relative_to(source)) in mount.command:
            return True
    return False


def _mappings(found: object) -> Iterator[Mapping[str, Any]]:
    return (one for one in found if isinstance(one, Mapping)) if isinstance(found, list) else iter(())
