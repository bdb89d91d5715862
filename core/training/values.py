"""What a training job left in a folder (P18): its checkpoints, its base model, how far it got."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from core.findings import Finding

FINAL = "."  # the name of the folder itself among the outputs


class Kind(StrEnum):
    """What an output holds: a whole model, or only what was trained on top of one."""

    MODEL = "model"
    ADAPTER = "adapter"


class Progress(StrEnum):
    """How far the job got, as its files tell."""

    FINISHED = "finished"
    RUNNING = "running"
    STOPPED = "stopped early"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Output:
    """One folder that could be served: a checkpoint, a merged model, or the job's folder itself (`name` ".")."""

    name: str
    path: str
    kind: Kind
    step: int | None = None
    best: bool = False
    gguf: bool = False
    size: int = 0  # bytes of its files
    modified: float = 0.0  # epoch seconds, by the host's clock
    problem: str = ""  # why it can't be served

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is one of the steps on the way."""
        return PurePosixPath(self.path).name.startswith("checkpoint-")


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training job's folder; `base_model` is what its files say, from `base_source`, as they say it."""

    path: str
    host: str
    base_model: str
    base_source: str
    method: str
    job_id: str
    progress: Progress
    step: int | None
    steps: int | None
    outputs: tuple[Output, ...]  # the one that is proposed first
    findings: tuple[Finding, ...]

    @property
    def proposed(self) -> Output:
        """The one to take unless the user says otherwise."""
        return self.outputs[0]

    @property
    def how_far(self) -> str:
        """`stopped early at step 500 of 1,000`."""
        if self.step is None:
            return str(self.progress)
        of = f" of {self.steps:,}" if self.steps else ""
        return f"{self.progress} at step {self.step:,}{of}"

    def as_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return {
            **asdict(self),
            "findings": [finding.as_dict() for finding in self.findings],
            "proposed": self.proposed.name,
        }
