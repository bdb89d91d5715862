"""The dry run: from a model, a host and options to exactly what `deploy` would do, with every check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from core.deploy import binaries, checks, memory, ports
from core.deploy.survey import Survey, survey
from core.deploy.values import GpuFit, MemoryEstimate, Plan
from core.engines import engine_named
from core.engines.base import API_KEY_FILE, MODELS_MOUNT, Launch, LaunchRequest
from core.errors import EngineUnavailable, NotAllowed
from core.files import stores
from core.files.values import ModelInfo
from core.findings import Finding
from core.registry.values import ACTIVE, DEPLOYABLE, LOCAL_HOST, DeployOptions, EngineName, Provider, RuntimeName
from core.runtimes.base import BindMount, ServerSpec
from core.runtimes.labels import container_name, make_labels

if TYPE_CHECKING:
    from core.deploy.runtimes import Runtimes
    from core.engines.base import Engine
    from core.hosts.service import HostService
    from core.hosts.values import Gpu
    from core.registry.records import Host, Model
    from core.registry.store import Registry

_DEFAULT_CONTEXT = 8192  # tokens (P11)
_BLOB_NAME = "model.gguf"  # of Ollama's store, in the container
_BY_PROVIDER = {Provider.VLLM: EngineName.VLLM, Provider.LLAMACPP: EngineName.LLAMACPP}


class Planner:
    """Looks, decides and writes down; changes nothing anywhere."""

    def __init__(self, registry: Registry, hosts: HostService, runtimes: Runtimes) -> None:
        self._registry = registry
        self._hosts = hosts
        self._runtimes = runtimes

    async def plan(
        self,
        model_ref: str,
        host_name: str,
        options: DeployOptions,
        *,
        replace: bool = False,
        avoid: frozenset[int] = frozenset(),
    ) -> Plan:
        """A dry run; `replace` allows that a server of this model is active there already, `avoid` names ports.

        Raises:
            NotFound: no such model or host. HostUnreachable: nothing can be said of the host.
            NotAllowed: no engine can serve this record.
        """
        model = await self._registry.get_model(model_ref)
        host = await self._registry.get_host(host_name)
        _refuse_hosted(model)
        runtime = options.runtime or await self._usual_runtime(host, model, options)
        servers = await self._registry.servers(model_id=model.id, host_id=host.id)
        seen = await survey(model, host, runtime, hosts=self._hosts, runtimes=self._runtimes, servers=servers)
        draft = _Draft.decide(seen, options, avoid=avoid)
        present = await self._image_present(seen, draft.image)
        findings = tuple(draft.findings(present=present, replace=replace))
        return draft.plan(findings, has_image=present, owner=self._registry.user_id)

    async def _image_present(self, seen: Survey, image: str) -> bool:
        if seen.runtime is not RuntimeName.DOCKER or isinstance(seen.runtime_info, Exception):
            return False
        return await self._runtimes.get(seen.host, RuntimeName.DOCKER).has_image(image)

    async def _usual_runtime(self, host: Host, model: Model, options: DeployOptions) -> RuntimeName:
        """Docker, but on this machine without Docker a process when the engine's program is here."""
        if host.kind != LOCAL_HOST:
            return RuntimeName.DOCKER
        try:
            await self._runtimes.get(host, RuntimeName.DOCKER).info()
        except EngineUnavailable:
            engine = options.engine or _BY_PROVIDER.get(Provider(model.provider), EngineName.LLAMACPP)
            return RuntimeName.PROCESS if binaries.find(engine, chosen=options.image) else RuntimeName.DOCKER
        return RuntimeName.DOCKER


def _refuse_hosted(model: Model) -> None:
    if model.provider not in DEPLOYABLE:
        raise NotAllowed(
            f"{model.name} can't be deployed: {model.provider} serves it itself.",
            remedy="Models of provider vllm, llamacpp, ollama or local can be deployed.",
        )


