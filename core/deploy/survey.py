"""Everything that the dry run looks at, asked of a host once and concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from core.deploy import ports
from core.deploy.readable import closed_to_containers
from core.errors import HostUnreachable, ModelyardError
from core.files.inspect import inspect_model
from core.files.values import ModelInfo
from core.registry.values import RuntimeName

if TYPE_CHECKING:
    from core.deploy.runtimes import Runtimes
    from core.hosts.connection import Connection
    from core.hosts.service import HostService
    from core.hosts.values import HostOverview
    from core.registry.records import Host, Model, Server
    from core.runtimes.base import Observed, RuntimeInfo

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was seen; an error stands in place of what could not be had."""

    model: Model
    host: Host
    overview: HostOverview
    model_path: str
    info: ModelInfo | ModelyardError
    runtime: RuntimeName
    runtime_info: RuntimeInfo | ModelyardError
    observed: tuple[Observed, ...]
    listening: frozenset[int]
    servers: tuple[Server, ...]  # the registry's, of this model on this host
    closed_files: tuple[str, ...] = ()  # that a container's root may not read


async def survey(
    model: Model, host: Host, runtime: RuntimeName, *, hosts: HostService, runtimes: Runtimes, servers: list[Server]
) -> Survey:
    """Look at the host.

    Raises:
        HostUnreachable: nothing can be said of it.
    """
    connection = hosts.connection(host)
    await connection.connect()
    engine = runtimes.get(host, runtime)
    (path, info, closed), overview, runtime_info, observed, listening = await asyncio.gather(
        _files(connection, model, host, runtime),
        hosts.overview(host.name),
        _or_error(engine.info()),
        _or_error(engine.list()),
        ports.listening(connection),
    )
    return Survey(
        model=model,
        host=host,
        overview=overview,
        model_path=path,
        info=info,
        runtime=runtime,
        runtime_info=runtime_info,
        observed=() if isinstance(observed, ModelyardError) else tuple(observed),
        listening=frozenset(listening),
        servers=tuple(servers),
        closed_files=closed,
    )


async def _or_error(asked: Awaitable[T]) -> T | ModelyardError:
    try:
        return await asked
    except HostUnreachable:
        raise
    except ModelyardError as error:
        return error


async def _files(
    connection: Connection, model: Model, host: Host, runtime: RuntimeName
) -> tuple[str, ModelInfo | ModelyardError, tuple[str, ...]]:
    path, info = await _model_info(connection, model, host)
    if runtime is not RuntimeName.DOCKER or isinstance(info, ModelyardError):
        return path, info, ()
    return path, info, await closed_to_containers(connection, info)


async def _model_info(connection: Connection, model: Model, host: Host) -> tuple[str, ModelInfo | ModelyardError]:
    """The first place of `places` where the model is; else the error of the first."""
    errors: list[ModelyardError] = []
    for path in places(model, host):
        seen = await _or_error(inspect_model(connection, path))
        if isinstance(seen, ModelInfo):
            return path, seen
        errors.append(seen)
    missing = ModelyardError(
        f"{model.name} has no path.", remedy=f"modelyard models edit {model.name} --path FILE_OR_FOLDER"
    )
    return model.path, errors[0] if errors else missing


def places(model: Model, host: Host) -> list[str]:
    """Where a model may lie on a host: its own path, and the host's models folder under the same name."""
    if not model.path:
        return []
    path = PurePosixPath(model.path)
    folder = PurePosixPath(host.models_dir or "/")
    if not path.is_absolute():
        return [str(folder / path)]
    if model.host == host.name:
        return [str(path)]
    return [str(path), str(folder / path.name)]
