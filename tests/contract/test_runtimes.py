"""What every runtime does, asked of a real Docker engine and of processes on this machine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

import psutil
import pytest

from core.engines.base import API_KEY_FILE
from core.errors import EngineRefused, NotFound
from core.runtimes.base import BindMount, Happening, Phase, Runtime
from tests.contract.runtime_places import LABELS, Place, closable, docker_place, process_place, until

SECRET = b"canary-7f3e91c2"


@pytest.fixture(params=["docker", "process"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "docker":
        request.getfixturevalue("busybox_image")
        made: Place = docker_place(request.getfixturevalue("clean_hosts").hosts[0])
    else:
        made = process_place(tmp_path)
    yield made
    for server in await made.runtime.list():
        await made.runtime.remove(server.id)
    await made.runtime.close()


@pytest.fixture
def runtime(place: Place) -> Runtime:
    return place.runtime


async def test_life_of_a_server(place: Place, runtime: Runtime) -> None:
    port = place.free_port()
    spec = place.web_spec(port=port, env={"COLOUR": "teal"})
    server_id = await runtime.create(spec)
    (created,) = await runtime.list()
    assert (created.id, created.name, created.phase) == (server_id, spec.name, Phase.CREATED)
    assert created.labels == LABELS
    assert created.argv == spec.argv
    assert (created.bind, created.port) == ("127.0.0.1", port)

    await runtime.start(server_id)
    up = await place.phase(server_id, Phase.UP)
    assert up.started_at is not None
    assert up.exit_code is None
    await until(lambda: asyncio.to_thread(place.get, port), what="it answers")
    assert place.get(port) == "hello from it\n"
    assert place.listeners(port) == {"127.0.0.1"}

    await runtime.stop(server_id, timeout_s=5)
    (stopped,) = await runtime.list()
    assert stopped.phase is Phase.EXITED
    assert stopped.exit_code is not None
    assert stopped.finished_at is not None
    assert place.get(port) == ""

    await runtime.start(server_id)
    await until(lambda: asyncio.to_thread(place.get, port), what="it answers again")
    await runtime.remove(server_id)
    assert await runtime.list() == []
    assert await runtime.inspect(server_id) is None
    assert place.get(port) == ""


async def test_found_by_id_and_by_name(place: Place, runtime: Runtime) -> None:
    server_id = await runtime.create(place.spec("sleep 60"))
    by_id, by_name = await runtime.inspect(server_id), await runtime.inspect("llamacpp-model-m1")
    assert by_id == by_name
    assert by_id is not None
    assert await runtime.inspect("vllm-model-other") is None


async def test_info_and_image(place: Place, runtime: Runtime) -> None:
    info = await runtime.info()
    assert info.name is runtime.name
    assert info.version
    assert info.memory > 2**28
    assert info.cpus >= 1
    assert await runtime.has_image(place.image)


async def test_starting_and_stopping_twice_is_no_error(place: Place, runtime: Runtime) -> None:
    server_id = await runtime.create(place.spec("exec sleep 60"))
    await runtime.stop(server_id, timeout_s=1)
    await runtime.start(server_id)
    first = await place.phase(server_id, Phase.UP)
    await runtime.start(server_id)
    assert (await place.phase(server_id, Phase.UP)).started_at == first.started_at
    await runtime.stop(server_id, timeout_s=1)
    await runtime.stop(server_id, timeout_s=1)
    await runtime.remove(server_id)
    await runtime.remove(server_id)


async def test_what_is_not_there(runtime: Runtime) -> None:
    with pytest.raises(NotFound):
        await runtime.start("0123456789ab")
    with pytest.raises(NotFound):
        await runtime.stop("0123456789ab", timeout_s=1)
    with pytest.raises(NotFound):
        _ = [line async for line in runtime.logs("0123456789ab")]


async def test_exit_code_and_output_of_a_failure(place: Place, runtime: Runtime) -> None:
    ended = await place.run_to_end(place.spec("echo starting; echo it broke >&2; exit 7"))
    assert ended.exit_code == 7
    assert ended.restarts == 0
    assert sorted([line async for line in runtime.logs(ended.id)]) == [("stderr", "it broke"), ("stdout", "starting")]


async def test_tail_of_a_log(place: Place, runtime: Runtime) -> None:
    ended = await place.run_to_end(place.spec("for i in 1 2 3 4 5; do echo line $i; done"))
    assert [line async for _, line in runtime.logs(ended.id, tail=2)] == ["line 4", "line 5"]
    assert [line async for _, line in runtime.logs(ended.id, tail=0)] == []
    assert len([line async for line in runtime.logs(ended.id, tail=None)]) == 5


async def test_followed_log_ends_with_the_server(place: Place, runtime: Runtime) -> None:
    script = "echo before; while [ ! -e go ]; do sleep 0.1; n=${n}x; [ ${#n} -gt 5 ] && break; done; printf 'no end'"
    server_id = await runtime.create(place.spec(script))
    await runtime.start(server_id)
    async with asyncio.timeout(20):
        lines = [line async for _, line in runtime.logs(server_id, follow=True)]
    assert lines == ["before", "no end"]


async def test_followed_log_shows_lines_as_they_come(place: Place, runtime: Runtime) -> None:
    server_id = await runtime.create(place.spec("while true; do echo tick; sleep 0.1; done"))
    await runtime.start(server_id)
    async with asyncio.timeout(20), aclosing(closable(runtime.logs(server_id, tail=0, follow=True))) as lines:
        seen = [await anext(lines) for _ in range(5)]
    assert seen == [("stdout", "tick")] * 5


async def test_closing_a_follower_ends_its_thread_at_once(place: Place, runtime: Runtime) -> None:
    server_id = await runtime.create(place.spec("echo one; exec sleep 60"))
    await runtime.start(server_id)
    logs = closable(runtime.logs(server_id, follow=True))
    assert await anext(logs) == ("stdout", "one")
    waiting = asyncio.ensure_future(anext(logs))
    await asyncio.sleep(0)
    began = time.monotonic()
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    await logs.aclose()

    async def no_thread() -> bool:
        return not [thread for thread in threading.enumerate() if thread.name == "docker-follower"]

    await until(no_thread, what="the reading thread has ended", within_s=2)
    assert time.monotonic() - began < 2


async def test_more_followers_than_workers(place: Place, runtime: Runtime) -> None:
    server_id = await runtime.create(place.spec("echo one; exec sleep 60"))
    await runtime.start(server_id)
    followers = [closable(runtime.logs(server_id, follow=True)) for _ in range(20)]
    async with asyncio.timeout(20):
        for follower in followers:
            assert await anext(follower) == ("stdout", "one")
        assert len(await runtime.list()) == 1
    for follower in followers:
        await follower.aclose()


async def test_hostile_output_survives(place: Place, runtime: Runtime) -> None:
    script = r"printf 'a\033]0;title\007b\n\377\376 caf\303\251\n\n'; head -c 200000 /dev/zero; echo; echo after"
    ended = await place.run_to_end(place.spec(script))
    lines = [line async for _, line in runtime.logs(ended.id, tail=None)]
    assert lines[:3] == ["a\x1b]0;title\x07b", "�� café", ""]
    assert lines[-1] == "after"
    assert max(len(line) for line in lines) <= 64 * 1024


async def test_output_of_many_lines_arrives_whole(place: Place, runtime: Runtime) -> None:
    script = 'i=0; while [ $i -lt 3000 ]; do echo "$i ééééééééééééééééééé"; i=$((i+1)); done'
    ended = await place.run_to_end(place.spec(script))
    lines = [line async for _, line in runtime.logs(ended.id, tail=None)]
    assert lines == [f"{number} {'é' * 19}" for number in range(3000)]


async def test_happenings(place: Place, runtime: Runtime) -> None:
    seen: list[Happening] = []

    async def watch() -> None:
        async for event in runtime.happenings():
            seen.append(event)

    async def saw(action: str) -> bool:
        return any(event.action == action for event in seen)

    watching = asyncio.create_task(watch())
    await _listening(place)
    server_id = await runtime.create(place.spec("exec sleep 60"))
    await until(lambda: saw("create"), what="create is seen")
    await runtime.start(server_id)
    await until(lambda: saw("start"), what="start is seen")
    await runtime.stop(server_id, timeout_s=0)
    await until(lambda: saw("die"), what="die is seen")
    await runtime.remove(server_id)
    await until(lambda: saw("destroy"), what="destroy is seen")
    assert {(event.id, event.name) for event in seen} == {(server_id, "llamacpp-model-m1")}
    assert all(event.labels == LABELS for event in seen)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


async def test_a_secret_is_readable_inside_and_shown_nowhere(place: Place, runtime: Runtime) -> None:
    spec = place.spec(f"cat {API_KEY_FILE} | head -c 6; echo; ls -ln {API_KEY_FILE}; exec sleep 60")
    server_id = await runtime.create(spec, files={API_KEY_FILE: SECRET})
    await runtime.start(server_id)

    async def logged() -> list[str] | None:
        lines = [line async for _, line in runtime.logs(server_id)]
        return lines if len(lines) == 2 else None

    first, listing = await until(logged, what="it has read its key")
    assert first == "canary"
    assert listing.startswith(("-r--------", "-rw-------"))
    assert await runtime.read_file(server_id, API_KEY_FILE) == SECRET
    assert SECRET.decode() not in repr(await runtime.inspect(server_id))
    assert not [process for process in place.processes() if SECRET.decode() in _shown_by(process)]


async def test_reading_a_file_that_is_not_there(place: Place, runtime: Runtime) -> None:
    server_id = await runtime.create(place.spec("sleep 60"))
    with pytest.raises(NotFound):
        await runtime.read_file(server_id, "/run/secrets/none")


async def test_taken_port_is_refused_with_its_reason(place: Place, runtime: Runtime) -> None:
    port = place.free_port()
    first = await runtime.create(place.web_spec(port=port))
    await runtime.start(first)
    await until(lambda: asyncio.to_thread(place.get, port), what="the first answers")
    second = await runtime.create(place.web_spec(port=port, name="llamacpp-model-m2"))
    with pytest.raises(EngineRefused) as refused:
        await runtime.start(second)
    assert "port already in use" in refused.value.cause
    assert refused.value.remedy
    assert place.get(port) == "hello from it\n"


async def test_missing_mount_source_is_refused_and_leaves_nothing(place: Place, runtime: Runtime) -> None:
    mount = BindMount(source="/srv/models/not-there", target="/models")
    with pytest.raises(EngineRefused) as refused:
        await runtime.create(place.spec("true", mounts=(mount,)))
    assert "does not exist" in refused.value.cause
    assert refused.value.remedy
    assert await runtime.list() == []


async def test_name_in_use_is_refused(place: Place, runtime: Runtime) -> None:
    await runtime.create(place.spec("sleep 60"))
    with pytest.raises(EngineRefused, match="name"):
        await runtime.create(place.spec("sleep 61"))
    assert len(await runtime.list()) == 1


async def test_crash_loop_is_counted_and_can_be_stopped(place: Place, runtime: Runtime) -> None:
    server_id = await runtime.create(place.spec("exit 3", restart=True))
    await runtime.start(server_id)

    async def restarted() -> bool:
        (server,) = await runtime.list()
        return server.restarts >= 3

    await until(restarted, what="it was started again")
    crashed = await place.phase(server_id, Phase.RESTARTING)
    assert crashed.exit_code == 3
    await runtime.stop(server_id, timeout_s=1)
    stopped = await place.phase(server_id, Phase.EXITED)
    assert stopped.exit_code == 3


async def test_server_that_ignores_sigterm_is_killed_after_the_time(place: Place, runtime: Runtime) -> None:
    server_id = await runtime.create(place.spec("trap '' TERM; echo ready; while true; do sleep 0.1; done"))
    await runtime.start(server_id)
    async with asyncio.timeout(10), aclosing(closable(runtime.logs(server_id, follow=True))) as lines:
        assert await anext(lines) == ("stdout", "ready")
    began = time.monotonic()
    await runtime.stop(server_id, timeout_s=1)
    assert 0.9 < time.monotonic() - began < 8
    killed = await place.phase(server_id, Phase.EXITED)
    assert killed.exit_code == 137


async def test_sigterm_reaches_the_server(place: Place, runtime: Runtime) -> None:
    script = "trap 'echo bye; exit 5' TERM; echo ready; while true; do sleep 0.1; done"
    server_id = await runtime.create(place.spec(script, restart=True))
    await runtime.start(server_id)
    async with asyncio.timeout(10), aclosing(closable(runtime.logs(server_id, follow=True))) as lines:
        assert await anext(lines) == ("stdout", "ready")
        await runtime.stop(server_id, timeout_s=10)
        assert await anext(lines) == ("stdout", "bye")
    assert (await place.phase(server_id, Phase.EXITED)).exit_code == 5


async def test_stats_of_a_busy_server(place: Place, runtime: Runtime) -> None:
    server_id = await runtime.create(place.spec("while true; do :; done"))
    assert await runtime.stats(server_id) == {}
    await runtime.start(server_id)
    await place.phase(server_id, Phase.UP)
    measured = await runtime.stats(server_id)
    assert measured["cpu_percent"] > 5
    assert measured["memory_bytes"] > 10_000
    assert (await runtime.stats(server_id))["memory_bytes"] > 10_000


async def test_only_chosen_environment_arrives(place: Place, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET.decode())
    ended = await place.run_to_end(place.spec("echo $COLOUR; env | sort", env={"COLOUR": "teal"}))
    lines = [line async for _, line in runtime.logs(ended.id, tail=None)]
    assert lines[0] == "teal"
    assert SECRET.decode() not in "\n".join(lines)


async def test_cancelled_creation_leaves_nothing(place: Place, runtime: Runtime) -> None:
    await runtime.info()
    for number in range(12):
        spec = place.spec("sleep 60", name=f"llamacpp-model-c{number}")
        creating = asyncio.create_task(runtime.create(spec, files={API_KEY_FILE: SECRET}))
        await asyncio.sleep(number * 0.004)
        creating.cancel()
        try:
            await runtime.remove(await creating)
        except asyncio.CancelledError:
            continue

    async def none_left() -> bool:
        return await runtime.list() == []

    await until(none_left, what="nothing is left")


async def _listening(place: Place) -> None:
    """Wait until the runtime has begun to watch."""
    host = getattr(place, "host", None)

    async def heard() -> bool:
        return host is None or int(host.docker("info", "--format", "{{.NEventsListener}}")) > 0

    await asyncio.sleep(0)
    await until(heard, what="the engine has a listener")


def _shown_by(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), *process.environ().values()])
    except psutil.Error:
        return ""
