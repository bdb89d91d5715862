"""A host's own download as the worker's work: started there, watched from here, picked up again after a cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from core.downloads.direct import Seen, Task, failure, launch_problem
from core.downloads.direct_script import CLEAN, LIMIT, STOP, WATCH
from core.downloads.host_lines import HostLines
from core.downloads.room import no_room_there
from core.downloads.sources.base import Listing
from core.downloads.values import Cancelled
from core.downloads.work import AsyncWork
from core.errors import HostUnreachable, ModelyardError
from core.events import now
from core.files import pickle_fetch
from core.files.installed import InstalledModel
from core.hosts import remote
from core.hosts.installed_there import note
from core.hosts.stream_copy import look

if TYPE_CHECKING:
    from core.hosts.connection import Connection
    from core.hosts.service import HostService
    from core.registry.jobs import Job
    from core.registry.store import Registry

_LOOK_AT = 500  # paths in one question
_RETRY_S, _LONGEST_RETRY_S, _PATIENCE_S = 2.0, 30.0, 6 * 3600.0  # nothing is lost meanwhile: the host goes on
_LATER = ", the new limit holds from the next file on: its server may not go on in the middle of this one"
_STOP_S = 60.0  # for a host that is to stop and can't be reached
_LOOK_S, _SOON, _TRY_S = 1.0, 2, 5.0  # for another share of the line; so often at first where it is not kept to yet
_NO_ROOM = 1 << 20  # bytes: with less free, an end without a word is a full disk's


class DirectWork(AsyncWork):
    """One attempt to have a host fetch a job's files."""

    def __init__(
        self, job: Job, *, registry: Registry, hosts: HostService, token: str, lines: HostLines | None = None
    ) -> None:
        super().__init__()
        self._job = job
        self._registry = registry
        self._hosts = hosts
        self._token = token
        self._listing = Listing.from_dict(job.spec["listing"])
        root = job.folder.removesuffix("/" + job.spec["place"])
        known = {str(file["path"]): str(file["sha256"]) for file in job.files}
        replace = bool(job.spec.get("repair"))
        self._task_there = Task.of(job.id, root, job.folder, self._listing, known=known, replace=replace)
        self._lines = lines or HostLines()
        self._limit = ""  # what of it does not hold yet
        self._seen = Seen()
        self._first: int | None = None  # bytes that were there when we looked first
        self._bytes = 0
        self._left: dict[str, str] = {}  # what could not be ended
        self._doing = f"starting on {job.host}"

    @property
    def received(self) -> int:
        """Bytes that came to the host while we looked."""
        return max(0, self._bytes - (self._first or 0))

    @property
    def files_done(self) -> int:
        """How many files are there and right."""
        return len(self._seen.done)

    def told(self, *, files: bool) -> dict[str, Any]:
        """See `Work.told`."""
        state = "verifying" if self._seen.verifying and not self._seen.under_way else "running"
        told: dict[str, Any] = {"doing": self._doing, "state": state, **self._left}
        if self._first is not None:
            told["bytes_done"] = self._bytes
        return {**told, "files": self._files()} if files and self._seen.done else told

    def _files(self) -> list[dict[str, Any]]:
        named = self._task_there.files
        done = sorted((named[number].path, size, sha256) for number, (size, sha256) in self._seen.done.items())
        return [{"path": path, "size": size, "sha256": sha256} for path, size, sha256 in done]

    async def run(self) -> dict[str, Any]:
        """See `Work.run`; when it is cancelled, the host is told to stop."""
        if (await self._registry.get_job(self._job.id)).wanted != "run":
            self.cancel()
        try:
            return await super().run()
        except Cancelled:
            await self._stop()
            raise

    async def _run(self) -> dict[str, Any]:
        connection = self._hosts.connection(await self._registry.get_host(self._job.host))
        with self._lines.joined(self._job.host):
            return await self._to_the_end(connection)

    async def _to_the_end(self, connection: Connection) -> dict[str, Any]:
        clock = asyncio.get_running_loop().time
        met, wait_s = clock(), _RETRY_S
        while True:
            try:
                await self._once(connection)
                return await self._noted(connection)
            except _Silent as error:
                if self._first is None or clock() - met > _PATIENCE_S:
                    raise error.cause from error
                if error.was_heard:
                    met, wait_s = clock(), _RETRY_S
                self._doing = f"{self._job.host} goes on by itself; waiting for the line: {error.cause.message}"
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_RETRY_S)

    async def _once(self, connection: Connection) -> None:
        """Start it or find it going on, and watch it to its end."""
        task, heard = self._task_there, False
        try:
            await self._check_room(connection)
            share = self._lines.share(self._job.host)
            argv = task.launch_argv(share)
            begun = await connection.run(argv, stdin=task.stdin(self._token), timeout_s=120.0, check=False)
            if begun.code != 0:
                raise launch_problem(connection.name, begun, task.state)
            self._seen = Seen()
            async with self._limited(connection, share, is_late="later" in begun.stdout):
                async for line in _heard(connection, task):
                    heard = True
                    self._seen.take(line)
                    self._look_at(line)
            free = (await connection.disk(task.root)).free
        except HostUnreachable as error:
            raise _Silent(error, was_heard=heard) from error
        if self._seen.failed is None and not self._seen.end and free < _NO_ROOM:
            self._seen.failed = 0, "write", "the disk is full"
        if self._seen.end != "ok" or len(self._seen.done) < len(task.files):
            raise failure(connection.name, self._job.id, task, self._seen)

    @asynccontextmanager
    async def _limited(self, connection: Connection, share: int, *, is_late: bool) -> AsyncIterator[None]:
        """Meanwhile the host is told of another share of its line."""
        keeping = asyncio.create_task(self._keep_share(connection, share, is_late=is_late))
        try:
            yield
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping

    async def _keep_share(self, connection: Connection, told: int, *, is_late: bool) -> None:
        """What has just begun there takes it a moment later, what its server can't continue with its next file."""
        self._limit, tries = "", 0
        while True:
            await asyncio.sleep(_LOOK_S if tries < _SOON else _TRY_S)
            share = self._lines.share(self._job.host)
            if share == told and not is_late:
                continue
            try:
                argv = remote.script(LIMIT, self._task_there.state, str(share))
                is_late, why = "later" in (await connection.run(argv, timeout_s=_STOP_S)).stdout, _LATER
            except ModelyardError as error:  # a line that broke is met by who watches, too
                is_late, why = True, f", keeps its limit: {error.message}"
            told, tries = share, tries + 1 if is_late else 0
            self._limit = why if tries >= _SOON else ""

    def _look_at(self, line: str) -> None:
        if not line.startswith("b "):
            return
        self._bytes = self._seen.bytes_done
        self._first = self._bytes if self._first is None else self._first
        waits = f", waits: {self._seen.waits}" if self._seen.waits else ""
        what = "reading what came" if self._seen.verifying and not self._seen.under_way else "downloading by itself"
        self._doing = f"{self._job.host}: {what}{waits}{self._limit}"

    async def _check_room(self, connection: Connection) -> None:
        """What is still to come (D12)."""
        task, needed = self._task_there, 0
        for at in range(0, len(task.files), _LOOK_AT):
            files = task.files[at : at + _LOOK_AT]
            seen = await look(connection, [path for file in files for path in task.places(file)])
            for file, there, part in zip(files, seen[::2], seen[1::2], strict=True):
                needed += 0 if there.kind == "f" and not task.replace else max(0, (file.size or 0) - part.size)
        disk = await connection.disk(task.root)
        if needed > disk.free:
            raise no_room_there(connection.name, task.root, needed, disk.free)

    async def _noted(self, connection: Connection) -> dict[str, Any]:
        """The files are there and right: a note that can't be written is told, and fails nothing."""
        ended: dict[str, Any] = {"bytes_done": self._seen.bytes_done, "result": {"path": self._job.folder}}
        try:
            if not self._task_there.replace:
                await note(connection, self._task_there.root, [await self._entry(connection)])
            await connection.run(remote.script(CLEAN, self._task_there.state), check=False)
        except HostUnreachable as error:
            raise _Silent(error, was_heard=True) from error
        except ModelyardError as error:
            told = {"error": f"The files are there and right; {error.message}", "error_code": error.code}
            return {**ended, **told, "cause": error.cause, "remedy": error.remedy}
        return ended

    async def _entry(self, connection: Connection) -> InstalledModel:
        """With what a scanner sees of its pickles, in the parts of them that it wants to see."""
        place = str(self._job.spec["place"])
        told = [{**file, "path": f"{place}/{file['path']}"} for file in self._files()]
        files = await pickle_fetch.marked(connection, PurePosixPath(self._task_there.root), told)
        return InstalledModel(
            path=str(files[0]["path"]) if len(files) == 1 else place,
            title=self._listing.title,
            source=self._listing.source,
            revision=self._listing.revision,
            licence=self._listing.licence,
            installed_at=now().isoformat(timespec="seconds"),
            files=files,
        )

    async def _stop(self) -> None:
        """End it there, if it can be reached; else it is told that it may go on."""
        self._doing = f"stopping it on {self._job.host}"
        try:
            async with asyncio.timeout(_STOP_S):
                connection = self._hosts.connection(await self._registry.get_host(self._job.host))
                while True:
                    with contextlib.suppress(HostUnreachable):
                        await connection.run(remote.script(STOP, self._task_there.state), timeout_s=20)
                        return
                    await asyncio.sleep(_RETRY_S)
        except TimeoutError:
            self._left = {
                "error": f"{self._job.host} can't be reached: the download may go on there.",
                "error_code": "HostSilent",
                "remedy": f"On {self._job.host}: kill $(cut -d' ' -f1 {self._task_there.state}/pid)",
            }


class _Silent(Exception):
    """The line broke; the download there goes on."""

    def __init__(self, cause: HostUnreachable, *, was_heard: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.was_heard = was_heard


async def _heard(connection: Connection, task: Task) -> AsyncIterator[str]:
    """What the host tells until it is over."""
    async with aclosing(connection.stream(remote.script(WATCH, task.state, task.folder))) as lines:
        async for line in lines:
            yield line
