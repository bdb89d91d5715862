"""A download to this machine as the worker's work."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.downloads.placing import How
from core.downloads.run import DownloadRun
from core.downloads.sources.base import Listing
from core.errors import FileProblem
from core.files import installed

if TYPE_CHECKING:
    from core.downloads.bandwidth import Bandwidth
    from core.downloads.values import Limits
    from core.registry.jobs import Job


class FetchWork:
    """Fetches a listing's files and notes them in the models folder.

    A repair fetches beside its place first: what is bad stays until what replaces it was seen to be right.
    """

    def __init__(
        self, job: Job, *, models: Path, pool: Executor, token: str, limits: Limits, bandwidth: Bandwidth | None
    ) -> None:
        self._listing = Listing.from_dict(job.spec["listing"])
        self._folder = Path(job.folder)
        self._models = models = Path(job.spec.get("models", models))  # those of who asked: they may have changed
        self._pool = pool
        self._aside = models / f".modelyard-repair-{job.id}" if job.spec.get("repair") else None
        self._fetch = DownloadRun(
            self._listing,
            self._aside or self._folder,
            known={file["path"]: file["sha256"] for file in job.files},
            token=token,
            how=How(job.spec.get("how", "copy")),
            limits=limits,
            bandwidth=bandwidth,
        )

    @property
    def received(self) -> int:
        """Bytes that came."""
        return self._fetch.received

    @property
    def files_done(self) -> int:
        """How many files are in their places."""
        return len(self._fetch.finished)

    def told(self, *, files: bool) -> dict[str, Any]:
        """See `Work.told`."""
        told: dict[str, Any] = {"bytes_done": self._fetch.bytes_done, "doing": self._fetch.doing}
        return {**told, "files": [file.as_dict() for file in self._fetch.finished]} if files else told

    def cancel(self) -> None:
        """Stop soon."""
        self._fetch.cancel()

    def tidy(self) -> None:
        """See `Work.tidy`."""
        self._fetch.tidy()

    async def run(self) -> dict[str, Any]:
        """See `Work.run`."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._all)

    def _all(self) -> dict[str, Any]:
        try:
            files = self._fetch.run()
            if self._aside is not None:
                self.tidy()
                self._replace(self._aside, [file.path for file in files])
            else:
                installed.record(self._models, installed.entry(self._models, self._folder, self._listing, files))
        except OSError as error:
            raise FileProblem(
                f"{self._listing.title} can't be put into {self._folder}.",
                cause=str(error),
                remedy="See that the folder is there, can be written and is on a disk that works. What came is kept.",
            ) from error
        return {"result": {"path": str(self._folder)}}

    def _replace(self, aside: Path, paths: list[str]) -> None:
        for path in paths:
            (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).replace(self._folder / path)
        for folder in sorted((one for one in aside.rglob("*") if one.is_dir()), reverse=True):
            folder.rmdir()
        aside.rmdir()
