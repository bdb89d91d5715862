"""The checks of the dry run: pure functions from what was seen to findings."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from shlex import quote
from typing import TYPE_CHECKING

from core.deploy import binaries
from core.deploy.values import GpuFit, MemoryEstimate
from core.errors import ModelyardError
from core.findings import Finding, Severity
from core.hosts.podman import GPUS_REMEDY
from core.registry.values import ACTIVE, DEPLOYABLE, DeployOptions, EngineName, RuntimeName
from core.runtimes.base import Phase
from core.text import clean_line

if TYPE_CHECKING:
    from core.deploy.survey import Survey
    from core.engines.base import Engine
    from core.files.values import ModelInfo
    from core.hosts.values import Gpu

LOOPBACK = "127.0.0.1"
_OR_PYTHON = {EngineName.VLLM: ", or a Python that has vLLM,"}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - offered on request only, with a warning


def ok(check: str, reason: str) -> Finding:
    """All is well."""
    return Finding(severity=Severity.OK, check=check, reason=reason)


def info(check: str, reason: str, remedy: str = "") -> Finding:
    """Worth knowing."""
    return Finding(severity=Severity.INFO, check=check, reason=reason, remedy=remedy)


def warning(check: str, reason: str, remedy: str = "") -> Finding:
    """Needs the user's yes."""
    return Finding(severity=Severity.WARNING, check=check, reason=reason, remedy=remedy)


def error(check: str, reason: str, remedy: str = "") -> Finding:
    """Stops the deploy."""
    return Finding(severity=Severity.ERROR, check=check, reason=reason, remedy=remedy)


def from_error(check: str, problem: ModelyardError) -> Finding:
    """An error met on the way, as a finding."""
    reason = f"{problem.message} {problem.cause}".strip()
    return error(check, reason, problem.remedy)


def record(seen: Survey, *, replace: bool) -> Iterator[Finding]:
    """May this record be deployed at all (P10)?"""
    model = seen.model
    if model.is_global:
        yield error("record", f"{model.name} is a global model.", "Add a personal model for it and deploy that.")
    elif model.provider not in DEPLOYABLE:
        yield error(
            "record",
            f"{model.provider} serves {model.name} itself.",
            "Models of provider vllm, llamacpp, ollama or local can be deployed.",
        )
    elif model.extra.get("adapter"):
        yield error("record", f"{model.name} holds an adapter alone.", "Merge it into its base model, and add that.")
    active = [server for server in seen.servers if server.status in ACTIVE]
    if active and not replace:
        yield error(
            "record",
            f"{model.name} is {active[0].status} on {seen.host.name} already.",
            f"Stop it first: modelyard stop {model.name}; or change it: modelyard update {model.name}",
        )


def files(seen: Survey, engine: Engine, options: DeployOptions) -> Iterator[Finding]:
    """Are the model's files there, whole, open to the server, and of a kind that the engine reads?"""
    if isinstance(seen.info, ModelyardError):
        yield from_error("files", seen.info)
        return
    yield ok("files", f"{seen.model_path} is on {seen.host.name}.")
    for problem in seen.info.problems:
        yield error("files", problem, "Copy or download it again.")
    yield from _code(seen.info)
    yield from _access(seen, options)
    if seen.info.format == "pickle":
        return
    if seen.info.format in engine.formats:
        yield ok("format", f"{engine.label} reads {_described(seen.info)}.")
    else:
        fitting = "llamacpp" if seen.info.format == "gguf" else "vllm"
        yield error("format", f"{engine.label} does not read {seen.info.format}.", f"Choose --engine {fitting}.")
    if seen.info.needs_remote_code:
        yield warning("code", "The model brings its own Python code, which would run on the server.", "Read it first.")


def _code(found: ModelInfo) -> Iterator[Finding]:
    """Pickles are never loaded; beside tensors they are only told of."""
    if found.format == "pickle":
        remedy = "Use its safetensors or GGUF files; modelyard files inspect tells what a scanner sees of these."
        yield error("pickle", " ".join(found.warnings), remedy)
    elif pickles := found.extra.get("pickles"):
        yield info("pickle", f"Pickle files lie beside the model and are not loaded: {pickles[:200]}.")


