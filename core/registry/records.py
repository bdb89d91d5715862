"""The tables. A record is a plain value once it has left the registry: change it through `Registry` only."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Index, TypeDecorator, UniqueConstraint
from sqlmodel import Field, SQLModel

from core.events import now
from core.registry.values import LOCAL_HOST, Provider, ServerStatus


def new_id() -> str:
    """Twelve hex digits: short enough to type, fit for container names and paths."""
    return secrets.token_hex(6)


class Utc(TypeDecorator[datetime]):
    """Aware UTC datetimes in, aware UTC datetimes out; SQLite itself keeps no zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store as naive UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read as aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Model(SQLModel, table=True):
    """A model that can be used or deployed: a record, never a file on disk."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str | None = Field(default=None, index=True)  # None: global
    name: str = Field(index=True)
    provider: str = Field(default=Provider.LOCAL, index=True)
    model_id: str
    served_name: str = Field(index=True)
    task: str = "generate"
    context_length: int = 4096
    max_output_tokens: int = 2048
    default_temperature: float = 1.0
    default_top_p: float = 1.0
    supports_streaming: bool = True
    supports_tools: bool = False
    supports_vision: bool = False
    is_global: bool = False
    endpoint: str = ""
    api_key_ref: str = ""  # the name of a key, never a key (P8)
    region: str = Field(default="", index=True)  # a region's code (R1)
    head: str = Field(default="", index=True)  # the name of the priority head (R2)
    local_inference: bool = False  # answered on this machine; its endpoint never leaves it (R3)
    catalog: str = ""  # where a global record comes from: "builtin", or a site catalog's file
    host: str = LOCAL_HOST  # where model_path lies
    tags: list[str] = Field(default_factory=list, sa_type=JSON)
    flags: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    extra: dict[str, Any] = Field(default_factory=dict, sa_type=JSON, sa_column_kwargs={"name": "metadata"})
    last_test: dict[str, Any] | None = Field(default=None, sa_type=JSON)  # connections.TestReport.as_dict (P9)
    archived_at: datetime | None = Field(default=None, sa_type=Utc)
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    updated_at: datetime = Field(default_factory=now, sa_type=Utc)

    @property
    def path(self) -> str:
        """Where the engine loads from on `host` (N2); empty when unknown."""
        return str(self.extra.get("model_path", ""))

    @property
    def catalog_key(self) -> str:
        """The name of the key that the catalog gives a global model (P7); "" where that is its provider's."""
        return str(self.extra.get("api_key_ref", "")) if self.is_global else ""


class Host(SQLModel, table=True):
    """A machine that can serve: this one (`kind` "local") or one reached by SSH (`kind` "ssh")."""

    __tablename__ = "hosts"

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str = Field(unique=True)
    kind: str = "ssh"
    target: str = ""  # user@host, or an alias of the user's ssh configuration
    ssh_config: str = ""  # another configuration file (ssh -F)
    models_dir: str = ""
    docker_socket: str = "/var/run/docker.sock"
    last_seen_at: datetime | None = Field(default=None, sa_type=Utc)
    unreachable_since: datetime | None = Field(default=None, sa_type=Utc)
    problem: str = ""  # why it can't be used now
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    updated_at: datetime = Field(default_factory=now, sa_type=Utc)


