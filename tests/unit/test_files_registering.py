"""What a record of model files says, so that they are deployed from where they lie."""

from __future__ import annotations

import pytest

from core.errors import NotAllowed
from core.files.installed import InstalledModel
from core.files.registering import record_values
from core.files.values import ModelInfo


def test_a_snapshot_keeps_its_repository_as_its_id() -> None:
    """X8, N1: never a path or a commit."""
    path = f"/h/models--org--tiny/snapshots/{'a' * 40}"
    model = InstalledModel(path=path, title="org/tiny", source="hf:org/tiny@main", revision="a", store="huggingface")
    values = record_values(ModelInfo(path=path, format="safetensors", context_length=8192), host="h", model=model)
    told = {name: values[name] for name in ("name", "provider", "model_id", "path", "host", "context_length")}
    expected = {"name": "tiny", "provider": "vllm", "model_id": "org/tiny", "path": path, "host": "h"}
    assert told == {**expected, "context_length": 8192}
    assert values["extra"] == {"source": "hf:org/tiny@main", "store": "huggingface", "revision": "a"}


def test_a_path_alone_is_enough() -> None:
    info = ModelInfo(path="/m/Llama-3-00001-of-00002.gguf", format="gguf", extra={"mmproj": "mmproj.gguf"})
    values = record_values(info, host="local")
    assert (values["name"], values["provider"], values["supports_vision"]) == ("Llama-3", "llamacpp", True)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (ModelInfo(path="/m/x.bin", format="pickle"), "pickle"),
        (ModelInfo(path="/m/flux", format="diffusers"), "no engine"),
        (ModelInfo(path="/m/l", format="safetensors", extra={"adapter": "lora", "base_model": "org/b"}), "adapter"),
    ],
)
def test_what_no_engine_serves_is_refused_with_a_remedy(info: ModelInfo, says: str) -> None:
    with pytest.raises(NotAllowed, match=says) as refused:
        record_values(info, host="local")
    assert refused.value.remedy
