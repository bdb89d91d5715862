"""What a front may ask of downloads (D4 to D6, D12): look, start, and steer jobs of every kind that a worker does."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from core.downloads.limits import LimitsFile, choose_limits, without_choices
from core.downloads.placing import How
from core.downloads.room import check_room, to_come
from core.downloads.sources import source_for
from core.errors import DownloadDenied, HostSilent, KeysLocked, ModelyardError, NotAllowed, NotFound, Refused
from core.files import installed
from core.registry.jobs import OVER
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from core.downloads.limits import ChosenLimits
    from core.downloads.sources.base import Listing
    from core.hosts.service import HostService
    from core.registry.jobs import Job
    from core.registry.store import Registry
    from core.settings import Settings

_LOOK_S = 0.3
_WAKE_EVERY_S, _MOST_WAKES = 10.0, 12  # an engine of a repository may be silent for a minute


class Keys(Protocol):
    """Where tokens are kept."""

    async def get(self, name: str) -> str | None: ...


class DownloadService:
    """The queue as fronts see it; files are only touched by the worker."""

    def __init__(
        self, settings: Settings, registry: Registry, keys: Keys | None = None, hosts: HostService | None = None
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._keys = keys
        self._hosts = hosts
        self._limits = LimitsFile(without_choices(settings))
        self._took: dict[str, str] = {}  # the token that a source took, until a download of it is started

    async def look(self, source: str, *, patterns: Sequence[str] = (), token: str = "") -> Listing:
        """What a source offers now, with sizes, licence and gating; with the key of its name, if it wants one.

        Raises:
            InvalidInput: no source understands it. DownloadFailed: it can't be told; `DownloadDenied`: give a token.
        """
        from core.downloads.sources.secret_query import split_secret
        from core.downloads.tokens import usable

        place = source_for(source)
        token = token or (split_secret(source)[1] if place.name == "url" else "")
        try:
            listing = await place.listing(source, patterns=patterns, token=usable(token))
        except DownloadDenied as denied:
            token = "" if token else await self._kept(place.key, denied)
            if not token:
                raise
            listing = await place.listing(source, patterns=patterns, token=usable(token))
        if token:
            self._took[listing.source] = token
        return listing

    def token_taken(self, listing: Listing) -> str:
        """The token that this listing took, until its download is started; "" for none."""
        return self._took.get(listing.source, "")

    async def token_for(self, job: Job) -> str:
        """The key that is kept for a job that took a token, which was held in memory only; "" without."""
        key = str(job.spec.get("listing", {}).get("key", ""))
        return await self._kept(key) if job.spec.get("token") else ""

    async def _kept(self, key: str, denied: DownloadDenied | None = None) -> str:
        try:
            return (await self._keys.get(key) or "") if key and self._keys else ""
        except KeysLocked:
            if denied is not None:
                denied.remedy += " One may be in the vault: modelyard keys unlock."
            return ""

    async def start(
        self,
        listing: Listing,
        *,
        folder: str = "",
        priority: int = 0,
        how: How = How.COPY,
        token: str = "",
        host: str = LOCAL_HOST,
        repair: bool = False,
    ) -> Job:
        """Queue a download into the models folder; `folder` replaces the listing's own place there.

        Another `host` than this machine downloads by itself, into its own models folder. With `repair` files that
        are there are replaced once the right ones have come.

        Raises:
            Refused: it is installed, or one of its files is queued, already; another program's is to be moved, or one
            of another file system to be linked. DiskFull: there is no room. HostUnreachable.
            CommandFailed: the host can't download by itself.
        """
        from core.downloads.sources.local import refuse_link, refuse_move
        from core.files.paths import safe_path
        from core.registry.jobs import Job, JobKind

        if how is How.MOVE:
            refuse_move(listing)
        place = safe_path(folder or listing.folder)
        token = token or self._took.pop(listing.source, "")
        path: PurePath = self._settings.models_dir / place
        if host != LOCAL_HOST:
            path = await self._direct(host, place, listing)
        else:
            if how is How.LINK:
                await asyncio.to_thread(refuse_link, listing, Path(path))
            await asyncio.to_thread(_check_room, Path(path), listing, how, repair)
            if not repair:
                await asyncio.to_thread(_refuse_installed, self._settings.models_dir, Path(path), listing)
        await self._refuse_twice(listing, host, path)
        job = Job(
            user_id=self._registry.user_id,
            kind=JobKind.DOWNLOAD if host == LOCAL_HOST else JobKind.DIRECT,
            title=listing.title,
            host=host,
            folder=str(path),
            spec={
                **{"listing": listing.as_dict(), "how": str(how), "token": bool(token), "repair": repair},
                **({"models": str(self._settings.models_dir)} if host == LOCAL_HOST else {"place": place}),
            },
            bytes_total=listing.size,
            priority=priority,
        )
        return await self.queue(job, token=token)

    async def queue(self, job: Job, *, token: str = "") -> Job:
        """Have the worker do a job, with a token that it holds in memory."""
        from core.downloads.launch import start_worker
        from core.downloads.tokens import hand_over

        await asyncio.to_thread(start_worker, self._settings)
        if token:
            await hand_over(self._settings, job.id, token)
        return await self._registry.add_job(job)

    async def _direct(self, name: str, place: str, listing: Listing) -> PurePosixPath:
        from core.downloads.direct import refuse_unable
        from core.hosts.base_dir import models_dir_of

        host = await self._registry.get_host(name)
        folder = models_dir_of(host)
        assert self._hosts is not None
        await refuse_unable(self._hosts.connection(host), folder, listing)
        return PurePosixPath(folder) / place

    async def _log_in(self, job: Job) -> None:
        """With this program's agent: the worker, which can't ask anybody, shares the connection."""
        if job.host == LOCAL_HOST or self._hosts is None:
            return
        with contextlib.suppress(NotFound, HostSilent):  # the job tells them better
            await self._hosts.connection(await self._registry.get_host(job.host)).connect()

    async def limits(self) -> ChosenLimits:
        """How much at once, and how fast, as it was chosen last."""
        return await asyncio.to_thread(self._limits.now)

    async def limit(self, *, rate: str = "", jobs: int | None = None, parts: int | None = None) -> ChosenLimits:
        """Another limit, from now on: `50MB/s` or `off`; what runs takes it within two seconds, without a stop.

        Raises:
            InvalidInput: it is no rate. UsageError: config.toml can't be changed.
        """
        await asyncio.to_thread(choose_limits, self._settings, rate=rate, jobs=jobs, parts=parts)
        return await self.limits()

    async def all(self) -> list[Job]:
        """All jobs, of every kind: by priority, then the oldest first."""
        return await self._registry.jobs()

    async def pause(self, ref: str) -> Job:
        """Stop for now; what has come is kept."""
        return await self._ask(ref, "pause")

    async def cancel(self, ref: str) -> Job:
        """Stop for good; what has come is kept all the same, and a retry goes on from there."""
        return await self._ask(ref, "cancel")

    async def resume(self, ref: str, *, token: str = "") -> Job:
        """Go on with a paused, failed or cancelled one, with nothing fetched again that is there."""
        from core.downloads.launch import start_worker
        from core.downloads.tokens import hand_over, usable

        job = await self._registry.get_job(ref)
        if job.state == "done":
            raise NotAllowed(f"{job.title} is done.")
        await self._log_in(job)
        source = str(job.spec.get("listing", {}).get("source", ""))
        token = usable(token) or self._took.pop(source, "") or await self.token_for(job)
        await asyncio.to_thread(start_worker, self._settings)
        if token:
            await hand_over(self._settings, job.id, token)
        return await self._registry.edit_job(job.id, _go_on)

    async def prioritise(self, ref: str, priority: int) -> Job:
        """Higher ones are taken first."""
        job = await self._registry.get_job(ref)
        return await self._registry.edit_job(job.id, {"priority": priority})

    async def remove(self, ref: str) -> Job:
        """Forget a job that is over; files stay.

        Raises:
            NotAllowed: it is not over.
        """
        job = await self._registry.get_job(ref)
        if job.state not in OVER:
            raise NotAllowed(f"{job.title} is {job.state}.", remedy=f"modelyard download cancel {job.id}")
        return await self._registry.remove_job(job.id)

    async def follow(self, ref: str) -> AsyncGenerator[Job, None]:
        """A job as it changes, until it is over or waits for somebody; a worker that was killed is replaced.

        Raises:
            ModelyardError: no worker takes it, again and again.
        """
        from core.downloads.launch import start_worker

        told: object = None
        changed_at, wakes = time.monotonic(), 0
        while True:
            job = await self._registry.get_job(ref)
            if (seen := (job.state, job.bytes_done, job.rate, job.error, job.doing)) != told:
                yield job
                told, changed_at, wakes = seen, time.monotonic(), 0
            if job.state in OVER or (job.state == "paused" and job.wanted != "run"):
                return
            if job.is_due and time.monotonic() - changed_at > (wakes + 1) * _WAKE_EVERY_S:
                wakes += 1
                if wakes > _MOST_WAKES:
                    raise _nobody_works(self._settings, job)
                await asyncio.to_thread(start_worker, self._settings)
            await asyncio.sleep(_LOOK_S)

    async def wake(self) -> None:
        """Start the worker if there is anything to do: after a reboot, say."""
        from core.downloads.launch import start_worker

        jobs = await self._registry.jobs(states=("queued", "running", "verifying"))
        if any(job.wanted == "run" for job in jobs):
            await asyncio.to_thread(start_worker, self._settings)

    async def _ask(self, ref: str, wanted: str) -> Job:
        from core.downloads.launch import start_worker

        job = await self._registry.get_job(ref)
        if job.state in OVER:
            raise NotAllowed(f"{job.title} is {job.state} already.")
        asked = await self._registry.edit_job(job.id, {"wanted": wanted})
        await asyncio.to_thread(start_worker, self._settings)
        return asked

    async def _refuse_twice(self, listing: Listing, host: str, place: PurePath) -> None:
        paths = {file.path for file in listing.files}
        for job in await self._registry.jobs(states=("queued", "running", "paused", "verifying")):
            if job.kind not in {"download", "direct"} or (job.host, job.folder) != (host, str(place)):
                continue
            if paths & {file["path"] for file in job.spec["listing"]["files"]}:
                raise Refused(
                    f"{job.title} is {job.state} already (job {job.id}).",
                    remedy=f"modelyard download {'resume' if job.state == 'paused' else 'show'} {job.id}",
                )


def _refuse_installed(models: Path, place: Path, listing: Listing) -> None:
    """What brings hashes is compared with what is there; of the rest the source alone tells that it is the same."""
    if any(file.sha256 or file.git_sha1 for file in listing.files):
        return
    paths = [place / file.path for file in listing.files]
    source = installed.source_of(listing)
    for model in installed.read(models):
        told = {models / str(file["path"]) for file in model.files}
        if model.source == source and told.issuperset(paths) and all(path.exists() for path in paths):
            raise Refused(
                f"{listing.title} is installed already, from this source.",
                remedy=f"To see whether it is whole: modelyard files verify {shlex.quote(model.path)}. "
                f"To fetch it anew: modelyard files delete {shlex.quote(model.path)}, then start it again.",
            )


def _check_room(place: Path, listing: Listing, how: How, repair: bool) -> None:
    missing = (listing.size or 0) if repair else to_come(place, listing.files)
    check_room(place, listing.title, missing if how is How.COPY else 0)


def _go_on(known: Job) -> dict[str, object]:
    """What a job that is wanted again is; one that is under way goes on."""
    if known.state in {"running", "verifying"}:
        return {"wanted": "run"}
    told = dict.fromkeys(("error", "error_code", "cause", "remedy", "doing"), "")
    return {**told, "wanted": "run", "state": "queued", "attempts": 0, "not_before": None, "finished_at": None}


def _nobody_works(settings: Settings, job: Job) -> ModelyardError:
    return ModelyardError(
        f"Nothing happens to {job.title}: the program that does the downloads can't be started, or hangs.",
        remedy=f"Look at {settings.data_dir / 'worker.log'}; the job stays in the queue.",
    )