def _choose_engine(seen: Survey, options: DeployOptions) -> EngineName:
    """The engine asked for, the provider's, or the one that reads the format."""
    if options.engine is not None:
        return options.engine
    if chosen := _BY_PROVIDER.get(Provider(seen.model.provider)):
        return chosen
    is_folder_of_tensors = isinstance(seen.info, ModelInfo) and seen.info.format == "safetensors"
    return EngineName.VLLM if is_folder_of_tensors else EngineName.LLAMACPP


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """All decisions of a plan, before it is checked and written down."""

    seen: Survey
    engine: Engine
    options: DeployOptions
    image: str
    context: int
    gpus: tuple[Gpu, ...]
    memory: MemoryEstimate | None
    port: int | None

    @classmethod
    def decide(cls, seen: Survey, options: DeployOptions, *, avoid: frozenset[int] = frozenset()) -> _Draft:
        engine = engine_named(_choose_engine(seen, options))
        info = seen.info if isinstance(seen.info, ModelInfo) else None
        context = options.max_model_len or min(_DEFAULT_CONTEXT, (info and info.context_length) or _DEFAULT_CONTEXT)
        gpus, estimate = _choose_gpus(seen, engine, options, info, context)
        return cls(
            seen=seen,
            engine=engine,
            options=options,
            image=_choose_image(seen, engine, options, gpus),
            context=context,
            gpus=gpus,
            memory=estimate,
            port=_choose_port(seen, options, avoid),
        )

    @property
    def fits(self) -> tuple[GpuFit, ...]:
        """Every GPU of the host against the estimate."""
        chosen = {gpu.uuid for gpu in self.gpus}
        return tuple(self._fit(gpu, chosen=gpu.uuid in chosen) for gpu in self.seen.overview.gpus)

    def _fit(self, gpu: Gpu, *, chosen: bool) -> GpuFit:
        layers = self.seen.info.layers if isinstance(self.seen.info, ModelInfo) else None
        needed = _needed_on(gpu, self.engine, self.options, self.memory, count=max(1, len(self.gpus)), layers=layers)
        budget = int((gpu.memory_total or 0) * self.options.gpu_memory_utilization)
        enough = _has_room(gpu, needed)
        if self.engine.name is EngineName.VLLM and self.memory and gpu.memory_total:
            enough = enough and self.memory.low // max(1, len(self.gpus)) <= budget
        return GpuFit(
            uuid=gpu.uuid,
            name=gpu.name,
            total=gpu.memory_total,
            free=gpu.memory_free,
            needed=needed,
            fits=enough,
            chosen=chosen,
        )

    def findings(self, *, present: bool, replace: bool) -> list[Finding]:
        """All checks, in the order that a person reads them."""
        seen, engine, options = self.seen, self.engine, self.options
        found = [
            *checks.record(seen, replace=replace),
            *checks.files(seen, engine, self.options),
            *checks.runtime(seen, engine, options),
            *checks.image(seen, self.image, present=present),
            *checks.foreign_name(seen, container_name(engine.name, seen.model.id)),
            *checks.options_of(engine, options),
            *checks.network(seen, options, self.port),
            *checks.gpus(seen, engine, options, self.fits, self.image),
        ]
        if isinstance(seen.info, ModelInfo):
            found += checks.context(seen.info, engine, options, self.context)
            found += checks.parallel(seen.info, options)
        if self.memory is not None:
            found += checks.host_memory(seen, self.memory, on_gpu=bool(self.gpus))
        return found

    def plan(self, findings: tuple[Finding, ...], *, has_image: bool, owner: str) -> Plan:
        """Write it down."""
        seen = self.seen
        return Plan(
            model_id=seen.model.id,
            model_name=seen.model.name,
            served_name=seen.model.served_name,
            host=seen.host.name,
            engine=self.engine.name,
            runtime=seen.runtime,
            options=self.options,
            image=self.image,
            has_image=has_image,
            model_path=seen.model_path,
            spec=self._spec(owner),
            findings=findings,
            memory=self.memory,
            gpus=self.fits,
            max_model_len=self.context,
        )

    def _spec(self, owner: str) -> ServerSpec:
        in_container = self.seen.runtime is RuntimeName.DOCKER
        launch = self.engine.launch(self._request(in_container=in_container))
        model, options = self.seen.model, self.options
        spec = ServerSpec(
            name=container_name(self.engine.name, model.id),
            image=self.image,
            argv=launch.argv,
            env=launch.env,
            labels=make_labels(
                deployment="",
                model=model.id,
                served_name=model.served_name,
                engine=self.engine.name,
                owner=owner,
            ),
            container_port=self.engine.container_port,
            bind=options.bind,
            port=self.port or 0,
            gpus=tuple(gpu.uuid for gpu in self.gpus),
            shm_size=launch.shm_size,
            memory_limit=options.memory_limit,
            cpus=options.cpus,
            user=self.engine.user,
            writable=launch.writable,
        )
        return replace(spec, mounts=self._mounts()) if in_container else self._as_process(spec, launch)

    def _request(self, *, in_container: bool) -> LaunchRequest:
        return LaunchRequest(
            model_path=self._path_in_container() if in_container else self._loaded_path,
            served_name=self.seen.model.served_name,
            options=self.options,
            max_model_len=self.context,
            port=self.engine.container_port if in_container else self.port or 0,
            listen=checks.EVERYWHERE if in_container else self.options.bind,
            gpu_count=len(self.gpus),
            api_key_file=API_KEY_FILE if self.options.api_key else "",
            task=self.seen.model.task,
        )

    def _as_process(self, spec: ServerSpec, launch: Launch) -> ServerSpec:
        binary = binaries.find(self.engine.name, chosen=self.options.image)
        if binary is None:
            return spec
        options_at = next((at for at, word in enumerate(launch.argv) if word.startswith("--")), len(launch.argv))
        start = (binary.path if word == self.engine.program else word for word in launch.argv[:options_at])
        return replace(spec, argv=(*start, *launch.argv[options_at:]), env={**launch.env, **binary.env})

    @property
    def _loaded_path(self) -> str:
        """What the engine loads: of a folder with one GGUF, or of a split one, the (first) file."""
        return self.seen.info.path if isinstance(self.seen.info, ModelInfo) else self.seen.model_path

    @property
    def _is_file(self) -> bool:
        info = self.seen.info
        is_gguf = isinstance(info, ModelInfo) and info.format == "gguf"  # Ollama's blobs have no ending
        return is_gguf or PurePosixPath(self._loaded_path).suffix.lower() == ".gguf"

    @property
    def _mounted_folder(self) -> PurePosixPath:
        """What the container sees: a snapshot of Hugging Face's cache needs the blobs that it links to."""
        path = PurePosixPath(self._loaded_path)
        root = stores.root_of(str(path))
        return PurePosixPath(root) if root else path.parent if self._is_file else path

    def _path_in_container(self) -> str:
        if stores.is_blob(self._loaded_path):
            return f"{MODELS_MOUNT}/{_BLOB_NAME}"
        return str(PurePosixPath(MODELS_MOUNT) / PurePosixPath(self._loaded_path).relative_to(self._mounted_folder))

    def _mounts(self) -> tuple[BindMount, ...]:
        if stores.is_blob(self._loaded_path):  # alone: the store holds all other models, too
            return (BindMount(source=self._loaded_path, target=f"{MODELS_MOUNT}/{_BLOB_NAME}"),)
        return (BindMount(source=str(self._mounted_folder), target=MODELS_MOUNT),)