class Deployment(SQLModel, table=True):
    """The wish: this model, served on this host, in this way."""

    __tablename__ = "deployments"
    __table_args__ = (UniqueConstraint("model_id", "host_id"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    model_id: str = Field(foreign_key="models.id", index=True)
    host_id: str = Field(foreign_key="hosts.id", index=True)
    engine: str
    runtime: str
    options: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    spec_hash: str = ""
    wanted: str = ServerStatus.RUNNING
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    updated_at: datetime = Field(default_factory=now, sa_type=Utc)


class Server(SQLModel, table=True):
    """The last thing seen of a deployment on its host, with its time."""

    __tablename__ = "servers"

    id: str = Field(default_factory=new_id, primary_key=True)
    deployment_id: str | None = Field(default=None, foreign_key="deployments.id", ondelete="SET NULL", index=True)
    user_id: str
    model_id: str = Field(index=True)
    model_name: str
    served_name: str
    server_type: str  # the engine
    runtime: str
    host_id: str = Field(foreign_key="hosts.id", index=True)
    host_name: str
    container_id: str = ""  # a container's id, or a process's "pid:start-time"
    container_name: str = ""
    image: str = ""
    status: str = Field(default=ServerStatus.STARTING, index=True)
    phase: str = ""  # while loading: what the engine is at
    cause: str = ""  # of a failure, in a sentence
    remedy: str = ""
    bind: str = "127.0.0.1"
    port: int | None = None
    url: str = ""
    gpus: list[str] = Field(default_factory=list, sa_type=JSON)
    gpu_memory: int | None = None  # bytes
    restarts: int = 0
    operation: dict[str, Any] | None = Field(default=None, sa_type=JSON)  # who works on it now (deploy.lease)
    started_at: datetime | None = Field(default=None, sa_type=Utc)
    stopped_at: datetime | None = Field(default=None, sa_type=Utc)
    observed_at: datetime | None = Field(default=None, sa_type=Utc)
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    updated_at: datetime = Field(default_factory=now, sa_type=Utc)

    @property
    def uptime_seconds(self) -> float | None:
        """Seconds since the engine started; None unless it runs."""
        if self.started_at is None or self.status not in {ServerStatus.RUNNING, ServerStatus.LOADING}:
            return None
        return (now() - self.started_at).total_seconds()


class Region(SQLModel, table=True):
    """Where a model or a head is; the standard codes are there from the start (R1)."""

    __tablename__ = "regions"

    id: str = Field(primary_key=True)  # the code: us, eu, de …
    name: str
    builtin: bool = False
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    updated_at: datetime = Field(default_factory=now, sa_type=Utc)


class Head(SQLModel, table=True):
    """A gateway that routes by served name (R2)."""

    __tablename__ = "heads"

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str = Field(unique=True)
    region: str = ""
    url: str = ""
    api_key_ref: str = ""
    description: str = ""
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    updated_at: datetime = Field(default_factory=now, sa_type=Utc)


class Conversation(SQLModel, table=True):
    """A talk with a model that was kept; `messages` are {"role", "content", …} in order."""

    __tablename__ = "conversations"

    id: str = Field(default_factory=new_id, primary_key=True)
    user_id: str = Field(index=True)
    model_id: str = Field(index=True)  # the record's id; the talk outlives the record
    model_name: str
    title: str = ""
    system: str = ""
    messages: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    created_at: datetime = Field(default_factory=now, sa_type=Utc)
    updated_at: datetime = Field(default_factory=now, sa_type=Utc)


# The analytics read this index alone, in the order in which they group.
CALL_FIGURES = (
    *("user_id", "model_id", "server_id", "kind", "ok", "seconds", "first_token_s", "at"),
    *("prompt_tokens", "completion_tokens", "rating"),
)


class Call(SQLModel, table=True):
    """One request that this program sent to a model: the raw figures of the analytics (N3); no text of it."""

    __tablename__ = "calls"
    __table_args__ = (Index("ix_calls_figures", *CALL_FIGURES),)

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(default_factory=now, sa_type=Utc, index=True)
    user_id: str
    model_id: str
    model_name: str
    server_id: str = ""  # "" when a hosted endpoint answered
    kind: str  # "chat" or "test"
    ok: bool
    error: str = ""  # a short word: "unauthorised", "timeout" …
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_s: float | None = None
    seconds: float = 0.0
    rating: int | None = None  # 1 to 5, given by the user
    conversation_id: str = ""


class Counter(SQLModel, table=True):
    """What an engine counted in one span of one server: differences, never totals, so that restarts don't matter.

    None: the engine does not tell. Histograms hold requests by "low-high", the bounds in seconds.
    """

    __tablename__ = "counters"
    __table_args__ = (UniqueConstraint("server_id", "at", "seconds"),)

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=Utc, index=True)  # the beginning of the span
    seconds: int  # its length
    server_id: str
    model_id: str = Field(index=True)
    model_name: str
    requests: int | None = None
    failures: int | None = None
    prompt_tokens: int = 0
    generation_tokens: int = 0
    generation_seconds: float = 0.0  # spent on the tokens after each first one
    latency: dict[str, int] = Field(default_factory=dict, sa_type=JSON)
    first_token: dict[str, int] = Field(default_factory=dict, sa_type=JSON)


class Reading(SQLModel, table=True):
    """What an engine had counted in all when it was last read; the next reading is compared with it."""

    __tablename__ = "readings"

    server_id: str = Field(primary_key=True, foreign_key="servers.id", ondelete="CASCADE")
    at: datetime = Field(sa_type=Utc)
    start: str = ""  # which start of the server it was; "": not sure
    totals: dict[str, float] = Field(default_factory=dict, sa_type=JSON)


class CatalogState(SQLModel, table=True):
    """Which state of the catalog's files the global models are of (P7), and what was wrong in them."""

    __tablename__ = "catalog_states"

    id: str = Field(primary_key=True)
    fingerprint: str = ""
    problems: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    synced_at: datetime = Field(default_factory=now, sa_type=Utc)


class Change(SQLModel, table=True):
    """One line of the change log: who changed what, when; `before` and `after` hold the changed columns."""

    __tablename__ = "changes"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(default_factory=now, sa_type=Utc, index=True)
    user_id: str
    machine: str = ""
    batch: str = Field(index=True)  # changes of one action are undone together
    kind: str  # "model", "head", "region"
    record_id: str = Field(index=True)
    name: str
    action: str  # "added", "edited", "archived", "restored", "deleted"
    before: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    after: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    undoes: str = ""  # the batch that this one took back
    note: str = ""  # where it came from, such as an imported file

    @property
    def who(self) -> str:
        """`user@machine`."""
        return f"{self.user_id}@{self.machine}" if self.machine else self.user_id
