"""What only processes have: nothing is left of them, whoever dies first, and no stranger is ever killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.errors import EngineRefused, NotAllowed, NotFound, PortTaken
from core.runtimes.base import Phase
from core.runtimes.process import ProcessRuntime
from tests.contract.runtime_places import ProcessPlace, closable, process_place, until

_DEMO = """
import asyncio, sys
from pathlib import Path
from core.runtimes.base import ServerSpec
from core.runtimes.process import ProcessRuntime

async def main():
    runtime = ProcessRuntime(Path(sys.argv[1]), ephemeral=True)
    argv = ("sh", "-c", sys.stdin.readline())
    labels = {"modelyard.managed": "1"}
    server_id = await runtime.create(ServerSpec(name="llamacpp-model-m1", image="", argv=argv, labels=labels))
    await runtime.start(server_id)
    print("started", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[ProcessPlace]:
    made = process_place(tmp_path)
    yield made
    for server in await made.runtime.list():
        await made.runtime.remove(server.id)
    await made.runtime.close()


def state_of(place: ProcessPlace, server_id: str) -> Path:
    return place.folder / "processes" / server_id / "state.json"


def pid_in(state: Path, who: str) -> int:
    return int(json.loads(state.read_text())[who].partition(":")[0])


def marked(mark: str) -> list[int]:
    """Processes with this word in their command."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if any(mark in word for word in words) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return [pid for pid in found if pid != os.getpid()]


async def gone(mark: str) -> None:
    async def none_left() -> bool:
        return marked(mark) == []

    await until(none_left, what=f"no process with {mark} is left", within_s=5)


def family(tmp_path: Path) -> tuple[str, str]:
    """A script with a child that ignores SIGTERM, and the word that marks both."""
    mark = f"mark-{tmp_path.name}-{os.getpid()}"
    child = f"trap '' TERM; : {mark}; while true; do sleep 0.2; done"
    return f'sh -c "{child}" & : {mark}; echo ready; wait', mark


async def ready(place: ProcessPlace, server_id: str) -> None:
    async with asyncio.timeout(10), aclosing(closable(place.runtime.logs(server_id, follow=True))) as lines:
        assert await anext(lines) == ("stdout", "ready")


async def test_stop_ends_the_whole_family(place: ProcessPlace, tmp_path: Path) -> None:
    script, mark = family(tmp_path)
    server_id = await place.runtime.create(place.spec(script))
    await place.runtime.start(server_id)
    await ready(place, server_id)
    assert len(marked(mark)) == 2
    await place.runtime.stop(server_id, timeout_s=5)
    await gone(mark)


async def test_what_the_engine_started_may_clean_up(place: ProcessPlace, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    child = f"trap 'sleep 0.3; rm {shared}; exit' TERM; touch {shared}; echo ready; while true; do sleep 0.05; done"
    server_id = await place.runtime.create(place.spec(f'sh -c "{child}" & trap "exit 0" TERM; wait'))
    await place.runtime.start(server_id)
    await ready(place, server_id)
    assert shared.exists()
    await place.runtime.stop(server_id, timeout_s=5)
    assert not shared.exists()


async def test_stop_also_ends_those_who_left_the_group(place: ProcessPlace, tmp_path: Path) -> None:
    mark = f"mark-{tmp_path.name}"
    script = f'setsid sh -c "echo ready; : {mark}; while true; do sleep 0.2; done" & wait'
    server_id = await place.runtime.create(place.spec(script))
    await place.runtime.start(server_id)
    await ready(place, server_id)
    await place.runtime.stop(server_id, timeout_s=5)
    await gone(mark)


async def test_killed_supervisor_leaves_nothing_behind(place: ProcessPlace, tmp_path: Path) -> None:
    script, mark = family(tmp_path)
    server_id = await place.runtime.create(place.spec(script, restart=True))
    await place.runtime.start(server_id)
    await ready(place, server_id)
    os.kill(pid_in(state_of(place, server_id), "supervisor"), signal.SIGKILL)
    await gone(mark)
    ended = await place.phase(server_id, Phase.EXITED)
    assert "killed" in ended.error
    await place.runtime.start(server_id)
    assert (await place.phase(server_id, Phase.UP)).error == ""


async def test_server_outlives_the_program_that_started_it(place: ProcessPlace, tmp_path: Path) -> None:
    script, mark = family(tmp_path)
    demo = _DEMO.replace("ephemeral=True", "ephemeral=False")
    parent = _start(demo, place, script)
    parent.kill()
    parent.wait()
    (server,) = await place.runtime.list()
    await ready(place, server.id)
    assert len(marked(mark)) == 2
    await place.runtime.stop(server.id, timeout_s=2)
    await gone(mark)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_ephemeral_server_ends_with_its_program(place: ProcessPlace, tmp_path: Path, how: signal.Signals) -> None:
    script, mark = family(tmp_path)
    parent = _start(_DEMO, place, script)
    (server,) = await place.runtime.list()
    await ready(place, server.id)
    parent.send_signal(how)
    parent.wait()
    await gone(mark)


async def test_ephemeral_server_belongs_to_the_program_not_to_a_runtime(place: ProcessPlace, tmp_path: Path) -> None:
    script, mark = family(tmp_path)
    open_before = psutil.Process().num_fds()
    first, second = (ProcessRuntime(tmp_path / "processes", ephemeral=True) for _ in range(2))
    server_id = await first.create(place.spec(script))
    await first.start(server_id)
    await first.close()
    await ready(place, server_id)
    assert (await place.phase(server_id, Phase.UP)).id == server_id
    await second.stop(server_id, timeout_s=2)
    await gone(mark)
    await second.close()
    assert psutil.Process().num_fds() <= open_before


async def test_number_of_a_process_used_again_is_never_killed(place: ProcessPlace) -> None:
    server_id = await place.runtime.create(place.spec("exec sleep 60"))
    await place.runtime.start(server_id)
    await place.runtime.stop(server_id, timeout_s=1)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        state = json.loads(state_of(place, server_id).read_text())
        state |= {"phase": "up", "supervisor": f"{stranger.pid}:1", "child": f"{stranger.pid}:1"}
        state_of(place, server_id).write_text(json.dumps(state))
        assert (await place.phase(server_id, Phase.EXITED)).id == server_id
        assert await place.runtime.stats(server_id) == {}
        await place.runtime.stop(server_id, timeout_s=0)
        await place.runtime.remove(server_id)
        assert stranger.poll() is None
        stranger.kill()


async def test_restart_of_the_machine_is_noticed(place: ProcessPlace) -> None:
    server_id = await place.runtime.create(place.spec("exec sleep 60"))
    await place.runtime.start(server_id)
    state = json.loads(state_of(place, server_id).read_text())
    state_of(place, server_id).write_text(json.dumps({**state, "boot": "another"}))
    (found,) = await place.runtime.list()
    assert found.phase is Phase.EXITED
    assert "restarted" in found.error
    state_of(place, server_id).write_text(json.dumps(state))


async def test_two_starts_at_once_make_one_server(place: ProcessPlace, tmp_path: Path) -> None:
    script, mark = family(tmp_path)
    server_id = await place.runtime.create(place.spec(script))
    await asyncio.gather(*(place.runtime.start(server_id) for _ in range(3)))
    await ready(place, server_id)
    assert len(marked(mark)) == 2


async def test_a_server_that_does_not_listen_yet_has_its_port(place: ProcessPlace) -> None:
    """Two deploys at once would both find it free, and the second be told healthy by the first one's answers."""
    port = place.free_port()
    first = await place.runtime.create(place.spec("exec sleep 60", port=port))
    second = await place.runtime.create(place.spec("exec sleep 60", port=port, name="llamacpp-model-m2"))
    await place.runtime.start(first)
    with pytest.raises(PortTaken, match="port already in use"):
        await place.runtime.start(second)
    await place.runtime.stop(first, timeout_s=5)
    await place.runtime.start(second)
    await place.phase(second, Phase.UP)


async def test_missing_program_is_refused_with_a_remedy(place: ProcessPlace) -> None:
    with pytest.raises(NotFound, match="no-such-engine") as missing:
        await place.runtime.create(replace(place.spec(""), argv=("no-such-engine",)))
    assert missing.value.remedy
    assert await place.runtime.list() == []


async def test_program_that_can_not_be_started(place: ProcessPlace, tmp_path: Path) -> None:
    broken = tmp_path / "engine"
    broken.write_bytes(b"\x00not a program")
    broken.chmod(0o755)
    server_id = await place.runtime.create(replace(place.spec(""), argv=(str(broken),)))
    with pytest.raises(EngineRefused) as refused:
        await place.runtime.start(server_id)
    assert "Exec format error" in refused.value.cause
    assert (await place.phase(server_id, Phase.EXITED)).exit_code == 127


async def test_log_is_kept_within_its_size(place: ProcessPlace) -> None:
    script = 'i=0; while [ $i -lt 5000 ]; do echo "line $i of the log"; i=$((i+1)); done'
    ended = await place.run_to_end(place.spec(script, log_max_size="20k", log_max_files=3))
    folder = state_of(place, ended.id).parent
    assert sorted(path.name for path in folder.glob("log*")) == ["log", "log.1", "log.2"]
    assert sum(path.stat().st_size for path in folder.glob("log*")) < 3 * 21_000
    lines = [line async for _, line in place.runtime.logs(ended.id, tail=None)]
    first = int(lines[0].split()[1])
    assert 0 < first < 4999
    assert lines == [f"line {number} of the log" for number in range(first, 5000)]
    assert [line async for _, line in place.runtime.logs(ended.id, tail=900)] == lines[-900:]


async def test_followed_log_passes_over_rotations(place: ProcessPlace) -> None:
    script = 'i=0; while [ $i -lt 400 ]; do echo "line $i"; i=$((i+1)); [ $((i%20)) = 0 ] && sleep 0.05; done'
    server_id = await place.runtime.create(place.spec(script, log_max_size="1k", log_max_files=8))
    await place.runtime.start(server_id)
    async with asyncio.timeout(30):
        lines = [line async for _, line in place.runtime.logs(server_id, tail=None, follow=True)]
    assert lines == [f"line {number}" for number in range(400)]


async def test_files_are_private(place: ProcessPlace) -> None:
    server_id = await place.runtime.create(place.spec("true"), files={"/run/secrets/key": b"k"})
    await place.runtime.start(server_id)
    await place.phase(server_id, Phase.EXITED)
    folder = state_of(place, server_id).parent
    modes = {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    assert set(modes.values()) <= {0o600, 0o700}
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_paths_of_secrets_are_replaced_exactly(place: ProcessPlace) -> None:
    words = ("/run/secrets/key", "--key=/run/secrets/key", "/run/secrets/key2", "x/run/secrets/key")
    spec = replace(place.spec(""), argv=("sh", "-c", 'for word; do echo "$word"; done', "sh", *words))
    server_id = await place.runtime.create(spec, files={"/run/secrets/key": b"k"})
    await place.runtime.start(server_id)
    await place.phase(server_id, Phase.EXITED)
    real = str(state_of(place, server_id).parent / "secrets" / "0")
    lines = [line async for _, line in place.runtime.logs(server_id)]
    assert lines == [real, f"--key={real}", "/run/secrets/key2", "x/run/secrets/key"]
    found = await place.runtime.inspect(server_id)
    assert found is not None
    assert found.argv == spec.argv


async def test_chosen_gpus_are_the_only_visible_ones(place: ProcessPlace) -> None:
    for gpus in (("GPU-1", "GPU-2"), ()):
        name = f"vllm-model-{len(gpus)}"
        ended = await place.run_to_end(place.spec("echo :$CUDA_VISIBLE_DEVICES:", gpus=gpus, name=name))
        assert [line async for _, line in place.runtime.logs(ended.id)] == [f":{','.join(gpus)}:"]


async def test_foreign_folders_stay(place: ProcessPlace) -> None:
    foreign = place.folder / "processes" / "0123456789ab"
    foreign.mkdir(parents=True)
    (foreign / "precious").write_text("model")
    unlabelled = await place.runtime.create(replace(place.spec("true"), labels={}))
    assert await place.runtime.list() == []
    await place.runtime.remove("0123456789ab")
    await place.runtime.remove("../0123456789ab")
    with pytest.raises(NotAllowed):
        await place.runtime.remove(unlabelled)
    assert (foreign / "precious").exists()


async def test_stuck_supervisor_is_killed(place: ProcessPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.runtimes.process_control._KILL_GRACE_S", 1.0)
    script, mark = family(tmp_path)
    server_id = await place.runtime.create(place.spec(script))
    await place.runtime.start(server_id)
    await ready(place, server_id)
    os.kill(pid_in(state_of(place, server_id), "supervisor"), signal.SIGSTOP)
    await place.runtime.stop(server_id, timeout_s=0)
    await gone(mark)


def _start(demo: str, place: ProcessPlace, script: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", demo, str(place.folder / "processes")]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.write(script + "\n")
    parent.stdin.flush()
    assert parent.stdout.readline() == "started\n"
    return parent
