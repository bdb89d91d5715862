"""What checks of installed files found (D9): told by their jobs, so that it is known after a restart, too."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from core.files.service import is_bad
from core.registry.jobs import UNFINISHED, JobKind, JobState
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from datetime import datetime

    from core.files.installed import InstalledModel
    from core.registry.jobs import Job


@dataclass(frozen=True)
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
    """Reads each job that is over once."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, Outcome]] = {}

    def read(self, jobs: Iterable[Job]) -> Checks:
        """Of all jobs on this machine's files; what was fetched again since is not bad any more."""
        here = [job for job in jobs if job.host == LOCAL_HOST]
        checks = [job for job in here if job.kind == JobKind.VERIFY]
        mended = _mended(here)
        outcomes: dict[str, Outcome] = {}
        for job in sorted((job for job in checks if job.state not in UNFINISHED), key=_ended):
            found = self._of(job)
            outcomes |= {model: one.without(mended, job.folder) for model, one in found.items()} if mended else found
        busy = {str(path) for job in checks if job.state in UNFINISHED for path in job.spec.get("models", ())}
        return Checks(outcomes, frozenset(busy))

    def _of(self, job: Job) -> Mapping[str, Outcome]:
        if job.id not in self._known:
            self._known[job.id] = _outcomes(job)
        return self._known[job.id]


def _outcomes(job: Job) -> Mapping[str, Outcome]:
    """Of every model whose files were all looked at."""
    seen = {str(file["path"]): str(file["condition"]) for file in job.files if "condition" in file}
    paths: dict[str, list[str]] = {}
    for file in job.spec.get("files", ()):
        paths.setdefault(str(file.get("model", "")), []).append(str(file["path"]))
    at = _ended(job)
    whole = {model: named for model, named in paths.items() if all(path in seen for path in named)}
    return {model: Outcome(at, len(named), _bad(named, seen), job.id) for model, named in whole.items()}


def _ended(job: Job) -> datetime:
    return job.finished_at or job.updated_at


def _mended(jobs: Iterable[Job]) -> Mapping[str, datetime]:
    """When each file that was fetched again was whole."""
    repairs = [job for job in jobs if job.state == JobState.DONE and job.spec.get("repair")]
    return {
        posixpath.join(job.folder, str(file["path"])): _ended(job)
        for job in sorted(repairs, key=_ended)
        for file in job.spec["listing"]["files"]
    }


def _bad(paths: Iterable[str], seen: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((seen[path], path) for path in sorted(paths) if is_bad(seen[path]))
