"""A check of installed files as the worker's work (D9): here or on a host, nothing read twice in one job."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.downloads.work import AsyncWork, Work
from core.errors import CommandFailed, HostSilent
from core.files.service import is_bad
from core.files.verify import Condition, Verification
from core.hosts.stream_copy import hash_many, hash_there, look
from core.registry.values import LOCAL_HOST
from core.text import clean_line

if TYPE_CHECKING:
    from core.files.verify import Checked
    from core.hosts.connection import Connection
    from core.hosts.service import HostService
    from core.registry.jobs import Job
    from core.registry.store import Registry

_AT_ONCE = 4  # files on a host
_LOOK_AT = 500  # names in one question
_SMALL, _FEW = 16 << 20, 50  # bytes of a file that is read with others, and how many
_RETRY_S, _PATIENCE_S = 2.0, 300.0


def verify_work(job: Job, *, registry: Registry, hosts: HostService) -> Work:
    """For files of this machine, or of a host."""
    return VerifyHere(job) if job.host == LOCAL_HOST else VerifyThere(job, registry=registry, hosts=hosts)


class _Results:
    """What was found so far: of earlier attempts, and now."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.files: list[dict[str, Any]] = list(job.files)
        known = {str(file["path"]) for file in self.files}
        self.left = [file for file in job.spec["files"] if file["path"] not in known]
        self._before = sum(int(file["size"]) for file in job.spec["files"]) - sum(int(f["size"]) for f in self.left)

    def told(self, read: int, doing: str, *, files: bool) -> dict[str, Any]:
        told = {
            "bytes_done": min(self._before + read, self._job.bytes_total or 0),
            "doing": doing,
            "state": "verifying",
        }
        return {**told, "files": list(self.files)} if files else told

    def add(self, path: str, condition: str, *, size: int | None, expected: int, cause: str = "") -> None:
        found = {"path": path, "condition": condition, "size": size, "expected": expected}
        self.files.append({**found, "cause": clean_line(cause)} if cause else found)

    def end(self) -> dict[str, Any]:
        """A check that found bad files is done, too; its `error` names them."""
        bad = sorted((file for file in self.files if is_bad(file["condition"])), key=lambda file: file["path"])
        ended: dict[str, Any] = {
            "bytes_done": self._job.bytes_total,
            "result": {"bad": len(bad), "all": len(self.files)},
        }
        if bad:
            ended |= {"error": _named(bad), "error_code": "WrongBytes", "remedy": _remedy(self._job)}
        return ended


def _named(bad: Sequence[Mapping[str, Any]]) -> str:
    named = ", ".join(f"{clean_line(file['path'])} is {file['condition']}" for file in bad[:3])
    rest = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    plural = "file is" if len(bad) == 1 else "files are"
    return f"{len(bad)} {plural} not what was installed: {named}{rest}."


def _remedy(job: Job) -> str:
    where = "" if job.host == LOCAL_HOST else f" --host {job.host}"
    return f"modelyard files verify --repair{where} fetches just these again."


