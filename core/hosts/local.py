"""This machine as a host: the same contract as `SshConnection`, without a connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from core.errors import CommandFailed, InvalidInput
from core.hosts import engine_socket, local_copy, remote
from core.hosts.connection import Completed, CopyProgress, DiskUsage, FileStat
from core.hosts.process import Output, TooMuchOutput, execute, lines
from core.hosts.relay import Streams, relay
from core.hosts.ssh_errors import cause_of
from core.text import clean_line

if TYPE_CHECKING:
    from core.registry.records import Host
    from core.settings import Settings

R = TypeVar("R")
_THREADS = 4


class LocalConnection:
    """This machine; see `Connection` for what each method promises."""

    def __init__(self, host: Host, settings: Settings) -> None:
        self.name = host.name
        self._socket = host.docker_socket
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="modelyard-local")

    async def connect(self) -> None:
        """Always connected."""

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(
        self, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 60.0, check: bool = True
    ) -> Completed:
        words = remote.shown_command(argv)
        try:
            output = await execute(argv, stdin=stdin, timeout_s=timeout_s)
        except TimeoutError as error:
            raise CommandFailed(f"{self.name}: {words} did not end within {timeout_s:g} s.") from error
        except TooMuchOutput as error:
            raise CommandFailed(f"{self.name}: {words} wrote too much.", cause=str(error)) from error
        except OSError as error:
            output = _not_started(argv, error)
        done = Completed(
            argv=tuple(argv), code=output.code, stdout=output.stdout.decode("utf-8", "replace"), stderr=output.errors
        )
        if check and done.code != 0:
            raise self._failed(argv, output)
        return done

    async def stream(self, argv: Sequence[str], *, stdin: bytes | None = None) -> AsyncGenerator[str, None]:
        source = lines(argv, stdin=stdin)
        try:
            async with aclosing(source):
                async for item in source:
                    if isinstance(item, str):
                        yield item
                    elif item.code != 0:
                        raise self._failed(argv, item)
        except OSError as error:
            raise self._failed(argv, _not_started(argv, error)) from error

    async def read(self, path: str, *, offset: int = 0, length: int) -> bytes:
        return await self._files(path, "read", partial(_read, path, offset, length))

    async def stat(self, path: str) -> FileStat | None:
        try:
            return await self._in_pool(partial(_stat, path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._problem(path, "look at", error) from error

    async def listdir(self, path: str) -> list[FileStat]:
        return await self._files(path, "list", partial(_list, path))

    async def disk(self, path: str) -> DiskUsage:
        return await self._files(path, "measure the disk of", partial(_disk, path))

    async def docker_socket(self) -> Path:
        problem = await engine_socket.answers(Path(self._socket))
        if not problem:
            return Path(self._socket)
        other = await self._other_socket()
        if other is not None:
            return other
        seen = await engine_socket.look(self._look, self._socket)
        raise engine_socket.explain(seen, host=self.name, path=self._socket, problem=problem)

    async def _other_socket(self) -> Path | None:
        """A rootless engine's, or what DOCKER_HOST says, unless the record names a socket of its own."""
        if self._socket != engine_socket.DEFAULT_SOCKET:
            return None
        found = Path(await engine_socket.discover(self._look))
        return None if await engine_socket.answers(found) else found

    async def tunnel(self, port: int) -> Path:
        if not 0 < port < 65536:
            raise InvalidInput({"port": f"{port} is not a port"})
        return Path()

    @asynccontextmanager
    async def open_port(self, port: int, *, local_port: int = 0) -> AsyncIterator[int]:
        async def dial() -> Streams:
            return await asyncio.open_connection("127.0.0.1", port)

        await self.tunnel(port)
        async with relay(dial, local_port=local_port) as listening:
            yield listening

    async def copy_to(self, source: Path, target: str) -> AsyncGenerator[CopyProgress, None]:
        async with aclosing(local_copy.copy(source, Path(target), pool=self._pool, host=self.name)) as reports:
            async for report in reports:
                yield report

    async def _look(self, argv: Sequence[str]) -> Output:
        return await execute(argv, timeout_s=30)

    async def _in_pool(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _files(self, path: str, doing: str, work: Callable[[], R]) -> R:
        try:
            return await self._in_pool(work)
        except OSError as error:
            raise self._problem(path, doing, error) from error

    def _problem(self, path: str, doing: str, error: OSError) -> Exception:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return remote.not_found(self.name, path)
        if isinstance(error, PermissionError):
            return remote.denied(self.name, path, doing)
        return CommandFailed(f"{self.name}: can't {doing} {clean_line(path)}.", cause=error.strerror or str(error))

    def _failed(self, argv: Sequence[str], output: Output) -> CommandFailed:
        return remote.failed(self.name, argv, output, cause=cause_of(output.errors))


def _not_started(argv: Sequence[str], error: OSError) -> Output:
    """What a shell would say."""
    code = 127 if isinstance(error, FileNotFoundError) else 126
    return Output(code=code, stdout=b"", stderr=f"{argv[0]}: {error.strerror}".encode("utf-8", "replace"))


def _read(path: str, offset: int, length: int) -> bytes:
    with Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _stat(path: str) -> FileStat:
    return _described(path, os.stat(path))  # noqa: PTH116


def _described(path: str, found: os.stat_result) -> FileStat:
    return FileStat(
        path=path,
        size=found.st_size,
        is_dir=stat.S_ISDIR(found.st_mode),
        mtime=found.st_mtime,
        readable=os.access(path, os.R_OK),
    )


def _list(path: str) -> list[FileStat]:
    found: list[FileStat] = []
    with os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # it vanished meanwhile
                found.append(_entry(entry))
    return sorted(found, key=lambda one: one.path)


def _entry(entry: os.DirEntry[str]) -> FileStat:
    """A link to nowhere is listed as well, as the link."""
    try:
        return _described(entry.path, entry.stat())
    except FileNotFoundError:
        return _described(entry.path, entry.stat(follow_symlinks=False))


def _disk(path: str) -> DiskUsage:
    for parent in remote.ancestors(path):
        if os.path.lexists(parent):
            usage = shutil.disk_usage(parent)
            return DiskUsage(path=path, total=usage.total, free=usage.free)
    raise FileNotFoundError(path)
