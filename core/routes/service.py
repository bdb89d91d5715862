"""The routing registry: served name → URLs, task, region, priority head and health, from what is known now (L2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from core.registry.values import ServerStatus
from core.routes.values import ORDER, Health, Route, Target

if TYPE_CHECKING:
    from core.registry.records import Head, Host, Model, Server
    from core.registry.store import Registry

_OF_SERVER = {
    ServerStatus.RUNNING: Health.UP,
    ServerStatus.LOADING: Health.STARTING,
    ServerStatus.STARTING: Health.STARTING,
    ServerStatus.STOPPING: Health.DOWN,
    ServerStatus.STOPPED: Health.DOWN,
    ServerStatus.FAILED: Health.FAILED,
}


async def routes(registry: Registry) -> list[Route]:
    """Every route of the user, by served name; nothing is asked of hosts, what was seen last counts."""
    models = await registry.routed_models()
    servers = await registry.servers()
    hosts = {host.id: host for host in await registry.hosts()}
    heads = {head.name: head for head in await registry.heads()}
    return make_routes(models, servers, hosts, heads)


def make_routes(
    models: Iterable[Model], servers: Iterable[Server], hosts: Mapping[str, Host], heads: Mapping[str, Head]
) -> list[Route]:
    """The routes of these records; a server stands under the name that it was started with."""
    known = {model.id: model for model in models}
    behind: dict[str, list[tuple[Model, Target]]] = {}
    for server in servers:
        model = known.get(server.model_id)
        if model is not None:
            behind.setdefault(server.served_name, []).append((model, _of_server(server, model, hosts)))
    for model in known.values():
        if model.endpoint:
            behind.setdefault(model.served_name, []).append((model, _of_endpoint(model)))
    return [_route(name, behind[name], heads) for name in sorted(behind, key=str.casefold)]


def _of_server(server: Server, model: Model, hosts: Mapping[str, Host]) -> Target:
    host = hosts.get(server.host_id)
    lost = host is not None and host.unreachable_since is not None
    return Target(
        url=server.url,
        health=Health.UNREACHABLE if lost else _OF_SERVER.get(ServerStatus(server.status), Health.DOWN),
        model_id=model.id,
        model_name=model.name,
        asks_for=server.served_name,
        host=server.host_name,
        server_id=server.id,
        engine=server.server_type,
        region=model.region,
    )


def _of_endpoint(model: Model) -> Target:
    """Its health is what the last connection test said."""
    tested = model.last_test or {}
    health = Health.UNTESTED if not tested else Health.UP if tested.get("ok") else Health.FAILED
    return Target(
        url=model.endpoint,
        health=health,
        model_id=model.id,
        model_name=model.name,
        asks_for=model.model_id,
        engine=model.provider,
        region=model.region,
    )


def _route(name: str, behind: list[tuple[Model, Target]], heads: Mapping[str, Head]) -> Route:
    ranked = sorted(behind, key=lambda pair: (ORDER.index(pair[1].health), pair[1].model_name, pair[1].host))
    models = list({model.id: model for model, _ in ranked}.values())
    head = next((model.head for model in models if model.head), "")
    return Route(
        served_name=name,
        task=models[0].task,
        region=next((model.region for model in models if model.region), ""),
        head=head,
        head_url=heads[head].url if head in heads else "",
        targets=tuple(target for _, target in ranked),
        conflict=_conflict(models),
    )


def _conflict(models: list[Model]) -> str:
    """Who shares the name; two models behind one name answer differently from request to request."""
    if len(models) < 2:
        return ""
    names = ", ".join(sorted(model.name for model in models))
    if len({model.task for model in models}) > 1:
        return f"Models for different tasks share it: {names}."
    same = len({model.model_id for model in models}) == 1
    return f"{'Several records of one model' if same else 'Different models'} share it: {names}."