class VerifyHere(AsyncWork):
    """Files of this machine, several at once."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._results = _Results(job)
        self._check = Verification(Path(job.folder), self._results.left)

    @property
    def received(self) -> int:
        """Bytes read."""
        return self._check.done

    @property
    def files_done(self) -> int:
        """How many files were checked."""
        return len(self._results.files)

    def told(self, *, files: bool) -> dict[str, Any]:
        """See `Work.told`."""
        return self._results.told(self._check.done, "reading the files here", files=files)

    def cancel(self) -> None:
        """Stop soon; files that were checked stay so."""
        self._check.cancel()
        super().cancel()

    async def _run(self) -> dict[str, Any]:
        try:
            await asyncio.to_thread(self._check.run, self._heard)
        finally:
            self._check.cancel()
        return self._results.end()

    def _heard(self, checked: Checked) -> None:
        self._results.add(
            checked.path, checked.condition, size=checked.size, expected=checked.expected, cause=checked.cause
        )


class VerifyThere(AsyncWork):
    """Files of a host, read by the host."""

    def __init__(self, job: Job, *, registry: Registry, hosts: HostService) -> None:
        super().__init__()
        self._job = job
        self._registry = registry
        self._hosts = hosts
        self._results = _Results(job)
        self._read: dict[str, int] = {}
        self._doing = "looking at what is there"

    @property
    def received(self) -> int:
        """Bytes read there."""
        return sum(self._read.values())

    @property
    def files_done(self) -> int:
        """How many files were checked."""
        return len(self._results.files)

    def told(self, *, files: bool) -> dict[str, Any]:
        """See `Work.told`."""
        return self._results.told(self.received, f"{self._job.host}: {self._doing}", files=files)

    async def _run(self) -> dict[str, Any]:
        connection = self._hosts.connection(await self._registry.get_host(self._job.host))
        clock = asyncio.get_running_loop().time
        met = clock()
        while True:
            before = self.received, self.files_done
            try:
                await self._all(connection)
            except HostSilent as error:
                met = clock() if (self.received, self.files_done) != before else met
                if clock() - met > _PATIENCE_S:
                    raise
                self._doing = f"waiting for the line: {error.message}"
                await asyncio.sleep(_RETRY_S)
            else:
                return self._results.end()

    async def _all(self, connection: Connection) -> None:
        known = {str(file["path"]) for file in self._results.files}
        left = [file for file in self._results.left if file["path"] not in known]
        waiting = asyncio.Semaphore(_AT_ONCE)

        async def few(files: Sequence[Mapping[str, Any]]) -> None:
            async with waiting:
                await (self._small(connection, files) if len(files) > 1 else self._content(connection, files[0]))

        for at in range(0, len(left), _LOOK_AT):
            fitting = await self._fitting(connection, left[at : at + _LOOK_AT])
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_told_silence(few(files))) for files in _by_few(fitting)]
            if lost := next((error for task in tasks if (error := task.result())), None):
                raise lost

    async def _fitting(self, connection: Connection, files: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of the right size; the others are known to be bad without being read."""
        seen = await look(connection, [self._path(file) for file in files])
        fitting = []
        for file, there in zip(files, seen, strict=True):
            expected = int(file["size"])
            if there.kind == "f" and there.size == expected:
                fitting.append(file)
            elif there.kind == "f":
                self._results.add(file["path"], Condition.SHORT, size=there.size, expected=expected)
            else:
                self._results.add(file["path"], Condition.MISSING, size=None, expected=expected)
        return fitting

    async def _content(self, connection: Connection, file: Mapping[str, Any]) -> None:
        path, size, wanted = str(file["path"]), int(file["size"]), str(file.get("sha256", ""))
        condition, cause = Condition.UNKNOWN, ""
        if wanted:
            self._doing = f"reading {clean_line(path)}"
            try:
                condition = Condition.FINE if await self._hash(connection, file) == wanted else Condition.CHANGED
            except CommandFailed as error:
                condition, cause = Condition.UNREADABLE, error.cause or error.message
        self._read[path] = size
        self._results.add(path, condition, size=size, expected=size, cause=cause)

    async def _small(self, connection: Connection, files: Sequence[Mapping[str, Any]]) -> None:
        """Many in one session: a session each would take longer than the reading."""
        self._doing = f"reading {len(files)} small files"
        async with aclosing(hash_many(connection, [self._path(file) for file in files])) as hashes:
            left = iter(files)
            async for found in hashes:
                file = next(left)
                right = Condition.FINE if found == file["sha256"] else Condition.CHANGED
                size = self._read[file["path"]] = int(file["size"])
                condition = right if found else Condition.UNREADABLE
                self._results.add(file["path"], condition, size=size, expected=size)

    async def _hash(self, connection: Connection, file: Mapping[str, Any]) -> str:
        found = ""
        async with aclosing(hash_there(connection, self._path(file))) as reports:
            async for report in reports:
                if isinstance(report, str):
                    found = report
                else:
                    self._read[file["path"]] = report
        if not found:
            raise CommandFailed(f"{connection.name}: {clean_line(file['path'])} can't be read.")
        return found

    def _path(self, file: Mapping[str, Any]) -> str:
        return posixpath.join(self._job.folder, file["path"])


def _by_few(files: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
    """Large ones alone and first, small ones together."""
    small = [file for file in files if int(file["size"]) < _SMALL and file.get("sha256")]
    large = sorted((file for file in files if file not in small), key=lambda file: -int(file["size"]))
    return [*([file] for file in large), *(small[at : at + _FEW] for at in range(0, len(small), _FEW))]


async def _told_silence(work: Coroutine[Any, Any, None]) -> HostSilent | None:
    """A broken line is a result, so that the files beside it are not lost."""
    try:
        await work
    except HostSilent as error:
        return error
    return None
