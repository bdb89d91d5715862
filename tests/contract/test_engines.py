"""llama.cpp's engine against the real llama-server: its command starts it, its log and failures are understood."""

from __future__ import annotations

import asyncio
import ctypes
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from core.deploy.binaries import Binary, find
from core.deploy.memory import estimate
from core.engines import engine_named
from core.engines.base import Diagnosis, LaunchRequest
from core.engines.metrics import read_metrics
from core.files.ggml import TENSOR_TYPES
from core.files.inspect import ModelInfo, inspect_model
from core.registry.values import DeployOptions, EngineName
from tests.unit.model_files import FolderSource

pytestmark = pytest.mark.demo

ENGINE = engine_named(EngineName.LLAMACPP)
READY_S = 60.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def binary() -> Binary:
    found = find(EngineName.LLAMACPP)
    if found is None:
        pytest.skip("there is no llama-server here")
    return found


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    client: httpx.AsyncClient
    lines: list[str]
    key: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(binary: Binary, model: Path | str, **changes: object) -> list[str]:
    values: dict[str, object] = {
        "model_path": str(model),
        "served_name": "smol/one",
        "options": DeployOptions(),
        "max_model_len": 4096,
        "port": free_port(),
        "listen": "127.0.0.1",
        **changes,
    }
    argv = ENGINE.launch(LaunchRequest(**values)).argv  # type: ignore[arg-type]
    assert argv[0] == ENGINE.program
    return [binary.path, *argv[1:]]


@asynccontextmanager
async def served(binary: Binary, model: Path, folder: Path, **changes: object) -> AsyncIterator[Running]:
    """Start it as the process runtime does and wait until it is healthy."""
    key_file = folder / "key"
    key_file.write_text("k3y-of-this-test")
    port = free_port()
    argv = command(binary, model, port=port, api_key_file=str(key_file), **changes)
    log = folder / "log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*argv, env=binary.env, stdout=out, stderr=out)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            await until_healthy(client, process, log)
            yield Running(client, await lines_when_ready(log), "k3y-of-this-test")
    finally:
        process.terminate()
        await process.wait()


async def lines_when_ready(log: Path) -> list[str]:
    """The log up to the phase "ready", which is written a moment after the server answers."""
    async with asyncio.timeout(READY_S):
        while True:
            lines = log.read_text(errors="replace").splitlines()
            if any(ENGINE.phase(line) == "ready" for line in lines):
                return lines
            await asyncio.sleep(0.02)


