"""Which served name is answered where (L2)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from core.registry.records import Head, Host, Model, Server
from core.registry.values import ServerStatus
from core.routes.service import make_routes
from core.routes.values import Health, Route

NEAR, FAR = Host(id="h1", name="near"), Host(id="h2", name="far", unreachable_since=datetime.now(UTC))
HEADS = {"gate": Head(name="gate", region="eu", url="https://gate.example/v1")}


def model(name: str, **more: Any) -> Model:
    columns = {"id": name, "name": name, "provider": "vllm", "model_id": f"org/{name}", "served_name": name, **more}
    return Model(**columns)


def server(of: str, status: ServerStatus, *, host: Host = NEAR, name: str = "", port: int = 8000) -> Server:
    columns: dict[str, Any] = {"user_id": "me", "model_id": of, "model_name": of, "served_name": name or of}
    place: dict[str, Any] = {"server_type": "vllm", "runtime": "docker", "host_id": host.id, "host_name": host.name}
    return Server(**columns, **place, status=status, url=f"http://127.0.0.1:{port}")


def made(models: list[Model], servers: list[Server]) -> list[Route]:
    return make_routes(models, servers, {"h1": NEAR, "h2": FAR}, HEADS)


def test_a_running_server_is_first_and_its_url_alone_is_given() -> None:
    """L2: several servers of one name; what answers is preferred."""
    servers = [
        server("a", ServerStatus.FAILED, port=1),
        server("a", ServerStatus.RUNNING, port=2),
        server("a", ServerStatus.LOADING, port=3),
        server("a", ServerStatus.RUNNING, host=FAR, port=4),
        server("a", ServerStatus.STOPPED, port=5),
    ]
    (route,) = made([model("a", region="de", head="gate")], servers)
    assert [target.health for target in route.targets] == [
        Health.UP,
        Health.STARTING,
        Health.UNREACHABLE,
        Health.FAILED,
        Health.DOWN,
    ]
    assert (route.health, route.urls) == (Health.UP, ("http://127.0.0.1:2",))
    assert (route.task, route.region, route.head, route.head_url) == (
        "generate",
        "de",
        "gate",
        "https://gate.example/v1",
    )
    assert route.conflict == ""
    assert len(made([model("a")], servers[:1])[0].urls) == 1


def test_endpoints_stand_beside_servers_with_the_health_of_their_last_test() -> None:
    hosted = {"endpoint": "https://api.example/v1", "served_name": "a", "provider": "openai"}
    for tested, health in ((None, Health.UNTESTED), ({"ok": True}, Health.UP), ({"ok": False}, Health.FAILED)):
        (route,) = made([model("b", last_test=tested, **hosted)], [])
        assert (route.health, route.targets[0].asks_for) == (health, "org/b")
    (route,) = made([model("a"), model("b", last_test={"ok": True}, **hosted)], [server("a", ServerStatus.STOPPED)])
    assert route.urls == ("https://api.example/v1",)
    assert route.conflict == "Different models share it: a, b."


def test_conflicts_say_who_shares_the_name() -> None:
    """L2: two models of one served name."""
    both = [server("a", ServerStatus.RUNNING, name="x"), server("b", ServerStatus.RUNNING, name="x", port=9)]
    (route,) = made([model("a", model_id="o/m"), model("b", model_id="o/m")], both)
    assert route.conflict == "Several records of one model share it: a, b."
    assert route.urls == ("http://127.0.0.1:8000", "http://127.0.0.1:9")
    (route,) = made([model("a"), model("b", task="embed")], both)
    assert route.conflict == "Models for different tasks share it: a, b."


def test_a_server_keeps_the_name_it_was_started_with() -> None:
    renamed = model("a", served_name="new", endpoint="https://e.example")
    names = [route.served_name for route in made([renamed], [server("a", ServerStatus.RUNNING, name="old")])]
    assert names == ["new", "old"]


def test_what_is_not_the_users_has_no_route() -> None:
    assert made([], [server("somebody's", ServerStatus.RUNNING)]) == []