def _choose_image(seen: Survey, engine: Engine, options: DeployOptions, gpus: tuple[Gpu, ...]) -> str:
    if seen.runtime is RuntimeName.PROCESS:
        binary = binaries.find(engine.name, chosen=options.image)
        return binary.path if binary else ""
    driver = next((gpu.driver_version for gpu in gpus), "")
    return options.image or engine.default_image(gpu=bool(gpus), driver_version=driver)


def _choose_port(seen: Survey, options: DeployOptions, avoid: frozenset[int]) -> int | None:
    """The port asked for, else the one this model had there, else the first free one."""
    last = next((server.port for server in seen.servers if server.port), None)
    own = {server.port for server in seen.servers if server.port and server.status in ACTIVE}
    published = {one.port for one in seen.observed if one.port and one.labels.get("modelyard.model") != seen.model.id}
    taken = (set(seen.listening) | published) - own
    if options.port is not None:
        return None if options.port in taken else options.port
    return ports.pick(taken | avoid, preferred=last)


def _choose_gpus(
    seen: Survey, engine: Engine, options: DeployOptions, info: ModelInfo | None, context: int
) -> tuple[tuple[Gpu, ...], MemoryEstimate | None]:
    """The GPUs asked for, else for vLLM as many as tensor parallelism wants, for llama.cpp the fewest that fit."""
    available = seen.overview.gpus

    def estimated(count: int) -> MemoryEstimate | None:
        if info is None:
            return None
        return memory.estimate(info, engine.name, options, context=context, gpu_count=count)

    if options.gpus is not None:
        asked = tuple(gpu for gpu in available if gpu.uuid in options.gpus)
        return asked, estimated(len(asked))
    if not available:
        return (), estimated(0)
    if engine.name is EngineName.VLLM:
        best = tuple(checks.best_gpus(available, options.tensor_parallel_size))
        return best, estimated(len(best))
    for count in range(1, len(available) + 1):
        best, needed = tuple(checks.best_gpus(available, count)), estimated(count)
        layers = info.layers if info else None
        if all(_has_room(gpu, _needed_on(gpu, engine, options, needed, count=count, layers=layers)) for gpu in best):
            return best, needed
    return available, estimated(len(available))


def _has_room(gpu: Gpu, needed: int) -> bool:
    return gpu.memory_free is None or needed <= gpu.memory_free


def _needed_on(
    gpu: Gpu, engine: Engine, options: DeployOptions, needs: MemoryEstimate | None, *, count: int, layers: int | None
) -> int:
    """Bytes that must be free on one GPU at start: vLLM claims its share of the whole card."""
    if engine.name is EngineName.VLLM and gpu.memory_total:
        return int(gpu.memory_total * options.gpu_memory_utilization)
    return memory.needed_per_gpu(needs, engine.name, gpu_count=count, layers=layers) if needs else 0
