"""The routing registry's values (L2): a served name, what it is for, and where it is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Health(StrEnum):
    """How a target stands, best first."""

    UP = "up"
    STARTING = "starting"
    UNTESTED = "untested"
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    DOWN = "down"


ORDER = tuple(Health)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One place that answers: a server of ours, or the endpoint of a model that others serve.

    `url` is as seen from `host` ("" for an endpoint, which is the same from everywhere); `asks_for` is the name
    that the place itself knows the model by.
    """

    url: str
    health: Health
    model_id: str
    model_name: str
    asks_for: str
    host: str = ""
    server_id: str = ""
    engine: str = ""
    region: str = ""


@dataclass(frozen=True, kw_only=True)
class Route:
    """What clients send as `model`, and who answers: the best target first; `conflict` says who quarrels about it."""

    served_name: str
    task: str
    region: str
    head: str
    head_url: str
    targets: tuple[Target, ...]
    conflict: str = ""

    @property
    def health(self) -> Health:
        """That of the best target."""
        return min((target.health for target in self.targets), key=ORDER.index, default=Health.DOWN)

    @property
    def urls(self) -> tuple[str, ...]:
        """Where it is answered now, else where it could be."""
        up = [target.url for target in self.targets if target.url and target.health is Health.UP]
        return tuple(dict.fromkeys(up or [target.url for target in self.targets if target.url]))

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the records behind it."""
        return tuple(dict.fromkeys(target.model_name for target in self.targets))

    def holds(self, text: str) -> bool:
        """Whether every word is somewhere in what a person would look for."""
        whole = " ".join((self.served_name, self.task, self.region, self.head, *self.models)).casefold()
        return all(word in whole for word in text.casefold().split())

    def as_dict(self) -> dict[str, object]:
        """JSON-ready."""
        more: dict[str, Sequence[str] | str] = {"health": self.health, "urls": self.urls, "models": self.models}
        return {**asdict(self), **more}