async def until_healthy(client: httpx.AsyncClient, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            assert process.returncode is None, log.read_text(errors="replace")[-2000:]
            try:
                if (await client.get(ENGINE.health_path)).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


def failure(binary: Binary, argv: list[str], *, memory: int | None = None) -> Diagnosis:
    """How a start that must fail is explained."""
    limited = ["prlimit", f"--as={memory}", *argv] if memory else argv
    lines = failed_log(limited, {"PATH": "/usr/bin:/bin", **binary.env})
    found = ENGINE.diagnose(lines)
    assert found is not None, lines[-20:]
    assert found.remedy
    return found


def failed_log(argv: list[str], env: dict[str, str]) -> list[str]:
    """Its log; now and then llama-server ends before it has written any, so it is started again then."""
    for _ in range(5):
        done = subprocess.run(argv, env=env, capture_output=True, timeout=60, check=False)
        assert done.returncode != 0
        if lines := (done.stdout + done.stderr).decode(errors="replace").splitlines():
            return lines
    return []


async def test_it_serves_with_its_key_alias_metrics_and_phases(binary: Binary, smollm2: Path, tmp_path: Path) -> None:
    async with served(binary, smollm2, tmp_path) as server:
        models = (await server.client.get("/v1/models")).json()["data"]
        assert [one["id"] for one in models] == ["smol/one"]
        assert models[0]["meta"]["n_ctx"] == 4096
        body = {"prompt": "The capital of France is", "max_tokens": 5, "ignore_eos": True}
        refused = await server.client.post("/v1/completions", json=body)
        assert refused.status_code == httpx.codes.UNAUTHORIZED
        headers = {"Authorization": f"Bearer {server.key}"}
        answer = await server.client.post("/v1/completions", json=body, headers=headers)
        assert answer.json()["usage"]["completion_tokens"] == 5
        text = (await server.client.get(ENGINE.metrics_path, headers=headers)).text
        found = read_metrics(EngineName.LLAMACPP, text)
        assert found.generation_tokens == 5
        assert found.prompt_tokens
        assert found.requests_running == found.requests_waiting == 0
        assert found.per_token_s
        embedding = await server.client.post("/v1/embeddings", json={"input": "x"}, headers=headers)
        assert embedding.status_code == httpx.codes.NOT_IMPLEMENTED
        phases = [phase for line in server.lines if (phase := ENGINE.phase(line))]
        assert phases[0] == "loading the model"
        assert "model loaded" in phases
        assert phases[-1] == "ready"
        assert ENGINE.diagnose(server.lines) is None
        assert not any(server.key in line for line in server.lines)


async def test_slots_have_the_whole_context_each(binary: Binary, smollm2: Path, tmp_path: Path) -> None:
    options = DeployOptions(parallel=3, extra={"ctk": "q8_0", "ctv": "q8_0"})
    async with served(binary, smollm2, tmp_path, options=options, max_model_len=1024) as server:
        headers = {"Authorization": f"Bearer {server.key}"}
        slots = (await server.client.get("/slots", headers=headers)).json()
        assert [slot["n_ctx"] for slot in slots] == [1024, 1024, 1024]


async def test_embeddings(binary: Binary, smollm2: Path, tmp_path: Path) -> None:
    async with served(
        binary, smollm2, tmp_path, task="embed", options=DeployOptions(extra={"pooling": "mean"})
    ) as server:
        headers = {"Authorization": f"Bearer {server.key}"}
        answer = await server.client.post("/v1/embeddings", json={"input": "x"}, headers=headers)
        assert len(answer.json()["data"][0]["embedding"]) == 576


async def test_the_header_tells_what_the_server_tells(binary: Binary, smollm2: Path, tmp_path: Path) -> None:
    info = await inspect_model(FolderSource(), str(smollm2))
    async with served(binary, smollm2, tmp_path) as server:
        meta = (await server.client.get("/v1/models")).json()["data"][0]["meta"]
    assert (info.parameters, info.weights_bytes) == (meta["n_params"], meta["size"])
    assert (info.context_length, info.vocab_size, info.hidden_size) == (
        meta["n_ctx_train"],
        meta["n_vocab"],
        meta["n_embd"],
    )
    assert info.quantization == meta["ftype"]


@pytest.mark.parametrize(
    ("context", "options"),
    [
        (4096, DeployOptions()),
        (5000, DeployOptions(parallel=2)),
        (8192, DeployOptions(extra={"cache-type-k": "q8_0", "cache-type-v": "q4_0"})),
    ],
)
async def test_the_memory_is_what_the_server_takes(
    binary: Binary, smollm2: Path, tmp_path: Path, context: int, options: DeployOptions
) -> None:
    """Its own accounting, to the MiB; buffers for computing within a quarter."""
    info: ModelInfo = await inspect_model(FolderSource(), str(smollm2))
    found = estimate(info, EngineName.LLAMACPP, options, context=context, gpu_count=0)
    talkative = DeployOptions(parallel=options.parallel, extra={**options.extra, "verbosity": "4"})
    async with served(binary, smollm2, tmp_path, options=talkative, max_model_len=context) as server:
        log = "\n".join(server.lines)
    assert found.weights / MIB == pytest.approx(size_of(log, r"model buffer size"), abs=0.01)
    assert found.kv_cache / MIB == pytest.approx(size_of(log, r"KV buffer size"), abs=0.01)
    compute = (found.low - found.weights - found.kv_cache) / MIB
    assert compute == pytest.approx(size_of(log, r"compute buffer size"), rel=0.25)


def size_of(log: str, what: str) -> float:
    return sum(float(size) for size in re.findall(rf"{what} =\s*([\d.]+) MiB", log))


def test_a_truncated_file(binary: Binary, smollm2: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    with smollm2.open("rb") as file:
        cut.write_bytes(file.read(20 << 20))
    assert "truncated" in failure(binary, command(binary, cut)).cause


def test_a_file_cut_in_its_header(binary: Binary, smollm2: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    with smollm2.open("rb") as file:
        cut.write_bytes(file.read(1000))
    assert "truncated" in failure(binary, command(binary, cut)).cause


def test_another_kind_of_file(binary: Binary, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"PK\x03\x04" + bytes(1000))
    assert "no GGUF" in failure(binary, command(binary, other)).cause


def test_a_missing_file(binary: Binary, tmp_path: Path) -> None:
    found = failure(binary, command(binary, tmp_path / "none.gguf"))
    assert f"{tmp_path}/none.gguf is not there" in found.cause


def test_an_unknown_architecture(binary: Binary, smollm2: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange.gguf"
    strange.write_bytes(smollm2.read_bytes().replace(b"llama", b"zzama", 1))
    assert "architecture zzama" in failure(binary, command(binary, strange)).cause


def test_a_flag_that_it_does_not_know(binary: Binary, smollm2: Path) -> None:
    found = failure(binary, command(binary, smollm2, options=DeployOptions(extra={"no-such-flag": ""})))
    assert "--no-such-flag" in found.cause


def test_a_value_that_it_does_not_take(binary: Binary, smollm2: Path) -> None:
    found = failure(binary, command(binary, smollm2, options=DeployOptions(extra={"ctk": "q9"})))
    assert "--cache-type-k" in found.cause
    assert "q9" in found.cause


def test_a_quantized_cache_without_flash_attention(binary: Binary, smollm2: Path) -> None:
    options = DeployOptions(extra={"ctv": "q8_0", "fa": "off"})
    assert failure(binary, command(binary, smollm2, options=options)).suggestion == {"cache-type-v": "f16"}


def test_a_port_that_is_taken(binary: Binary, smollm2: Path) -> None:
    with taken_port() as port:
        assert str(port) in failure(binary, command(binary, smollm2, port=port)).cause


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


def test_no_room_for_the_context(binary: Binary, smollm2: Path) -> None:
    """Three million tokens need 66 GiB; the process gets eight."""
    options = DeployOptions(parallel=1, extra={"fit": "off"})
    argv = command(binary, smollm2, max_model_len=3_000_000, options=options)
    assert "context of this length" in failure(binary, argv, memory=8 << 30).cause


def test_a_broken_image_part(binary: Binary, smollm2: Path, tmp_path: Path) -> None:
    broken = tmp_path / "mmproj.gguf"
    broken.write_bytes(b"XXXX" + bytes(1000))
    found = failure(binary, command(binary, smollm2, options=DeployOptions(extra={"mmproj": str(broken)})))
    assert "mmproj" in found.cause


def test_a_missing_key_file(binary: Binary, smollm2: Path, tmp_path: Path) -> None:
    assert "API key" in failure(binary, command(binary, smollm2, api_key_file=str(tmp_path / "none"))).cause


def test_the_table_of_tensor_types_is_that_of_the_library(binary: Binary) -> None:
    library = Path(binary.path).parent / "libggml-base.so"
    if not library.exists():
        pytest.skip("llama-server is linked statically here")
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_type_name.restype = ctypes.c_char_p
    ggml.ggml_type_size.restype = ctypes.c_size_t
    ggml.ggml_blck_size.restype = ctypes.c_int64
    for kind, (name, block, width) in TENSOR_TYPES.items():
        told = (ggml.ggml_type_name(kind).decode().upper(), ggml.ggml_blck_size(kind), ggml.ggml_type_size(kind))
        assert told == (name, block, width)
