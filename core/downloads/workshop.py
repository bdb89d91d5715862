"""Makes the work of a job, by its kind; owns what works share: threads, bandwidth, hashes, connections."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from core.downloads.bandwidth import Bandwidth
from core.downloads.fetching import FetchWork
from core.downloads.hashes import Hashes
from core.downloads.host_lines import HostLines
from core.downloads.limits import AT_ONCE
from core.downloads.values import Limits
from core.errors import ModelyardError

if TYPE_CHECKING:
    from core.downloads.limits import ChosenLimits
    from core.downloads.tokens import Tokens
    from core.downloads.work import Work
    from core.hosts.service import HostService
    from core.registry.jobs import Job
    from core.registry.store import Registry
    from core.settings import Settings


class Workshop:
    """One per worker; use as a context."""

    def __init__(self, settings: Settings, registry: Registry, tokens: Tokens, hosts: HostService) -> None:
        self._settings = settings
        self._registry = registry
        self._tokens = tokens
        self._hosts = hosts
        self._limits = Limits(connections=settings.download_parts)
        self._bandwidth = Bandwidth()  # of this machine's line
        self._lines = HostLines()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="job")
        self._hashes = Hashes()

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self._hashes.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def limit_to(self, limits: ChosenLimits) -> None:
        """From now on, for what is under way, too; connections per file, for what begins."""
        self._limits = Limits(connections=limits.parts)
        self._lines.bytes_per_s = limits.bytes_per_s
        if self._bandwidth.bytes_per_s != limits.bytes_per_s:
            self._bandwidth.limit_to(limits.bytes_per_s)

    def make(self, job: Job) -> Work:
        """The work for a job.

        Raises:
            ModelyardError: its record can't be used.
        """
        makers = {"download": self._fetch, "copy": self._copy, "verify": self._verify, "direct": self._direct}
        try:
            return makers[job.kind](job)
        except (KeyError, ValueError, TypeError) as error:
            raise ModelyardError(
                f"The record of {job.title} can't be used.",
                cause=f"{type(error).__name__}: {error}"[:200],
                remedy="Remove the job and start it again.",
            ) from error

    def _fetch(self, job: Job) -> Work:
        return FetchWork(
            job,
            models=self._settings.models_dir,
            pool=self._threads,
            token=self._tokens.of(job.id),
            limits=self._limits,
            bandwidth=self._bandwidth,
        )

    def _copy(self, job: Job) -> Work:
        from core.downloads.copy_work import CopyWork

        return CopyWork(job, registry=self._registry, hosts=self._hosts, hashes=self._hashes, bandwidth=self._bandwidth)

    def _verify(self, job: Job) -> Work:
        from core.downloads.verify_work import verify_work

        return verify_work(job, registry=self._registry, hosts=self._hosts)

    def _direct(self, job: Job) -> Work:
        from core.downloads.direct_work import DirectWork

        return DirectWork(
            job,
            registry=self._registry,
            hosts=self._hosts,
            token=self._tokens.of(job.id),
            lines=self._lines,
        )
