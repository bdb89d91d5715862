"""Records as scripts get them (P16); the names of fields are stable."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.hosts.values import HostOverview
    from core.registry.records import Host, Model, Server

UNREACHABLE = "unreachable"

_MODEL = (
    "id",
    "name",
    "provider",
    "model_id",
    "served_name",
    "task",
    "context_length",
    "max_output_tokens",
    "default_temperature",
    "default_top_p",
    "supports_streaming",
    "supports_tools",
    "supports_vision",
    "is_global",
    "user_id",
    "path",
    "host",
    "endpoint",
    "api_key_ref",
    "region",
    "head",
    "local_inference",
    "tags",
    "flags",
    "catalog",
    "last_test",
    "archived_at",
    "created_at",
    "updated_at",
)
_SERVER = (
    "id",
    "user_id",
    "model_id",
    "model_name",
    "served_name",
    "server_type",
    "runtime",
    "status",
    "phase",
    "cause",
    "remedy",
    "bind",
    "port",
    "url",
    "image",
    "container_id",
    "container_name",
    "gpus",
    "gpu_memory",
    "restarts",
    "started_at",
    "stopped_at",
    "observed_at",
    "uptime_seconds",
)
_HOST = ("id", "name", "kind", "target", "ssh_config", "models_dir", "docker_socket", "last_seen_at", "created_at")


def model_fields(model: Model, server: Server | None = None) -> dict[str, Any]:
    """A model, with the server that answers for it."""
    of_server = {name: getattr(server, name) if server else None for name in ("status", "port", "url")}
    return {
        **_fields(model, _MODEL),
        "metadata": model.extra,
        **of_server,
        "server_id": server.id if server else None,
        "server_type": server.server_type if server else None,
    }


def server_fields(server: Server, hosts: Mapping[str, Host]) -> dict[str, Any]:
    """A server, and whether its host could be asked; `hosts` by id."""
    host = hosts.get(server.host_id)
    return {
        **_fields(server, _SERVER),
        "host": server.host_name,
        "reachable": host is not None and host.unreachable_since is None,
        "problem": host.problem if host else "",
    }


def host_fields(host: Host, overview: HostOverview | None) -> dict[str, Any]:
    """A host's record and, where it was asked, what was seen."""
    seen = overview.as_dict() if overview else {}
    known = {"reachable": host.unreachable_since is None, "problem": host.problem}
    return {**known, **seen, **_fields(host, _HOST)}


def shown_status(server: Server, hosts: Mapping[str, Host]) -> str:
    """The status for people: of a server whose host can't be asked, only what was seen last."""
    host = hosts.get(server.host_id)
    if host is not None and host.unreachable_since is not None:
        return f"{UNREACHABLE} (was {server.status})"
    return server.status


def _fields(record: Model | Server | Host, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in names}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
