"""What a front may ask of downloads (D4 to D6, D12): look, start, and steer jobs that a worker process does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.downloads.partial import no_room
from core.downloads.placing import How
from core.downloads.sources import source_for
from core.errors import DownloadDenied, KeysLocked, ModelyardError, NotAllowed, Refused
from core.events import now

if TYPE_CHECKING:
    from core.downloads.sources.base import Listing
    from core.registry.jobs import Job
    from core.registry.store import Registry
    from core.settings import Settings

_LOOK_S = 0.3
_WAKE_EVERY_S, _MOST_WAKES = 10.0, 12  # an engine of a repository may be silent for a minute
_OVER = {"done", "failed", "cancelled"}


class Keys(Protocol):
    """Where tokens are kept."""

    async def get(self, name: str) -> str | None: ...


class DownloadService:
    """The queue as fronts see it; files are only touched by the worker."""

    def __init__(self, settings: Settings, registry: Registry, keys: Keys | None = None) -> None:
        self._settings = settings
        self._registry = registry
        self._keys = keys
        self._took: dict[str, str] = {}  # the token that a source took, until a download of it is started

    async def look(self, source: str, *, patterns: Sequence[str] = (), token: str = "") -> Listing:
        """What a source offers now, with sizes, licence and gating; with the key of its name, if it wants one.

        Raises:
            InvalidInput: no source understands it. DownloadFailed: it can't be told; `DownloadDenied`: give a token.
        """
        from core.downloads.tokens import usable

        place = source_for(source)
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
    ) -> Job:
        """Queue a download into the models folder; `folder` replaces the listing's own place there.

        Raises:
            Refused: one of its files is queued already. DiskFull: there is no room.
        """
        from core.downloads.launch import start_worker
        from core.downloads.tokens import hand_over
        from core.files.paths import safe_path
        from core.registry.jobs import Job

        token = token or self._took.pop(listing.source, "")
        place = self._settings.models_dir / safe_path(folder or listing.folder)
        await self._refuse_twice(listing, place)
        if how is How.COPY:
            await asyncio.to_thread(_check_room, place, listing)
        job = Job(
            user_id=self._registry.user_id,
            title=listing.title,
            folder=str(place),
            spec={"listing": listing.as_dict(), "how": str(how), "token": bool(token)},
            bytes_total=listing.size,
            priority=priority,
        )
        await asyncio.to_thread(start_worker, self._settings)
        if token:
            await hand_over(self._settings, job.id, token)
        return await self._registry.add_job(job)

    async def all(self) -> list[Job]:
        """All downloads: by priority, then the oldest first."""
        return await self._registry.jobs(kind="download")

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
        source = str(job.spec.get("listing", {}).get("source", ""))
        token = usable(token) or self._took.pop(source, "") or await self.token_for(job)
        await asyncio.to_thread(start_worker, self._settings)
        if token:
            await hand_over(self._settings, job.id, token)
        fresh = {"attempts": 0, "not_before": None, "error": "", "cause": "", "remedy": "", "finished_at": None}
        return await self._registry.edit_job(
            job.id,
            lambda known: {"wanted": "run", **({} if known.state == "running" else {**fresh, "state": "queued"})},
        )

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
        if job.state not in _OVER:
            raise NotAllowed(f"{job.title} is {job.state}.", remedy=f"modelyard download cancel {job.id}")
        return await self._registry.remove_job(job.id)

    async def follow(self, ref: str) -> AsyncIterator[Job]:
        """A job as it changes, until it is over or waits for somebody; a worker that was killed is replaced.

        Raises:
            ModelyardError: no worker takes it, again and again.
        """
        from core.downloads.launch import start_worker

        told: object = None
        changed_at, wakes = time.monotonic(), 0
        while True:
            job = await self._registry.get_job(ref)
            if (seen := (job.state, job.bytes_done, job.rate, job.error)) != told:
                yield job
                told, changed_at, wakes = seen, time.monotonic(), 0
            if job.state in _OVER or (job.state == "paused" and job.wanted != "run"):
                return
            is_due = job.not_before is None or job.not_before <= now()
            if is_due and time.monotonic() - changed_at > (wakes + 1) * _WAKE_EVERY_S:
                wakes += 1
                if wakes > _MOST_WAKES:
                    raise _nobody_works(self._settings, job)
                await asyncio.to_thread(start_worker, self._settings)
            await asyncio.sleep(_LOOK_S)

    async def wake(self) -> None:
        """Start the worker if there is anything to do: after a reboot, say."""
        from core.downloads.launch import start_worker

        jobs = await self._registry.jobs(states=("queued", "running", "verifying"), kind="download")
        if any(job.wanted == "run" for job in jobs):
            await asyncio.to_thread(start_worker, self._settings)

    async def _ask(self, ref: str, wanted: str) -> Job:
        from core.downloads.launch import start_worker

        job = await self._registry.get_job(ref)
        if job.state in _OVER:
            raise NotAllowed(f"{job.title} is {job.state} already.")
        asked = await self._registry.edit_job(job.id, {"wanted": wanted})
        await asyncio.to_thread(start_worker, self._settings)
        return asked

    async def _refuse_twice(self, listing: Listing, place: Path) -> None:
        paths = {file.path for file in listing.files}
        for job in await self._registry.jobs(states=("queued", "running", "paused", "verifying"), kind="download"):
            if job.folder == str(place) and paths & {file["path"] for file in job.spec["listing"]["files"]}:
                raise Refused(
                    f"{job.title} is {job.state} already (job {job.id}).",
                    remedy=f"modelyard download resume {job.id}",
                )


def _nobody_works(settings: Settings, job: Job) -> ModelyardError:
    return ModelyardError(
        f"Nothing happens to {job.title}: the program that does the downloads can't be started, or hangs.",
        remedy=f"Look at {settings.data_dir / 'worker.log'}; the download stays in the queue.",
    )


def _check_room(place: Path, listing: Listing) -> None:
    import shutil

    place.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(place).free < (listing.size or 0):
        raise no_room(place / listing.title.replace("/", "-"), listing.size or 0)
