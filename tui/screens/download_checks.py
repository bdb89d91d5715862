"""What checks of installed files found (D9): told by their jobs, so that it is known after a restart, too."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from core.files.service import is_bad
from core.registry.jobs import UNFINISHED, JobKind, JobState

if TYPE_CHECKING:
    from datetime import datetime

    from core.files.installed import InstalledModel
    from core.registry.jobs import Job, JobRecords, ListedJob

_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the files of one model were: (condition, path) of those that are not what was installed."""

    at: datetime
    files: int
    bad: Sequence[tuple[str, str]] = ()
    job_id: str = ""

    def without(self, mended: Mapping[str, datetime], folder: str) -> Outcome:
        """The same without the files that were fetched again since, and checked as they came."""
        left = [one for one in self.bad if (at := mended.get(posixpath.join(folder, one[1]))) is None or at < self.at]
        return self if len(left) == len(self.bad) else replace(self, bad=tuple(left))


@dataclass(frozen=True)
class Checks:
    """By the model's path: the last outcome; and the models that are being read now."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    under_way: frozenset[str] = frozenset()

    def of(self, model: InstalledModel) -> Outcome | None:
        """The last outcome, unless the model was installed anew since."""
        found = self.outcomes.get(model.path)
        is_old = found is not None and model.installed_at > found.at.isoformat(timespec="seconds")
        return None if is_old else found


class CheckReader:
    """Reads each job that is over once, a few at a time: one of everything that is installed is long."""

    def __init__(self, registry: Callable[[], JobRecords]) -> None:
        self._registry = registry
        self._known: dict[str, Mapping[str, Outcome]] = {}
        self._mended: dict[str, Mapping[str, datetime]] = {}

    async def read(self, jobs: Iterable[ListedJob], host: str) -> Checks:
        """Of all jobs on a host's files; what was fetched again since is not bad any more."""
        here = [job for job in jobs if job.host == host]
        checks = [job for job in here if job.kind == JobKind.VERIFY]
        over = sorted((job for job in checks if job.state not in UNFINISHED and job.done), key=_ended)
        repairs = sorted((job for job in here if job.is_repair and job.state == JobState.DONE), key=_ended)
        await self._learn([job.id for job in (*over, *repairs) if not {job.id} & (self._known.keys() | self._mended)])
        mended = {path: at for job in repairs for path, at in self._mended.get(job.id, {}).items()}
        outcomes: dict[str, Outcome] = {}
        for job in over:
            found = self._known.get(job.id, {})
            outcomes |= {model: one.without(mended, job.folder) for model, one in found.items()} if mended else found
        busy = {path for job in checks if job.state in UNFINISHED for path in job.models}
        return Checks(outcomes, frozenset(busy))

    async def _learn(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _AT_ONCE):
            for job in await self._registry().jobs_of(ids[start : start + _AT_ONCE]):
                if job.kind == JobKind.VERIFY:
                    self._known[job.id] = _outcomes(job)
                else:
                    self._mended[job.id] = _whole_again(job)


def _outcomes(job: Job) -> Mapping[str, Outcome]:
    """Of every model whose files were all looked at."""
    seen = {str(file["path"]): str(file["condition"]) for file in job.files if "condition" in file}
    paths: dict[str, list[str]] = {}
    for file in job.spec.get("files", ()):
        paths.setdefault(str(file.get("model", "")), []).append(str(file["path"]))
    at = _ended(job)
    whole = {model: named for model, named in paths.items() if all(path in seen for path in named)}
    return {model: Outcome(at, len(named), _bad(named, seen), job.id) for model, named in whole.items()}


def _ended(job: Job | ListedJob) -> datetime:
    return job.finished_at or job.updated_at


def _whole_again(job: Job) -> Mapping[str, datetime]:
    """When each file that a repair fetched again was whole."""
    if job.kind == JobKind.COPY:
        root, paths = str(job.spec["root"]), [str(file["place"]) for file in job.spec["files"]]
    else:
        root, paths = job.folder, [str(file["path"]) for file in job.spec["listing"]["files"]]
    return dict.fromkeys((posixpath.join(root, path) for path in paths), _ended(job))


def _bad(paths: Iterable[str], seen: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((seen[path], path) for path in sorted(paths) if is_bad(seen[path]))
