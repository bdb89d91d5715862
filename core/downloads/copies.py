"""What a front may ask of copies to hosts: the files of a model, to several hosts at once, right or not at all."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from core.downloads.copy_events import CopyDone, CopyFailed, CopyProgress
from core.downloads.copy_work import is_found
from core.downloads.entries import entries
from core.downloads.outgoing import Outgoing, find
from core.errors import InvalidInput, ModelyardError, NotAllowed, Refused
from core.hosts.base_dir import models_dir_of
from core.registry.jobs import OVER
from core.registry.values import LOCAL_HOST
from core.text import then

if TYPE_CHECKING:
    from pathlib import Path

    from core.downloads.service import DownloadService
    from core.files.service import FilesService
    from core.hosts.service import HostService
    from core.registry.jobs import Job
    from core.registry.records import Host
    from core.registry.store import Registry

CopyEvent = CopyProgress | CopyDone | CopyFailed


class CopyService:
    """Copies go over each host's own SSH connection, into its models folder; the worker does them, a job per host."""

    def __init__(self, registry: Registry, hosts: HostService, files: FilesService, downloads: DownloadService) -> None:
        self._registry = registry
        self._hosts = hosts
        self._files = files
        self._downloads = downloads

    async def find(self, ref: str, *, folder: str = "") -> Outgoing:
        """The files that `ref` (a registered or installed model, or a path) means, and their places on a host.

        Raises:
            NotFound: there is none. NotAllowed: it is on another host. FileProblem: a file can't be copied.
        """
        return await find(ref, registry=self._registry, files=self._files, folder=folder)

    async def start(
        self,
        ref: str,
        hosts: Sequence[str],
        *,
        folder: str = "",
        register: bool = False,
        priority: int = 0,
    ) -> list[Job | CopyFailed]:
        """Queue a copy to each host, in their order; one that is under way already goes on and is given again.

        Each host is logged in to first, with this program's agent; one that can't be is told and gets no job. With
        `register` the model's record is made to tell the place on the host, where it does not yet.

        Raises:
            ModelyardError: nothing could be begun: no such model or host, a host without a models folder.
        """
        outgoing = await self.find(ref, folder=folder)
        records = [await self._host(name) for name in dict.fromkeys(hosts)]
        if register:
            _refuse_record(outgoing, records)
        spec = _spec(outgoing, self._files.folder, register=register)
        begun = (self._begin(outgoing, host, {**spec, "root": host.models_dir}, priority) for host in records)
        return list(await asyncio.gather(*begun))

    async def follow(self, started: Sequence[Job | CopyFailed]) -> AsyncGenerator[CopyEvent, None]:
        """How copies go, until each has ended with one CopyDone or CopyFailed; they go on when nobody follows."""
        news: asyncio.Queue[CopyEvent] = asyncio.Queue()
        tasks = [asyncio.create_task(self._tell(one, news)) for one in started]
        try:
            left = len(tasks)
            while left:
                event = await news.get()
                left -= not isinstance(event, CopyProgress)
                yield event
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def copy(
        self, ref: str, hosts: Sequence[str], *, folder: str = "", register: bool = False
    ) -> AsyncGenerator[CopyEvent, None]:
        """`start` and `follow` in one; ending the iteration ends nothing but the looking."""
        started = await self.start(ref, hosts, folder=folder, register=register)
        async with aclosing(self.follow(started)) as events:
            async for event in events:
                yield event

    async def _host(self, name: str) -> Host:
        host = await self._registry.get_host(name)
        if host.kind == LOCAL_HOST:
            raise NotAllowed("The files are on this machine already.", remedy="Name another host: modelyard hosts list")
        models_dir_of(host)
        return host

    async def _begin(self, outgoing: Outgoing, host: Host, spec: dict[str, object], priority: int) -> Job | CopyFailed:
        from core.registry.jobs import Job, JobKind

        path = posixpath.join(host.models_dir, outgoing.place) if outgoing.place else host.models_dir
        try:
            await self._hosts.connection(host).connect()
            if (known := await self._under_way(host, path, spec)) is not None:
                return await self._downloads.resume(known.id)
            job = Job(
                user_id=self._registry.user_id,
                kind=JobKind.COPY,
                title=outgoing.title,
                host=host.name,
                folder=path,
                spec=spec,
                bytes_total=outgoing.size,
                priority=priority,
            )
            return await self._downloads.queue(job)
        except ModelyardError as error:
            return CopyFailed.of(host.name, path, error)

    async def _under_way(self, host: Host, path: str, spec: dict[str, object]) -> Job | None:
        """The same copy, which is not over.

        Raises:
            Refused: another one writes the same files.
        """
        from core.registry.jobs import UNFINISHED

        places = {file["path"]: file for file in _files_of(spec)}
        for job in await self._registry.jobs(states=UNFINISHED, kind="copy"):
            if job.host != host.name or job.spec["root"] != spec["root"]:
                continue
            theirs = {file["path"]: file for file in _files_of(job.spec)}
            if (job.folder, theirs) == (path, places):
                return job
            if {file["place"] for file in theirs.values()} & {file["place"] for file in places.values()}:
                raise Refused(
                    f"{host.name}: another copy of {job.title} writes there (job {job.id}, {job.state}).",
                    remedy=f"modelyard download show {job.id} tells of it; modelyard download cancel {job.id} ends it.",
                )
        return None

    async def _tell(self, started: Job | CopyFailed, news: asyncio.Queue[CopyEvent]) -> None:
        if isinstance(started, CopyFailed):
            news.put_nowait(started)
            return
        job = started
        try:
            async with aclosing(self._downloads.follow(job.id)) as changes:
                async for job in changes:
                    if job.state not in OVER:
                        news.put_nowait(_progress(job))
            news.put_nowait(_end(job))
        except ModelyardError as error:
            news.put_nowait(CopyFailed.of(job.host, job.folder, error))


