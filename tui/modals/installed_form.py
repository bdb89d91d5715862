"""A record of an installed model, so that it can be deployed: the form of a new model, filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import FileProblem
from core.registry.forms import FieldSpec
from core.registry.naming import last_part, readable_id
from core.registry.values import LOCAL_HOST, Provider
from core.text import clean_line
from tui.modals.model_form import ModelForm
from tui.widgets.plain import Plain

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.files.installed import InstalledModel
    from core.files.values import ByteSource

_HUGGING_FACE = "hf:"


async def form_values(yard: Modelyard, model: InstalledModel, *, host: str = LOCAL_HOST) -> dict[str, Any]:
    """What its headers and its source tell; of files that can't be read, what their names do.

    Raises:
        NotAllowed: no engine serves it: a pickle, an adapter alone. HostUnreachable: its host can't be asked.
    """
    from core.files.inspect import inspect_model
    from core.files.registering import record_values

    path = await path_of(yard, model, host=host)
    try:
        info = await inspect_model(await _source(yard, host), path)
    except FileProblem:  # the dry run of the deploy says it in full
        return _by_name(model, path, host)
    return record_values(info, host=host, model=model) if info.format != "unknown" else _by_name(model, path, host)


async def path_of(yard: Modelyard, model: InstalledModel, *, host: str = LOCAL_HOST) -> str:
    """What an engine on its host loads."""
    return str((await yard.files_of(host)).folder / engine_path(model))


async def _source(yard: Modelyard, host: str) -> ByteSource:
    from core.files.here import HereSource

    record = await yard.registry.get_host(host)
    return HereSource() if record.kind == LOCAL_HOST else yard.hosts.connection(record)


def _by_name(model: InstalledModel, path: str, host: str) -> dict[str, Any]:
    gguf = path.lower().endswith(".gguf")
    repository = model.source.removeprefix(_HUGGING_FACE).partition("@")[0]
    is_on_hub = model.source.startswith(_HUGGING_FACE)
    return {
        "name": clean_line(last_part(path) or model.title),
        "provider": Provider.LLAMACPP.value if gguf else Provider.VLLM.value,
        "model_id": readable_id(hugging_face_id=repository if is_on_hub else "", path=path),
        "path": path,
        "host": host,
    }


def engine_path(model: InstalledModel) -> str:
    """What an engine loads: the first .gguf of a folder without config.json, else the entry's own path."""
    paths = sorted(str(file["path"]) for file in model.files)
    ggufs = [path for path in paths if path.lower().endswith(".gguf")]
    is_folder = any(path.rpartition("/")[2] == "config.json" for path in paths)
    return ggufs[0] if ggufs and not is_folder else model.path


class InstalledForm(ModelForm):
    """The id of the new model, or None."""

    HEADING = "Model of installed files"

    def __init__(self, yard: Modelyard, place: str, values: dict[str, Any]) -> None:
        super().__init__(yard)
        self._place = place
        self._known = values

    @property
    def _draft_name(self) -> str:
        from hashlib import sha256

        return f"{self.KIND}-installed-{sha256(self._place.encode()).hexdigest()[:12]}"

    def first(self, spec: FieldSpec) -> Any:  # noqa: ANN401 - the value of any kind of field
        return self._known.get(spec.name, super().first(spec))

    def introduce(self) -> None:
        self.query_one("#form-title", Plain).show(f"A model of {clean_line(self._place)}")
