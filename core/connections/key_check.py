"""Whether a key can be read, and whether an endpoint that it is for accepts it (P8)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.errors import ModelyardError
from core.keys.values import KeyInfo
from core.providers import network
from core.providers.caller import Caller
from core.providers.errors import Fault, ProviderError
from core.providers.places import HOSTED, wire_of

if TYPE_CHECKING:
    from core.connections.service import ConnectionService
    from core.keys.store import KeyStore

_SILENCE_S = 15.0
_REFUSED = {Fault.UNAUTHORISED, Fault.FORBIDDEN}


@dataclass(frozen=True, kw_only=True)
class KeyCheck:
    """`accepted` is None where nobody could be asked; `reason` says why, or what was answered; `asked` says whom."""

    name: str
    source: str
    readable: bool
    accepted: bool | None = None
    asked: str = ""
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether it can be used, as far as is known."""
        return self.readable and self.accepted is not False

    def as_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


async def check_key(keys: KeyStore, connections: ConnectionService, info: KeyInfo, *, model: str = "") -> KeyCheck:
    """Read the key; then ask `model`, else the first model that uses it, else the provider whose key it is.

    Raises:
        KeysLocked: the vault is. KeyProblem: what is there is no key. NotFound: there is no such model.
    """
    value = await keys.get(info.name)
    found = KeyCheck(name=info.name, source=info.source.value, readable=value is not None)
    if value is None:
        return _told(found, None, "", f"Nothing holds it: modelyard keys set {info.name}")
    model = model or next((name for name in info.used_by if not name.startswith("head ")), "")
    if model:
        return await _by_model(connections, found, model)
    if info.name in HOSTED:
        return await _by_provider(found, value)
    return _told(found, None, "", "No model uses it, so nobody was asked.")


async def _by_model(connections: ConnectionService, found: KeyCheck, model: str) -> KeyCheck:
    report = await connections.test(model)
    said = [finding for finding in report.findings if finding.check == "authorised"]
    if report.fault in _REFUSED:
        return _told(found, False, report.url, said[0].reason if said else report.sentence)
    if report.ok or said:
        return _told(found, True, report.url, said[0].reason if said else report.sentence)
    return _told(found, None, report.url, report.sentence)


async def _by_provider(found: KeyCheck, value: str) -> KeyCheck:
    wire = wire_of(found.name)
    try:
        async with await network.client(wire.default_base, wire.headers(value), silence_s=_SILENCE_S) as client:
            await Caller(client, wire, wire.default_base, silence_s=_SILENCE_S).models()
    except ModelyardError as error:
        refused = isinstance(error, ProviderError) and error.fault in _REFUSED
        return _told(found, False if refused else None, wire.default_base, f"{error.message} {error.cause}".strip())
    return _told(found, True, wire.default_base, "The key is accepted.")


def _told(found: KeyCheck, accepted: bool | None, asked: str, reason: str) -> KeyCheck:
    return replace(found, accepted=accepted, asked=asked, reason=reason)