def _access(seen: Survey, options: DeployOptions) -> Iterator[Finding]:
    """An image of one's own may run as the files' owner, so there it is a warning."""
    if not seen.closed_files or isinstance(seen.info, ModelyardError):
        return
    folder = posixpath.dirname(seen.info.path) if seen.info.format == "gguf" else seen.info.path
    first, more = clean_line(seen.closed_files[0]), len(seen.closed_files) - 1
    named = f"{first} and {more} more" if more else first
    severe = warning if options.image else error
    yield severe(
        "access",
        f"The container's user may not read {named}: other users have no right to.",
        f"On {seen.host.name}: chmod -R a+rX {quote(folder)}",
    )


def _described(model: ModelInfo) -> str:
    told = (model.architecture, model.quantization, model.format.upper())
    return " ".join(word for word in told if word)


def runtime(seen: Survey, engine: Engine, options: DeployOptions) -> Iterator[Finding]:
    """Is there something to run it in?"""
    if isinstance(seen.runtime_info, ModelyardError):
        yield from_error("runtime", seen.runtime_info)
    elif seen.runtime is RuntimeName.DOCKER:
        yield ok("runtime", f"Docker {seen.runtime_info.version} answers on {seen.host.name}.")
    elif binaries.find(engine.name, chosen=options.image):
        yield ok("runtime", f"{engine.label} runs on this machine without a container.")
        if options.memory_limit or options.cpus:
            yield warning("limits", "Memory and CPU limits need a container.", "--runtime docker, or no limits.")
    else:
        yield error(
            "runtime",
            f"There is no {engine.label} program on this machine.",
            f"Install it, or name the program{_OR_PYTHON.get(engine.name, '')} with --image /path/to/it.",
        )


def image(seen: Survey, name: str, *, present: bool) -> Iterator[Finding]:
    """Is the engine's image on the host?"""
    if seen.runtime is not RuntimeName.DOCKER or isinstance(seen.runtime_info, ModelyardError):
        return
    if present:
        yield ok("image", f"{name} is on {seen.host.name}.")
    else:
        yield warning(
            "image",
            f"{name} is not on {seen.host.name} and will be pulled, which needs a registry and minutes.",
            f"Without internet there: docker save {name} | ssh {seen.host.target or seen.host.name} docker load",
        )


def foreign_name(seen: Survey, name: str) -> Iterator[Finding]:
    """Does a server of another registry hold the name? One that ran before may be replaced, an active one not."""
    ours = {server.container_id for server in seen.servers}
    for one in seen.observed:
        if one.name == name and one.id not in ours and one.phase in {Phase.UP, Phase.RESTARTING}:
            yield error(
                "name",
                f"A container {name} that this registry does not know runs on {seen.host.name}.",
                "modelyard servers list shows it once the host was asked; stop it there first.",
            )


def network(seen: Survey, options: DeployOptions, port: int | None) -> Iterator[Finding]:
    """Is the port free, and who will reach it?"""
    if options.bind not in {LOOPBACK, EVERYWHERE}:
        yield error("bind", f"{options.bind} can't be bound.", f"Use {LOOPBACK} (a tunnel reaches it) or {EVERYWHERE}.")
    elif options.bind == EVERYWHERE:
        key = "with its API key" if options.api_key else "without any API key"
        yield warning(
            "bind", f"Everybody who reaches {seen.host.name} reaches the server, {key}.", f"--bind {LOOPBACK}"
        )
    if not options.api_key:
        yield warning("api key", "Every user and program on the host may use the server.", "Leave out --no-api-key.")
    if port is None:
        taken = options.port or "every port from 8000 to 8999"
        yield error("port", f"{taken} is in use on {seen.host.name}.", "Choose another --port, or leave it out.")
    else:
        yield ok("port", f"{port} is free on {seen.host.name}.")


def context(info_: ModelInfo, engine: Engine, options: DeployOptions, length: int) -> Iterator[Finding]:
    """Does the context fit the model's own?"""
    own = info_.context_length
    if own is None or options.max_model_len is None or length <= own:
        return
    severe = error if engine.name is EngineName.VLLM else warning
    yield severe("context", f"{length:,} tokens are more than the model's {own:,}.", f"--max-model-len {own}")