def _files_of(spec: object) -> list[dict[str, str]]:
    return list(spec["files"])  # type: ignore[index]


def _spec(outgoing: Outgoing, models: Path, *, register: bool) -> dict[str, object]:
    return {
        "place": outgoing.place,
        "is_relative": outgoing.is_relative,
        "register": register,
        "model": outgoing.model.id if outgoing.model else "",
        "files": [file.as_dict() for file in outgoing.files],
        "entries": entries(outgoing, models),
    }


def _progress(job: Job) -> CopyProgress:
    """A job that is not over, as an event; `state` is "queued" or "paused" as well."""
    phase = str((job.result or {}).get("phase", "checking")) if job.state in {"running", "verifying"} else job.state
    trouble = f"waits: {job.error}" if job.state == "queued" and job.error else job.state
    return CopyProgress(
        task=job.id,
        text=job.doing or f"{job.host}: {trouble}",
        done=job.bytes_done,
        total=job.bytes_total,
        unit="bytes",
        host=job.host,
        state=phase,
        sent=int((job.result or {}).get("sent", 0)),
        rate=job.rate if phase == "sending" else 0.0,
        eta_s=job.eta_s if phase == "sending" else None,
    )


def _end(job: Job) -> CopyDone | CopyFailed:
    result = job.result or {}
    if job.state == "done":
        return CopyDone(
            host=job.host,
            path=job.folder,
            files=len(job.files),
            size=job.bytes_total or 0,
            sent=int(result.get("sent", 0)),
            registered=bool(result.get("registered")),
            note=job.error,
        )
    has_failed = job.state == "failed"
    retry = f"modelyard download retry {job.id}"
    code = job.error_code if has_failed else job.state.capitalize()
    return CopyFailed(
        host=job.host,
        path=job.folder,
        error=code,
        message=job.error if has_failed else f"{job.host}: the copy was {job.state}.",
        cause=job.cause if has_failed else "",
        remedy=then(job.remedy if has_failed else "", retry),
        exit_code=exit_code_of(code),
    )


def exit_code_of(code: str) -> int:
    """The exit code of an error that only its name is left of."""
    from core import errors

    kind = getattr(errors, code, ModelyardError)
    return int(kind.exit_code) if isinstance(kind, type) and issubclass(kind, ModelyardError) else 1


def _refuse_record(outgoing: Outgoing, hosts: Sequence[Host]) -> None:
    """Before anything is copied: a record that can't tell the place."""
    model = outgoing.model
    if model is None:
        raise InvalidInput(
            {"register": "only a registered model has a record"}, remedy="modelyard models add --host HOST --path PATH"
        )
    if model.is_global:
        raise NotAllowed(f"{model.name} is a global model.", remedy=f"modelyard models add NAME --from {model.name}")
    lost = [one for one in hosts if not is_found(model, one, posixpath.join(one.models_dir, outgoing.place))]
    if len(lost) > 1 and not outgoing.is_relative:
        raise InvalidInput(
            {"register": "a record tells one place: copy to one host, or leave --folder out"}, remedy="See --help."
        )
