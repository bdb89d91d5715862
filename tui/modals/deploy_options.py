"""The options of a deploy (P11): those of an engine show only for that engine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Select

from core.errors import InvalidInput, ModelyardError
from core.registry.values import DeployOptions, EngineName, RuntimeName
from core.text import clean_line
from tui.show import size
from tui.widgets.fields import Choice, Field, Toggle
from tui.widgets.picker import Marks, Option
from tui.widgets.plain import TextField

if TYPE_CHECKING:
    from core.hosts.service import HostService
    from core.hosts.values import Gpu
    from core.registry.records import Model

_AUTO = ""
_GPUS = "Enter: mark those to use"
_ENGINES = [("automatic", _AUTO), ("vLLM", EngineName.VLLM.value), ("llama.cpp", EngineName.LLAMACPP.value)]
_RUNTIMES = [("automatic", _AUTO), ("container", RuntimeName.DOCKER.value), ("process", RuntimeName.PROCESS.value)]
_DTYPES = [(name, name) for name in ("auto", "float16", "bfloat16", "float32")]
_ONLY_FOR = {
    "gpu_memory_utilization": EngineName.VLLM,
    "tensor_parallel_size": EngineName.VLLM,
    "dtype": EngineName.VLLM,
    "trust_remote_code": EngineName.VLLM,
    "parallel": EngineName.LLAMACPP,
}


class OptionsForm(Vertical):
    """Reads and checks what was chosen; the dry run checks the rest."""

    def __init__(self, model: Model, hosts: HostService) -> None:
        super().__init__()
        self._model = model
        self._hosts = hosts
        self._gpus_of = ""

    def compose(self) -> ComposeResult:
        yield Field("host", "Host", Choice([("…", "")], ""), hint="Where it will run")
        yield Field("engine", "Engine", Choice(_ENGINES, _AUTO), hint="By the files' format")
        yield Field(
            "gpu_memory_utilization", "GPU memory share", TextField("0.8"), kind="float", hint="0.0 to 1.0 of each GPU"
        )
        yield Field("max_model_len", "Context length", TextField("8192"), kind="int", hint="Tokens; empty: what fits")
        yield Field("tensor_parallel_size", "Tensor parallel", TextField("1"), kind="int", hint="GPUs that share it")
        yield Field("dtype", "Data type", Choice(_DTYPES, "auto"), hint="auto: as in the files")
        yield Field("trust_remote_code", "Trust remote code", Toggle(), hint="Runs the model's own code")
        yield Field("parallel", "Parallel slots", TextField(), kind="int", hint="Requests at once")
        yield Field("gpus", "GPUs", Marks("GPUs of the host", self._gpus, nothing="chosen for you"), hint=_GPUS)
        yield Field("port", "Port", TextField(), kind="int", hint="Empty: a free one")
        yield Field("runtime", "Runs as", Choice(_RUNTIMES, _AUTO), hint="A container if possible")
        yield Field("image", "Image", TextField(), hint="Empty: the engine's own")
        yield Field("extra", "Further flags", TextField(), hint="name=value name=value")

    async def fill(self, hosts: Sequence[str], *, default: str) -> None:
        """Offer these hosts; names may come from outside."""
        from textual.content import Content

        choice = self._field("host").control
        if isinstance(choice, Choice) and hosts:
            choice.set_options([(Content(clean_line(name)), name) for name in hosts])
            choice.value = default if default in hosts else hosts[0]
        self._show_for_engine()

    async def _gpus(self) -> Sequence[Option]:
        """The host's GPUs, as it has them now.

        Raises:
            ModelyardError: it has none, or can't be asked.
        """
        host = str(self._field("host").value)
        overview = await self._hosts.overview(host)
        if not overview.gpus:
            raise ModelyardError(
                f"No GPU of {clean_line(host)} can be chosen.",
                cause=overview.problem or "None was seen there.",
                remedy=overview.remedy or "Leave the field as it is: the dry run says what the host has.",
            )
        return [_gpu(gpu) for gpu in overview.gpus]

    @on(Select.Changed, "#field-host Choice")
    def _host_changed(self) -> None:
        """Another host has other GPUs."""
        host, field = str(self._field("host").value), self._field("gpus")
        if self._gpus_of not in {"", host} and field.value:
            field.put("")
        self._gpus_of = host

    def _field(self, name: str) -> Field:
        return self.query_one(f"#field-{name}", Field)

    @on(Select.Changed)
    @on(Input.Changed)
    def _show_for_engine(self) -> None:
        """Show what this engine has; corrected fields lose their complaint."""
        engine = self._engine()
        for name, only in _ONLY_FOR.items():
            self._field(name).set_class(engine not in {None, only}, "hidden")
        for field in self.query(Field):
            if field.has_class("-wrong"):
                field.complain("")

    def _engine(self) -> EngineName | None:
        value = self._field("engine").value
        return EngineName(str(value)) if value else None

    # Reading

    def read(self) -> tuple[str, DeployOptions]:
        """The host and the options.

        Raises:
            InvalidInput: with a message for each field that is off.
        """
        values = {field.key: field.value for field in self.query(Field) if not field.has_class("hidden")}
        problems = {name: problem for name, value in values.items() if (problem := _check(name, value))}
        if problems:
            raise InvalidInput(problems)
        return str(values.pop("host")), DeployOptions(**_options(values))

    def complain(self, problems: Mapping[str, str]) -> list[str]:
        """Say what is wrong beside the fields; returns what belongs to none."""
        fields = {field.key: field for field in self.query(Field)}
        for name, field in fields.items():
            field.complain(problems.get(name, ""))
        wrong = [fields[name] for name in fields if name in problems]
        if wrong:
            wrong[0].control.focus()
        return [f"{name}: {text}" for name, text in problems.items() if name not in fields]


def _gpu(gpu: Gpu) -> Option:
    free = f"{size(gpu.memory_free)} free of {size(gpu.memory_total)}"
    return Option(gpu.uuid, f"{gpu.index} {gpu.name.removeprefix('NVIDIA ')}", free)


def _check(name: str, value: object) -> str:
    if name == "gpu_memory_utilization":
        return "" if isinstance(value, float) and 0 < value <= 1 else "Above 0, up to 1."
    if name in {"max_model_len", "parallel", "port"} and value == "":
        return ""
    if name in {"max_model_len", "tensor_parallel_size", "parallel"}:
        return "" if isinstance(value, int) and value >= 1 else "A whole number, 1 or more."
    if name == "port":
        return "" if isinstance(value, int) and 1 <= value <= 65535 else "1 to 65535."
    if name == "extra":
        return "" if _flags(str(value)) is not None else "A quote is not closed."
    return ""


def _flags(text: str) -> dict[str, str] | None:
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    parts = [word.lstrip("-").partition("=") for word in words]
    return {name: value for name, _, value in parts}


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    """In the types of `DeployOptions`; an empty field is left to the planner."""
    chosen = {name: value for name, value in values.items() if value != ""}
    if "engine" in chosen:
        chosen["engine"] = EngineName(chosen["engine"])
    if "runtime" in chosen:
        chosen["runtime"] = RuntimeName(chosen["runtime"])
    if "gpus" in chosen:
        chosen["gpus"] = tuple(part.strip() for part in chosen["gpus"].split(",") if part.strip())
    if "extra" in chosen:
        chosen["extra"] = _flags(chosen["extra"])
    return chosen
