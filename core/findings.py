"""A finding: one thing that was checked, how it stands, and what to do; used by the doctor and the dry run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

from core.redaction import without_handled


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`check` is a stable word for scripts, `reason` a sentence, `remedy` what to do (empty when all is well)."""

    severity: Severity
    check: str
    reason: str
    remedy: str = ""

    def __post_init__(self) -> None:
        """A server may repeat our key in what it says, and findings are kept."""
        object.__setattr__(self, "reason", without_handled(self.reason))

    def as_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return asdict(self)


def worst(findings: Iterable[Finding]) -> Severity:
    """The most severe of them; OK for none."""
    order = list(Severity)
    return max((finding.severity for finding in findings), key=order.index, default=Severity.OK)
