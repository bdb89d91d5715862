"""Tests whether a model can be used where its record says (P9): reachable, authorised, served there, how fast."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.connections.report import TestReport, named
from core.errors import HostUnreachable, KeyMissing, KeysLocked, ModelyardError
from core.findings import Finding, Severity
from core.providers import network
from core.providers.errors import Fault, ProviderError
from core.providers.places import NowhereServed, Place, Places

if TYPE_CHECKING:
    from core.registry.records import Model
    from core.registry.store import Registry

_SILENCE_S = 15.0
_SERVES_LIMIT = 1000  # names kept of what an endpoint says it serves
_NEAR = 3  # names offered in place of one that is not served
_STEPS = {
    **dict.fromkeys((Fault.NO_KEY, Fault.UNAUTHORISED, Fault.FORBIDDEN, Fault.NO_CREDIT), "authorised"),
    **dict.fromkeys((Fault.MODEL_NOT_FOUND, Fault.LOADING), "model"),
    **dict.fromkeys((Fault.NOT_FOUND, Fault.NOT_AN_API, Fault.REDIRECTED, Fault.BAD_ADDRESS), "api"),
    **dict.fromkeys((Fault.RATE_LIMITED, Fault.OVERLOADED, Fault.SERVER_ERROR, Fault.TOO_LARGE), "answers"),
}


class ConnectionService:
    """Tests connections, keeps what was found with the model, and counts each test that sent something as a call."""

    def __init__(self, registry: Registry, places: Places, *, silence_s: float = _SILENCE_S) -> None:
        self._registry = registry
        self._places = places
        self._silence_s = silence_s

    async def test(self, ref: str) -> TestReport:
        """Test one model; what is wrong is in the report, with a remedy.

        Raises:
            NotFound: there is no such model.
        """
        model = await self._registry.get_model(ref)
        test = _Test(model)
        try:
            async with self._places.open(model, silence_s=self._silence_s) as place:
                await test.run(place)
        except ModelyardError as error:
            test.failed(error)
        report = test.report()
        await self._registry.keep_test(model.id, report.as_dict())
        if test.place is not None:
            await self._record(report, time.perf_counter() - test.began)
        return report

    async def _record(self, report: TestReport, seconds: float) -> None:
        from core.registry.records import Call

        await self._registry.record_call(
            Call(
                user_id=self._registry.user_id,
                model_id=report.model_id,
                model_name=report.model_name,
                server_id=report.server_id,
                kind="test",
                ok=report.ok,
                error=report.fault,
                first_token_s=report.latency_s,
                seconds=seconds,
            )
        )


@dataclass
class _Test:
    """One test on its way: what was found so far."""

    model: Model
    place: Place | None = None
    serves: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    fault: str = ""
    unreachable: bool = False
    connect_s: float | None = None
    latency_s: float | None = None
    began: float = 0.0  # once there is a place: finding the key may ask the user

    async def run(self, place: Place) -> None:
        """Ask for the list of models, for the right to ask, and for the model."""
        self.place, self.began = place, time.perf_counter()
        lists = await self._list(place)
        if not place.at_provider or not lists:
            await self._ask(place, lists)
        self._say_reached(place)
        self._say_key(place)
        if lists:
            await self._say_served(place)
        else:
            self._add(Severity.WARNING, "model", "It doesn't say which models it serves, so the name is not checked.")

    async def _list(self, place: Place) -> bool:
        """Whether there is a list; an endpoint without one may still be an API."""
        try:
            self.serves = await place.caller.models()
        except ProviderError as error:
            self._clock(place)
            if error.fault is not Fault.NOT_FOUND:
                raise
            return False
        self._clock(place)
        return True

    def _clock(self, place: Place) -> None:
        """The first request counts: it connects."""
        self.connect_s, self.latency_s = place.caller.timings.connect_s, place.caller.timings.first_byte_s

    async def _ask(self, place: Place, lists: bool) -> None:
        """Elsewhere than at a provider, a list may be open to all while answers want a key."""
        try:
            await place.caller.lets_ask(place.served_name, task=self.model.task)
        except ProviderError as error:
            if not (lists and error.fault in {Fault.NOT_FOUND, Fault.MODEL_NOT_FOUND}):  # what is listed will tell
                raise

    def _say_reached(self, place: Place) -> None:
        took = "" if self.latency_s is None else f" in {self.latency_s * 1000:.0f} ms"
        self._add(Severity.OK, "reachable", f"{network.place(place.url)} answers{took}.")

    def _say_key(self, place: Place) -> None:
        said = "The key is accepted." if place.keyed else "No key is asked for."
        self._add(Severity.OK, "authorised", said)
        open_way = place.server is None and place.url.startswith("http://") and not network.is_loopback(place.url)
        if place.keyed and open_way:
            self._add(Severity.WARNING, "key", "The key travels unencrypted.", "Use https:// in the endpoint.")

    async def _say_served(self, place: Place) -> None:
        name = place.served_name
        if named(name, self.serves) or await place.caller.knows(name):
            self._add(Severity.OK, "model", f"{name} is served there.")
            return
        self.fault = self.fault or Fault.MODEL_NOT_FOUND.value
        said = f"{name} is not served there; {_instead(name, self.serves)}."
        self._add(Severity.ERROR, "model", said, f"Correct the model id: modelyard models edit {self.model.name} …")

    def failed(self, error: ModelyardError) -> None:
        """The test can't go on."""
        if isinstance(error, ProviderError):
            step = _STEPS.get(error.fault, "reachable")
            self.fault = error.fault.value
            if error.status is not None and step != "reachable" and self.place is not None:
                self._say_reached(self.place)
        else:
            self.unreachable = isinstance(error, HostUnreachable)
            step, self.fault = _other(error)
        cause = f" {error.cause}" if error.cause else ""
        self._add(Severity.ERROR, step, f"{error.message}{cause}", error.remedy)

    def _add(self, severity: Severity, check: str, reason: str, remedy: str = "") -> None:
        self.findings.append(Finding(severity=severity, check=check, reason=reason, remedy=remedy))

    def report(self) -> TestReport:
        """All of it."""
        server = self.place.server if self.place else None
        return TestReport(
            model_id=self.model.id,
            model_name=self.model.name,
            url=self.place.url if self.place else self.model.endpoint,
            server_id=server.id if server else "",
            ok=not any(finding.severity is Severity.ERROR for finding in self.findings),
            fault=self.fault,
            unreachable=self.unreachable,
            connect_s=self.connect_s,
            latency_s=self.latency_s,
            serves=self.serves[:_SERVES_LIMIT],
            findings=tuple(self.findings),
        )


def _other(error: ModelyardError) -> tuple[str, str]:
    """The step and the kind of an error that did not come from an endpoint."""
    if isinstance(error, KeyMissing | KeysLocked):
        return "authorised", Fault.NO_KEY.value if isinstance(error, KeyMissing) else "keys_locked"
    if isinstance(error, NowhereServed):
        return "served", "not_running"
    if isinstance(error, HostUnreachable):
        return "reachable", "host_unreachable"
    return "served", error.code


def _instead(name: str, serves: Sequence[str]) -> str:
    """What is served in its place, the likeliest first."""
    from difflib import get_close_matches

    if not serves:
        return "it lists no model at all"
    near = get_close_matches(name, serves, n=_NEAR, cutoff=0.4) or list(serves[:_NEAR])
    more = len(serves) - len(near)
    return f"what is: {', '.join(near)}" + (f" and {more} more" if more else "")
