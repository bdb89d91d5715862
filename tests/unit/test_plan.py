"""The planner's decisions on hosts with GPUs, which the test hosts don't have: from what was seen to a plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.deploy.plan import _Draft
from core.deploy.survey import Survey, places
from core.deploy.values import Plan
from core.errors import EngineMissing, NotFound
from core.files.values import ModelInfo
from core.findings import Severity
from core.hosts.values import Gpu, HostOverview
from core.registry.records import Host, Model, Server
from core.registry.values import DeployOptions, EngineName, RuntimeName, ServerStatus
from core.runtimes.base import Observed, Phase, RuntimeInfo

GIB = 1 << 30
LLAMA_8B = ModelInfo(
    path="/srv/models/llama",
    format="safetensors",
    architecture="LlamaForCausalLM",
    parameters=8_030_000_000,
    context_length=131_072,
    weights_bytes=16_060_000_000,
    layers=32,
    heads=32,
    kv_heads=8,
    head_dim=128,
    hidden_size=4096,
    vocab_size=128_256,
    dtype="bfloat16",
)
GGUF_70B = replace(
    LLAMA_8B,
    path="/srv/models/big/big-00001-of-00002.gguf",
    format="gguf",
    architecture="llama",
    quantization="Q8_0",
    weights_bytes=75 * GIB,
    layers=80,
    heads=64,
    hidden_size=8192,
)


def gpu(number: int, *, free: int = 79, total: int = 80) -> Gpu:
    return Gpu(
        uuid=f"GPU-{number}",
        index=number,
        name="NVIDIA H100",
        memory_total=total * GIB,
        memory_used=(total - free) * GIB,
        memory_free=free * GIB,
        driver_version="580.65",
    )


def seen(*gpus: Gpu, info: ModelInfo | Exception = LLAMA_8B, provider: str = "local", **changes: object) -> Survey:
    host = Host(name="gpu1", models_dir="/srv/models")
    model = Model(name="m", provider=provider, model_id="org/m", served_name="m", host="gpu1")
    overview = HostOverview(
        name="gpu1",
        kind="ssh",
        target="gpu1",
        models_dir="/srv/models",
        reachable=True,
        gpus=gpus,
        memory_available=64 * GIB,
    )
    made = Survey(
        model=model,
        host=host,
        overview=overview,
        model_path="/srv/models/llama",
        info=info,  # type: ignore[arg-type]
        runtime=RuntimeName.DOCKER,
        runtime_info=RuntimeInfo(name=RuntimeName.DOCKER, version="28.0", gpu_runtime="nvidia"),
        observed=(),
        listening=frozenset(),
        servers=(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def server(**changes: object) -> Server:
    known = {"user_id": "me", "model_id": "x", "model_name": "m", "served_name": "m", "server_type": "vllm"}
    return Server(**known, runtime="docker", host_id="h", host_name="gpu1", **changes)  # type: ignore[arg-type]


def plan(survey: Survey, options: DeployOptions | None = None, *, present: bool = True) -> Plan:
    draft = _Draft.decide(survey, options or DeployOptions())
    return draft.plan(tuple(draft.findings(present=present, replace=False)), has_image=True, owner="me")


def problems(made: Plan) -> list[str]:
    return [finding.check for finding in made.of(Severity.ERROR)]


def test_safetensors_go_to_vllm_on_the_emptiest_gpu() -> None:
    made = plan(seen(gpu(0, free=10), gpu(1)))
    assert (made.engine, made.spec.gpus, problems(made)) == (EngineName.VLLM, ("GPU-1",), [])
    assert made.spec.image.startswith("vllm/vllm-openai:")
    assert [fit.chosen for fit in made.gpus] == [False, True]
    assert made.memory is not None
    assert made.memory.weights == LLAMA_8B.weights_bytes
    assert "--gpu-memory-utilization" in " ".join(made.command)


def test_vllm_needs_its_whole_share_free() -> None:
    made = plan(seen(gpu(0, free=40)))
    assert problems(made) == ["gpu memory"]
    assert "utilization" in made.of(Severity.ERROR)[0].remedy
    assert problems(plan(seen(gpu(0, free=40)), DeployOptions(gpu_memory_utilization=0.45))) == []


def test_a_model_larger_than_its_share_does_not_fit() -> None:
    assert problems(plan(seen(gpu(0, free=24, total=24)), DeployOptions(gpu_memory_utilization=0.5))) == ["gpu memory"]


def test_tensor_parallelism_takes_as_many_gpus_and_must_divide_the_heads() -> None:
    made = plan(seen(*(gpu(n) for n in range(4))), DeployOptions(tensor_parallel_size=2))
    assert len(made.spec.gpus) == 2
    assert problems(plan(seen(*(gpu(n) for n in range(4))), DeployOptions(tensor_parallel_size=3))) == [
        "tensor parallel"
    ]
    assert "gpus" in problems(plan(seen(gpu(0)), DeployOptions(tensor_parallel_size=2)))


def test_llamacpp_takes_the_fewest_gpus_that_fit() -> None:
    one = plan(seen(gpu(0, free=140, total=141), gpu(1, free=140, total=141), info=GGUF_70B))
    assert (one.engine, len(one.spec.gpus), problems(one)) == (EngineName.LLAMACPP, 1, [])
    two = plan(seen(gpu(0), gpu(1), gpu(2), info=replace(GGUF_70B, weights_bytes=77 * GIB)))
    assert (len(two.spec.gpus), problems(two)) == (2, [])
    assert problems(plan(seen(gpu(0, free=20), info=GGUF_70B))) == ["gpu memory"]


def test_a_split_gguf_is_loaded_by_its_first_part_from_a_read_only_folder() -> None:
    made = plan(seen(gpu(0, free=140, total=141), info=GGUF_70B))
    assert "/models/big-00001-of-00002.gguf" in made.command
    assert [(mount.source, mount.target) for mount in made.spec.mounts] == [("/srv/models/big", "/models")]


def test_a_snapshot_of_hugging_faces_cache_is_mounted_with_its_blobs() -> None:
    """X8: its files are relative links to ../../blobs, which must lead somewhere in the container, too."""
    root = "/home/u/.cache/huggingface/hub/models--org--m"
    made = plan(seen(gpu(0), info=replace(LLAMA_8B, path=f"{root}/snapshots/abc")))
    assert [(mount.source, mount.target) for mount in made.spec.mounts] == [(root, "/models")]
    assert "/models/snapshots/abc" in made.command
    gguf = replace(GGUF_70B, path=f"{root}/snapshots/abc/q8/x.gguf")
    made = plan(seen(gpu(0, free=140, total=141), info=gguf))
    assert [mount.source for mount in made.spec.mounts] == [root]
    assert "/models/snapshots/abc/q8/x.gguf" in made.command


def test_a_blob_of_ollamas_store_is_mounted_alone() -> None:
    """X8: the folder of blobs holds all other models, too."""
    blob = f"/usr/share/ollama/.ollama/models/blobs/sha256-{'0' * 64}"
    made = plan(seen(gpu(0, free=140, total=141), info=replace(GGUF_70B, path=blob)))
    assert [(mount.source, mount.target) for mount in made.spec.mounts] == [(blob, "/models/model.gguf")]
    assert "/models/model.gguf" in made.command
    assert made.engine == EngineName.LLAMACPP


def test_pickles_are_not_loaded() -> None:
    """D5: a pickle format stops a deploy, pickles beside tensors are told of."""
    only = replace(LLAMA_8B, format="pickle", warnings=("Pickle files can run code.",))
    made = plan(seen(gpu(0), info=only))
    [finding] = [one for one in made.findings if one.check == "pickle"]
    assert (finding.severity, finding.reason) == (Severity.ERROR, "Pickle files can run code.")
    assert "safetensors" in finding.remedy
    beside = plan(seen(gpu(0), info=replace(LLAMA_8B, extra={"pickles": "pytorch_model.bin"})))
    [finding] = [one for one in beside.findings if one.check == "pickle"]
    assert finding.severity == Severity.INFO
    assert problems(beside) == []


def test_asked_gpus_are_taken_and_unknown_ones_refused() -> None:
    made = plan(seen(gpu(0), gpu(1)), DeployOptions(gpus=("GPU-0",)))
    assert made.spec.gpus == ("GPU-0",)
    assert "gpus" in problems(plan(seen(gpu(0)), DeployOptions(gpus=("GPU-7",))))


def test_no_gpu() -> None:
    assert problems(plan(seen())) == ["gpus"]
    made = plan(seen(info=replace(GGUF_70B, weights_bytes=4 * GIB)))
    assert problems(made) == []
    assert made.memory is not None
    assert problems(plan(seen(info=GGUF_70B))) == ["memory"]


def test_gpus_without_the_container_toolkit() -> None:
    bare = RuntimeInfo(name=RuntimeName.DOCKER, version="28.0")
    made = plan(seen(gpu(0), runtime_info=bare))
    assert problems(made) == ["gpu access"]
    assert "nvidia-ctk" in made.of(Severity.ERROR)[0].remedy


def test_podman_would_leave_out_the_gpus() -> None:
    podman = RuntimeInfo(name=RuntimeName.DOCKER, version="4.3.1", is_podman=True)
    made = plan(seen(gpu(0), runtime_info=podman))
    assert problems(made) == ["gpu access"]
    assert "Podman 4.3.1" in made.of(Severity.ERROR)[0].reason
    assert problems(plan(seen(gpu(0), runtime_info=replace(podman, gpu_runtime="cdi")))) == []


def test_an_older_driver_gets_an_older_cuda() -> None:
    assert "cu129" in plan(seen(replace(gpu(0), driver_version="570.10"))).image
    assert "cu129" not in plan(seen(gpu(0))).image


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({"info": GGUF_70B, "provider": "vllm"}, {}, "format"),
        ({"info": NotFound("There is no /x.")}, {}, "files"),
        ({"info": replace(LLAMA_8B, problems=("model-2.safetensors is missing.",))}, {}, "files"),
        ({"runtime_info": EngineMissing("No Docker.")}, {}, "runtime"),
        ({"listening": frozenset({8000})}, {"port": 8000}, "port"),
        ({"listening": frozenset(range(8000, 9000))}, {}, "port"),
        ({}, {"bind": "10.0.0.1"}, "bind"),
        ({}, {"max_model_len": 200_000}, "context"),
        ({}, {"extra": {"swap-space": "4"}}, "options"),
        ({}, {"extra": {"api-key": "x"}}, "options"),
        ({}, {"gpu_memory_utilization": 1.5}, "options"),
    ],
)
def test_what_stops_a_deploy(changes: dict[str, object], options: dict[str, object], expected: str) -> None:
    made = plan(seen(gpu(0, free=140, total=141), **changes), DeployOptions(**options))  # type: ignore[arg-type]
    assert expected in problems(made)
    assert all(finding.remedy for finding in made.of(Severity.ERROR) if finding.check == expected and finding.remedy)


@pytest.mark.parametrize(
    ("changes", "options", "present", "expected"),
    [
        ({}, {}, False, "image"),
        ({}, {"bind": "0.0.0.0"}, True, "bind"),
        ({}, {"api_key": False}, True, "api key"),
        ({"info": replace(LLAMA_8B, needs_remote_code=True)}, {}, True, "code"),
    ],
)
def test_what_needs_a_yes(changes: dict[str, object], options: dict[str, object], present: bool, expected: str) -> None:
    made = plan(seen(gpu(0), **changes), DeployOptions(**options), present=present)  # type: ignore[arg-type]
    assert problems(made) == []
    assert expected in [finding.check for finding in made.of(Severity.WARNING)]


def test_the_port_of_its_last_run_is_kept_and_others_are_left_alone() -> None:
    before = server(port=8005, status=ServerStatus.STOPPED)
    assert plan(seen(gpu(0), servers=(before,))).spec.port == 8005
    other = Observed(
        id="1", name="vllm-model-other", image="i", phase=Phase.EXITED, labels={"modelyard.model": "other"}, port=8000
    )
    assert plan(seen(gpu(0), observed=(other,))).spec.port == 8001


def test_an_active_server_is_not_deployed_again() -> None:
    loading = server(status=ServerStatus.LOADING)
    assert problems(plan(seen(gpu(0), servers=(loading,)))) == ["record"]


def test_where_a_model_may_lie() -> None:
    host = Host(name="gpu1", models_dir="/srv/models")
    model = Model(name="m", provider="vllm", model_id="x", served_name="m", host="local", extra={"model_path": "/a/m"})
    assert places(model, host) == ["/a/m", "/srv/models/m"]
    model.host = "gpu1"
    assert places(model, host) == ["/a/m"]
    model.extra = {"model_path": "org/m"}
    assert places(model, host) == ["/srv/models/org/m"]
    model.extra = {}
    assert places(model, host) == []


def test_files_that_the_container_may_not_read() -> None:
    closed = seen(gpu(0), closed_files=("/srv/models/llama/a.safetensors", "/srv/models/llama/b.safetensors"))
    [found] = plan(closed).of(Severity.ERROR)
    assert (found.check, "a.safetensors and 1 more" in found.reason) == ("access", True)
    assert found.remedy == "On gpu1: chmod -R a+rX /srv/models/llama"
    assert problems(plan(closed, DeployOptions(image="mine:1"))) == []
