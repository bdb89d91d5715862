"""A training job's output becomes a personal model: readable id (N1), what is known of the job as metadata (N2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import FileProblem, InvalidInput, ModelyardError
from core.registry import naming
from core.registry.values import Provider
from core.training.values import Kind

if TYPE_CHECKING:
    from core.files.values import ModelInfo
    from core.registry.records import Model
    from core.registry.store import Registry
    from core.training.look import Source
    from core.training.values import Output, Training

_MOST_TRIES = 100
_CONTEXT = 8192  # tokens, where the files don't say


def choose(training: Training, name: str) -> Output:
    """The output of this name, or the proposed one.

    Raises:
        InvalidInput: there is none of this name.
    """
    if not name:
        return training.proposed
    for output in training.outputs:
        if name in {output.name, output.path}:
            return output
    names = ", ".join(output.name for output in training.outputs)
    raise InvalidInput({"checkpoint": f"There is none of this name; there are {names}."})


async def context_of(source: Source, output: Output) -> int:
    """The context length that the output's own files tell, in tokens; 8192 where they don't."""
    from core.files.inspect import inspect_model

    if output.kind is Kind.ADAPTER:
        return _CONTEXT
    try:
        info: ModelInfo = await inspect_model(source, output.path)
    except FileProblem:  # the dry run of the deploy says it in full
        return _CONTEXT
    return info.context_length or _CONTEXT


def values(
    training: Training, output: Output, *, base_model: str = "", context_length: int = _CONTEXT
) -> dict[str, Any]:
    """The form's values, all but the name."""
    base = base_model or training.base_model
    known = {
        "training_job_id": training.job_id,
        "checkpoint_path": output.path if output.is_checkpoint else "",
        "base_model": base,
        "training_method": training.method,
        "adapter": training.method.rpartition("-")[2] if output.kind is Kind.ADAPTER else "",
    }
    return {
        "provider": Provider.LLAMACPP.value if output.gguf else Provider.VLLM.value,
        "model_id": naming.readable_id(base_model=base, path=output.path),
        "path": output.path,
        "host": training.host,
        "context_length": context_length,
        "tags": ["trained"],
        "extra": {name: value for name, value in known.items() if value},
    }


def proposed_name(training: Training) -> str:
    """What the model is called unless the user says otherwise: the job's folder, else the base model."""
    return naming.last_part(training.path) or naming.last_part(training.base_model) or naming.FALLBACK


async def register(registry: Registry, training: Training, made: dict[str, Any], *, name: str = "") -> Model:
    """Add the model; a proposed name that is taken gets a number.

    Raises:
        InvalidInput: the given name is taken or can't be one.
    """
    wanted = name or proposed_name(training)
    for number in range(1, _MOST_TRIES):
        called = wanted if number == 1 else f"{wanted} {number}"
        extra = {**made["extra"], "display_name": called}
        try:
            return await registry.add_model({**made, "name": called, "extra": extra})
        except InvalidInput as error:
            if name or set(error.fields) != {"name"}:
                raise
    raise ModelyardError(f"There are {_MOST_TRIES} models called {wanted} already.", remedy="Give a name with --name.")
