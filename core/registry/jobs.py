"""Jobs: work on files that goes on without the program that asked for it (D6)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from sys import intern
from typing import Any

from sqlalchemy import JSON, Select, and_, case, func, type_coerce
from sqlalchemy import select as sql_select
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
_AT_ONCE = 100
_LISTED = (
    *("id", "kind", "title", "host", "folder", "state", "wanted", "doing", "error", "error_code", "cause", "remedy"),
    *("priority", "bytes_done", "bytes_total", "rate", "is_early"),
    *("not_before", "finished_at", "created_at", "updated_at"),
)
UNFINISHED = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.VERIFYING})
OVER = frozenset(JobState) - UNFINISHED


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
    is_early: bool = False  # the rate is of the first seconds: it tells no time left
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
        return _eta_s(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedJob:
    """A job as a list of thousands shows it: how many files it has, not which."""

    id: str
    kind: str
    title: str
    host: str
    folder: str
    state: str
    wanted: str
    doing: str
    error: str
    error_code: str
    cause: str
    remedy: str
    priority: int
    bytes_done: int
    bytes_total: int | None
    rate: float
    is_early: bool
    not_before: datetime | None
    finished_at: datetime | None
    created_at: datetime
    updated_at: datetime
    source: str  # of a download
    licence: str
    is_gated: bool
    took_token: bool
    is_repair: bool
    count: int  # files that it is to bring or to read
    done: int  # those that are in their place, or were read
    bad: int  # those that a check found bad
    models: tuple[str, ...]  # that a check which is not over is of

    @property
    def eta_s(self) -> float | None:
        """As of `Job`."""
        return _eta_s(self)


def _eta_s(job: Job | ListedJob) -> float | None:
    if job.bytes_total is None or job.rate <= 0 or job.is_early or job.state not in _UNDER_WAY:
        return None
    return max(0.0, (job.bytes_total - job.bytes_done) / job.rate)


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

    async def listed_jobs(self, *, states: Collection[str] = ()) -> list[ListedJob]:
        """The same, without what makes many of them large."""

        def work(session: Session) -> list[ListedJob]:
            wanted = _listed().order_by(col(Job.priority).desc(), col(Job.created_at))
            wanted = wanted.where(col(Job.state).in_(list(states))) if states else wanted
            return [_as_listed(row._asdict()) for row in session.execute(wanted).yield_per(_AT_ONCE)]

        return await self._db.read(work)

    async def jobs_of(self, ids: Collection[str]) -> list[Job]:
        """These whole, as far as they are still there."""

        def work(session: Session) -> list[Job]:
            return list(session.exec(select(Job).where(col(Job.id).in_(list(ids)))))

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


def _listed() -> Select[Any]:
    """What a `ListedJob` holds; SQLite reads the long lists and says only how long they are."""
    spec = col(Job.spec)
    is_checking = and_(col(Job.kind) == JobKind.VERIFY, col(Job.state).in_(UNFINISHED))
    listing = func.json_array_length(spec, "$.listing.files")
    told = {
        "source": func.json_extract(spec, "$.listing.source"),
        "licence": func.json_extract(spec, "$.listing.licence"),
        "is_gated": func.json_extract(spec, "$.listing.gated"),
        "took_token": func.json_extract(spec, "$.token"),
        "is_repair": func.coalesce(func.json_extract(spec, "$.repair"), func.json_extract(spec, "$.replace")),
        "count": func.coalesce(func.nullif(listing, 0), func.json_array_length(spec, "$.files"), 0),
        "done": func.coalesce(func.json_array_length(col(Job.files)), 0),
        "bad": func.coalesce(func.json_extract(col(Job.result), "$.bad"), 0),
        "models": type_coerce(case((is_checking, func.json_extract(spec, "$.models"))), JSON),
    }
    return sql_select(*(getattr(Job, name) for name in _LISTED), *(value.label(name) for name, value in told.items()))


def _as_listed(row: Mapping[str, Any]) -> ListedJob:
    """Words that many jobs have are one."""
    words = {name: intern(row[name]) for name in ("kind", "host", "state", "wanted")}
    texts = {name: intern(str(row[name] or "")) for name in ("source", "licence")}
    flags = {name: bool(row[name]) for name in ("is_gated", "took_token", "is_repair")}
    return ListedJob(**{**row, **words, **texts, **flags, "models": tuple(map(str, row["models"] or ()))})
