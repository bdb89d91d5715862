"""Tests of connections as a test of the screens wants them to end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from core.connections.report import TestReport
from core.findings import Finding, Severity
from core.registry.records import Model
from core.registry.store import Registry


@dataclass
class FakeConnections:
    """Fine after a while, unless `faults` has a finding for the model; kept with the model as the real one does."""

    registry: Registry
    faults: dict[str, Finding] = field(default_factory=dict)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    tested: list[str] = field(default_factory=list)

    async def test(self, ref: str) -> TestReport:
        model = await self.registry.get_model(ref)
        self.tested.append(model.name)
        await self.go_on.wait()
        report = self._report(model, self.faults.get(model.name))
        await self.registry.keep_test(model.id, report.as_dict())
        return report

    def _report(self, model: Model, fault: Finding | None) -> TestReport:
        fine = Finding(severity=Severity.OK, check="reachable", reason="gpu:8000 answers in 34 ms.")
        return TestReport(
            model_id=model.id,
            model_name=model.name,
            url="http://gpu:8000/v1",
            ok=fault is None,
            fault=fault.check if fault else "",
            latency_s=0.034,
            serves=(model.served_name, "another"),
            findings=(fine, *([fault] if fault else [])),
        )