def parallel(info_: ModelInfo, options: DeployOptions) -> Iterator[Finding]:
    """Can the model be split over that many GPUs?"""
    size, heads = options.tensor_parallel_size, info_.heads
    if size > 1 and heads and heads % size:
        yield error(
            "tensor parallel",
            f"{heads} attention heads can't be split over {size} GPUs.",
            f"Use a size that divides {heads}.",
        )


def gpus(
    seen: Survey, engine: Engine, options: DeployOptions, fits: tuple[GpuFit, ...], name: str
) -> Iterator[Finding]:
    """Are there the GPUs that are needed, and does the model fit on the chosen ones?"""
    known = {gpu.uuid for gpu in seen.overview.gpus}
    for unknown in sorted(set(options.gpus or ()) - known):
        yield error("gpus", f"{seen.host.name} has no GPU {unknown}.", f"modelyard hosts gpus {seen.host.name}")
    chosen = [fit for fit in fits if fit.chosen]
    if chosen:
        yield from _gpu_fit(chosen)
        yield from _gpu_access(seen)
    elif engine.needs_gpu(name):
        yield error(
            "gpus", f"{engine.label} needs an NVIDIA GPU and {seen.host.name} shows none.", "Choose another host."
        )
    elif not known:
        yield info("gpus", f"{seen.host.name} shows no GPU: the model runs on the CPU, slowly.")
    if engine.name is EngineName.VLLM and 0 < len(chosen) < options.tensor_parallel_size:
        yield error(
            "gpus",
            f"{options.tensor_parallel_size} GPUs are asked for and {len(known)} are there.",
            f"--tensor-parallel-size {max(1, len(known))}",
        )


def _gpu_fit(chosen: list[GpuFit]) -> Iterator[Finding]:
    for fit in chosen:
        sizes = f"needs about {gib(fit.needed)}, {gib(fit.free)} of {gib(fit.total)} are free on {fit.name}"
        if fit.fits:
            yield ok("gpu memory", f"It {sizes}.")
        else:
            yield error(
                "gpu memory",
                f"It {sizes}.",
                "Lower --gpu-memory-utilization or --max-model-len, free the GPU, or use more GPUs.",
            )


def _gpu_access(seen: Survey) -> Iterator[Finding]:
    if seen.runtime is not RuntimeName.DOCKER or isinstance(seen.runtime_info, ModelyardError):
        return
    if seen.runtime_info.gpu_runtime:
        return
    if seen.runtime_info.is_podman:
        yield error(
            "gpu access",
            f"Containers on {seen.host.name} can't have its GPUs: Podman {seen.runtime_info.version} does not pass "
            "them on through Docker's API.",
            f"There: {GPUS_REMEDY}",
        )
    else:
        yield error(
            "gpu access",
            f"Containers on {seen.host.name} can't have its GPUs: the NVIDIA Container Toolkit is not set up.",
            "There: install nvidia-container-toolkit, nvidia-ctk runtime configure --runtime=docker, restart Docker.",
        )


def host_memory(seen: Survey, memory: MemoryEstimate, *, on_gpu: bool) -> Iterator[Finding]:
    """On the CPU: does the model fit in the host's memory?"""
    available = seen.overview.memory_available
    if on_gpu or available is None:
        return
    sizes = f"needs about {gib(memory.total)} of memory, {gib(available)} are available on {seen.host.name}"
    if memory.low > available:
        yield error("memory", f"It {sizes}.", "Choose a smaller model or context, or another host.")
    elif memory.high > available:
        yield warning("memory", f"It {sizes}: that is tight.", "Lower --max-model-len.")
    else:
        yield ok("memory", f"It {sizes}.")


def options_of(engine: Engine, options: DeployOptions) -> Iterator[Finding]:
    """Are the options ones that the engine takes?"""
    for name, problem in engine.check_options(options).items():
        yield error("options", f"{name}: {problem}", f"{engine.label} would not start with it.")


def best_gpus(available: tuple[Gpu, ...], count: int) -> list[Gpu]:
    """The `count` GPUs with the most free memory."""
    return sorted(available, key=lambda gpu: (-(gpu.memory_free or 0), gpu.index))[:count]


def gib(size: int | None) -> str:
    """Bytes for people."""
    if size is None:
        return "?"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
