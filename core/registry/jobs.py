"""Jobs: work on files that goes on without the program that asked for it (D6)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, Session, SQLModel, col, select

from core.errors import NotFound
from core.events import now
from core.registry.base import Store, assign, get
from core.registry.records import Utc, new_id
from core.registry.values import LOCAL_HOST


class JobKind(StrEnum):
    """What a job does; its `spec` is that room's own."""

    DOWNLOAD = "download"  # spec {"listing", "how", "token"}
    COPY = "copy"  # from this machine to `host`; spec {"root", "place", "files", "entries", "register" …}
    VERIFY = "verify"  # of installed models on `host`; spec {"models", "files"}, result {"bad"}
    DIRECT = "direct"  # `host` downloads by itself; spec as of a download


class JobState(StrEnum):
    """The states of a job (D6)."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    VERIFYING = "verifying"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_UNDER_WAY = frozenset({JobState.RUNNING, JobState.VERIFYING})
LONGEST_WAIT = timedelta(minutes=10)  # until a job that met a broken line is tried again
UNFINISHED = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.VERIFYING})


class Job(SQLModel, table=True):
    """One job. `state` is what is, `wanted` what the user asked for last ("run", "pause" or "cancel")."""

    __tablename__ = "jobs"

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str
    kind: str = JobKind.DOWNLOAD
    title: str
    host: str = LOCAL_HOST  # where the files are to be
    folder: str = ""  # there, absolute
    spec: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)  # never a token, never a signed address
    state: str = Field(default=JobState.QUEUED, index=True)
    wanted: str = "run"
    doing: str = ""  # what is under way or waited for now, in a few words
    error: str = ""  # of a failure: what happened; `cause` and `remedy` as in ModelyardError
    error_code: str = ""  # ModelyardError.code of it
    cause: str = ""
    remedy: str = ""
    priority: int = 0  # higher ones first, then the older
    attempts: int = 0
    bytes_done: int = 0
    bytes_total: int | None = None
    rate: float = 0.0  # bytes per second over the last seconds
    files: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)  # path, size, sha256; condition in a check
    result: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    lease: dict[str, Any] | None = Field(default=None, sa_type=JSON)  # the worker that has it: pid, start, heartbeat
    not_before: datetime | None = Field(default=None, sa_type=Utc)  # of a retry that waits
    started_at: datetime | None = Field(default=None, sa_type=Utc)
    finished_at: datetime | None = Field(default=None, sa_type=Utc)
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    updated_at: datetime = Field(default_factory=now, sa_type=Utc)

    @property
    def is_due(self) -> bool:
        """Whether its time has come; a wait that is longer than any is of a clock that was put back since."""
        return self.not_before is None or not timedelta() < self.not_before - now() <= LONGEST_WAIT

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the present rate; None when that can't be told."""
        if self.bytes_total is None or self.rate <= 0 or self.state not in _UNDER_WAY:
            return None
        return max(0.0, (self.bytes_total - self.bytes_done) / self.rate)


class JobRecords(Store):
    """The queue."""

    async def add_job(self, job: Job) -> Job:
        """Queue a job."""
        return await self._save(job, "job", "added")

    async def get_job(self, ref: str) -> Job:
        """By id or its beginning.

        Raises:
            NotFound: none, or several.
        """

        def work(session: Session) -> Job:
            wanted = select(Job).where(col(Job.id).startswith(ref, autoescape=True))
            found = list(session.exec(wanted)) if ref else []
            if len(found) != 1:
                raise NotFound(f"There is no job {ref!r}.", remedy="modelyard download list shows them all.")
            return found[0]

        return await self._db.read(work)

    async def jobs(self, *, states: Collection[str] = (), kind: str | None = None) -> list[Job]:
        """Those that match: by priority, then the oldest first."""

        def work(session: Session) -> list[Job]:
            wanted = select(Job).order_by(col(Job.priority).desc(), col(Job.created_at))
            wanted = wanted.where(col(Job.state).in_(list(states))) if states else wanted
            return list(session.exec(wanted.where(Job.kind == kind) if kind else wanted))

        return await self._db.read(work)

    async def edit_job(self, job_id: str, changes: Mapping[str, Any] | Callable[[Job], Mapping[str, Any]]) -> Job:
        """Write some columns; a function decides from the record as it is inside the transaction."""

        def work(session: Session) -> Job:
            job = get(session, Job, job_id)
            assign(job, changes(job) if callable(changes) else changes)
            return job

        return await self._change(work, "job", "edited")

    async def remove_job(self, job_id: str) -> Job:
        """Forget a job; files stay."""

        def work(session: Session) -> Job:
            job = get(session, Job, job_id)
            session.delete(job)
            return job

        return await self._change(work, "job", "deleted")
