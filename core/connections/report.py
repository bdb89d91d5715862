"""What a test of a connection found; light, since lists of models show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.events import now
from core.findings import Finding, Severity, worst


@dataclass(frozen=True, kw_only=True)
class TestReport:
    """`latency_s` runs from sending to the first byte; `fault` is a stable word, "" when all is well.

    `findings` stand in the order of the steps: reachable, authorised, model.
    """

    __test__ = False  # it is no test of pytest's

    model_id: str
    model_name: str
    url: str
    ok: bool
    findings: tuple[Finding, ...]
    fault: str = ""
    server_id: str = ""
    unreachable: bool = False  # the host, not the server on it
    connect_s: float | None = None
    latency_s: float | None = None
    serves: tuple[str, ...] = ()
    at: datetime = field(default_factory=now)

    @property
    def sentence(self) -> str:
        """All of it in a line: what is wrong first."""
        grave = worst(self.findings)
        said = [one.reason for one in self.findings if one.severity is grave]
        if self.ok:
            took = "" if self.latency_s is None else f", {self.latency_s * 1000:.0f} ms"
            more = f"; {said[0]}" if grave is Severity.WARNING else ""
            return f"It answers{took}{more}"
        return " ".join(said)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` is the inverse."""
        return {
            "model_id": self.model_id,
            "model": self.model_name,
            "ok": self.ok,
            "url": self.url,
            "server_id": self.server_id,
            "fault": self.fault,
            "unreachable": self.unreachable,
            "connect_seconds": self.connect_s,
            "latency_seconds": self.latency_s,
            "serves": list(self.serves),
            "findings": [finding.as_dict() for finding in self.findings],
            "at": self.at.isoformat(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TestReport | None:
        """What a record keeps; None for what another version may have written."""
        try:
            return cls(
                model_id=values["model_id"],
                model_name=values["model"],
                ok=values["ok"],
                url=values["url"],
                server_id=values["server_id"],
                fault=values["fault"],
                unreachable=values["unreachable"],
                connect_s=values["connect_seconds"],
                latency_s=values["latency_seconds"],
                serves=tuple(values["serves"]),
                findings=tuple(_finding(one) for one in values["findings"]),
                at=datetime.fromisoformat(values["at"]),
            )
        except (KeyError, TypeError, ValueError):
            return None


def _finding(values: dict[str, Any]) -> Finding:
    return Finding(
        severity=Severity(values["severity"]),
        check=values["check"],
        reason=values["reason"],
        remedy=values["remedy"],
    )


def named(name: str, serves: Sequence[str]) -> bool:
    """Whether a list holds the name; Ollama's names mean `:latest` where they have no tag, Google's a collection."""
    same = {name, f"{name}:latest", name.removeprefix("models/")}
    return any(one in same for one in serves)
