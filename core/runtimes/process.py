"""Servers as processes of this user on this machine, without containers; the same contract as with Docker.

Memory, CPU and process limits, users and mounts are a container's: here only the mounts' sources are checked.
psutil is imported when a server is measured.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from core.errors import NotFound
from core.registry.values import RuntimeName
from core.runtimes import process_control as control
from core.runtimes import process_files
from core.runtimes.base import Happening, Observed, RuntimeInfo, ServerSpec
from core.runtimes.process_observe import changes, cpu_and_memory, observed
from core.runtimes.process_store import ProcessStore
from core.runtimes.workers import Workers

T = TypeVar("T")

_WORKERS = 4
_LOG_POLL_S = 0.1
_WATCH_POLL_S = 0.25
_FIRST_SAMPLE_S = 0.2
_NVIDIA = Path("/proc/driver/nvidia/version")


_LEASHES: dict[str, int] = {}  # the program's, not a runtime's: an ephemeral server lives as long as the program


class ProcessRuntime:
    """The `Runtime` of this machine without a container engine; servers live in folders below `state_dir`.

    `ephemeral` servers end with this program, however it ends.
    """

    name = RuntimeName.PROCESS

    def __init__(self, state_dir: Path, *, ephemeral: bool = False) -> None:
        self._dir = state_dir
        self._store = ProcessStore(state_dir)
        self._ephemeral = ephemeral
        self._samples: dict[str, tuple[float, float]] = {}
        self._pool = Workers(_WORKERS, name="processes")

    async def info(self) -> RuntimeInfo:
        has_driver = await self._run(_NVIDIA.exists)
        return RuntimeInfo(
            name=self.name,
            version=platform.release(),
            gpu_runtime="nvidia" if has_driver else "",
            root_dir=str(self._dir),
            memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            cpus=os.cpu_count() or 0,
        )

    async def has_image(self, image: str) -> bool:
        """A process needs none."""
        return True

    async def pull(self, image: str) -> AsyncIterator[tuple[int, int | None]]:
        """Nothing is to be fetched for a process: done at once."""
        yield 0, 0

    async def create(self, spec: ServerSpec, *, files: Mapping[str, bytes] | None = None) -> str:
        job = asyncio.ensure_future(self._run(lambda: self._store.create(spec, files or {})))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            job.add_done_callback(self._undo)
            raise

    def _undo(self, job: asyncio.Future[str]) -> None:
        if not job.cancelled() and job.exception() is None:
            shutil.rmtree(self._dir / job.result(), ignore_errors=True)

    async def start(self, server_id: str) -> None:
        folder = await self._folder(server_id)
        job = asyncio.ensure_future(self._run(lambda: control.start(folder, ephemeral=self._ephemeral)))
        job.add_done_callback(lambda done: self._hold_leash(folder.name, done))
        await asyncio.shield(job)

    def _hold_leash(self, server_id: str, started: asyncio.Future[int | None]) -> None:
        if started.cancelled() or started.exception() is not None:
            return
        leash = started.result()
        if leash is not None:
            self._drop_leash(server_id)
            _LEASHES[server_id] = leash

    async def stop(self, server_id: str, *, timeout_s: float) -> None:
        folder = await self._folder(server_id)
        await self._run(lambda: control.stop(folder, timeout_s))
        self._drop_leash(folder.name)

    async def remove(self, server_id: str) -> None:
        folder = await self._run(lambda: self._store.ours(server_id))
        if folder is None:
            return
        await self.stop(folder.name, timeout_s=0.0)
        await self._run(lambda: shutil.rmtree(folder, ignore_errors=True))
        self._samples.pop(folder.name, None)

    async def list(self) -> list[Observed]:
        return await self._run(self._store.servers)

    async def inspect(self, server_id: str) -> Observed | None:
        try:
            return await self._run(lambda: observed(self._store.folder(server_id)))
        except NotFound:
            return None

    async def logs(
        self, server_id: str, *, tail: int | None = 200, follow: bool = False
    ) -> AsyncIterator[tuple[str, str]]:
        folder = await self._folder(server_id)
        reader = process_files.LogReader(folder)
        try:
            for line in await self._run(lambda: reader.last(tail)):
                yield line
            ended = not follow
            while not ended:
                ended = not control.is_supervised(folder)  # asked before reading: what it wrote last is read
                for line in reader.more():
                    yield line
                await asyncio.sleep(0 if ended else _LOG_POLL_S)
        finally:
            reader.close()

    async def happenings(self) -> AsyncIterator[Happening]:
        before = {server.id: server for server in self._store.servers()}
        while True:
            await asyncio.sleep(_WATCH_POLL_S)
            after = {server.id: server for server in await self._run(self._store.servers)}
            for event in changes(before, after):
                yield event
            before = after

    async def read_file(self, server_id: str, path: str) -> bytes:
        """Only the files that were given to `create`: a process has no file system of its own."""
        folder = await self._folder(server_id)
        known = process_files.read_json(folder / process_files.SERVER).get("files", {})
        if path not in known:
            raise NotFound(f"The server {server_id} has no file {path}", remedy="Look for it on the host itself.")
        return await self._run(Path(known[path]).read_bytes)

    async def stats(self, server_id: str) -> dict[str, float]:
        """CPU since the call before (the first one waits 0.2 s for a second sample); empty when it doesn't run."""
        folder = await self._folder(server_id)
        if folder.name not in self._samples:
            await self._sample(folder)
            await asyncio.sleep(_FIRST_SAMPLE_S)
        before = self._samples.get(folder.name)
        memory = await self._sample(folder)
        after = self._samples.get(folder.name)
        if memory is None or before is None or after is None:
            return {}
        cpu = 100.0 * (after[1] - before[1]) / max(after[0] - before[0], 1e-3)
        return {"cpu_percent": max(0.0, cpu), "memory_bytes": memory}

    async def _sample(self, folder: Path) -> float | None:
        """Note the CPU time used so far; bytes of memory in use, None when the server doesn't run."""
        child = process_files.read_json(folder / process_files.STATE).get("child")
        pid = process_files.pid_of(child) if process_files.is_alive(child) else None
        measured = await self._run(lambda: cpu_and_memory(pid)) if pid else None
        if measured is None:
            self._samples.pop(folder.name, None)
            return None
        self._samples[folder.name] = (time.monotonic(), measured[0])
        return measured[1]

    async def close(self) -> None:
        self._pool.close()

    def _drop_leash(self, server_id: str) -> None:
        leash = _LEASHES.pop(server_id, None)
        if leash is not None:
            os.close(leash)

    async def _folder(self, server_id: str) -> Path:
        return await self._run(lambda: self._store.folder(server_id))

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._pool.run(work)
