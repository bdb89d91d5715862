"""What other programs have: LiteLLM's configuration, Ollama's store, Hugging Face's caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import NotFound
from core.exchange import readers
from core.exchange.hf_cache import hub, read_hf_cache
from core.exchange.litellm import LiteLLM
from core.exchange.ollama import read_ollama
from core.exchange.values import Format
from core.registry.import_values import Incoming
from tests.unit.stores import half_a_pull, hf_cache, ollama_store

# From LiteLLM's documentation (docs.litellm.ai/docs/proxy/configs and …/load_balancing), shortened.
CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://my-endpoint-europe-berri-992.openai.azure.com/
      api_key: "os.environ/AZURE_API_KEY_EU"
      rpm: 6
  - model_name: gpt-4o
    litellm_params:
      model: gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      rpm: 480
      temperature: 0.2
    model_info:
      mode: chat
      max_input_tokens: 128000
      max_output_tokens: 16384
      supports_function_calling: true
      supports_vision: true
  - model_name: gpt-4o
    litellm_params: &shared
      model: openai/gpt-4o
      api_base: https://eu.api.openai.com/v1
      api_key: os.environ/OPENAI_API_KEY
  - model_name: anthropic-claude
    litellm_params:
      model: claude-3-haiku-20240307
      api_key: sk-ant-planted-0123456789
  - model_name: vllm-models
    litellm_params:
      model: openai/facebook/opt-125m
      api_base: http://0.0.0.0:4000/v1
      api_key: none
      rpm: 1440
    model_info: {version: 2, id: "vllm-1"}
  - model_name: gemini
    litellm_params: {model: gemini/gemini-2.5-pro, api_key: os.environ/GEMINI_API_KEY}
  - model_name: llama3
    litellm_params: {model: ollama_chat/llama3.1, api_base: "http://localhost:11434", keep_alive: "8m"}
  - model_name: fast
    litellm_params: {model: groq/llama-3.3-70b-versatile}
  - model_name: embed
    litellm_params: {model: hosted_vllm/BAAI/bge-m3, api_base: os.environ/VLLM_BASE, aws_secret_access_key: planted-aws}
    model_info: {mode: embedding}
  - model_name: "*"
    litellm_params: {model: "*"}
  - model_name: broken
  - just text
  - model_name: more
    litellm_params: {<<: *shared, top_p: 0.5}
litellm_settings: {drop_params: true}
general_settings: {master_key: sk-planted-1234, database_url: "postgresql://user:planted@host/db"}
environment_variables: {OPENAI_API_KEY: sk-planted-env}
"""


def _read(text: str) -> list[Incoming]:
    reader = LiteLLM("config.yaml")
    items = readers.read(text.encode(), Format.YAML, "config.yaml")
    return [reader.read(item) for item in items if item.kind == "litellm"]


def test_a_real_configuration_becomes_models() -> None:
    records = _read(CONFIG)
    fine = {one.name: one.columns for one in records if not one.problems}
    assert set(fine) == {
        *("gpt-4o", "gpt-4o (2)", "anthropic-claude", "vllm-models"),
        *("gemini", "llama3", "fast", "embed", "more"),
    }

    def some(name: str, *fields: str) -> list[Any]:
        return [fine[name].get(field) for field in fields]

    first = some("gpt-4o", "provider", "model_id", "served_name", "api_key_ref", "context_length")
    assert first == ["openai", "gpt-4o", "gpt-4o", "OPENAI_API_KEY", 128000]
    known = some("gpt-4o", "max_output_tokens", "supports_tools", "supports_vision", "default_temperature", "task")
    assert known == [16384, True, True, 0.2, "generate"]
    assert some("gpt-4o (2)", "endpoint") == ["https://eu.api.openai.com/v1"]
    assert some("anthropic-claude", "provider", "model_id") == ["anthropic", "claude-3-haiku-20240307"]
    assert some("vllm-models", "model_id", "endpoint") == ["facebook/opt-125m", "http://0.0.0.0:4000/v1"]
    assert fine["vllm-models"]["extra"] == {
        "litellm": {"litellm_params": {"rpm": 1440}, "model_info": {"version": 2, "id": "vllm-1"}}
    }
    assert some("gemini", "provider", "model_id") == ["google", "gemini-2.5-pro"]
    assert some("llama3", "provider", "model_id", "endpoint") == ["ollama", "llama3.1", "http://localhost:11434"]
    assert some("fast", "provider", "endpoint", "api_key_ref") == [
        *("openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY")
    ]
    assert some("embed", "provider", "model_id", "task") == ["vllm", "BAAI/bge-m3", "embed"]
    assert some("more", "endpoint", "default_top_p") == ["https://eu.api.openai.com/v1", 0.5]


def test_what_cannot_be_taken_over_is_told_with_its_line_and_no_key_is() -> None:
    records = _read(CONFIG)
    wrong = {(one.name, one.line): "".join(one.problems.values()) for one in records if one.problems}
    assert [name for name, _ in wrong] == ["gpt-4o", "*", "broken", ""]
    assert all(line for _, line in wrong)
    assert "wildcard" in next(text for (name, _), text in wrong.items() if name == "*")
    notes = {one.name: " ".join(one.notes) for one in records}
    assert "holds a key itself" in notes["anthropic-claude"]
    assert "VLLM_BASE" in notes["embed"]
    assert "look like secrets" in notes["embed"]
    assert notes["vllm-models"] == ""
    assert "planted" not in str(records)


async def test_ollamas_store_becomes_models(tmp_path: Path) -> None:
    ollama_store(tmp_path)
    half_a_pull(tmp_path)
    found = {one.name: one for one in read_ollama(tmp_path)}
    assert set(found) == {"llama3.2:1b", "someone/small:latest", "broken:latest", "evil:latest"}
    model = found["llama3.2:1b"]
    assert model.problems == {}
    assert (model.columns["provider"], model.columns["context_length"]) == ("ollama", 2048)
    assert model.columns["default_temperature"] == 0.6
    metadata = model.columns["extra"]
    assert Path(metadata["model_path"]).read_bytes().startswith(b"GGUF")
    assert (metadata["family"], metadata["parameters"]) == ("llama", "1.2B")
    assert metadata["size_bytes"] == Path(metadata["model_path"]).stat().st_size
    assert found["someone/small:latest"].columns["supports_vision"] is True
    assert "pull did not end" in found["broken:latest"].problems["path"]
    assert "names no model file" in found["evil:latest"].problems["path"]


def test_a_hugging_face_cache_becomes_models(tmp_path: Path) -> None:
    hf_cache(tmp_path, text_config={"max_position_embeddings": 1})
    hf_cache(tmp_path, "models--BAAI--bge-m3", architectures=["XLMRobertaModel"])
    gguf = hf_cache(tmp_path, "models--org--quantised-GGUF")
    for name in ("small-Q4_K_M.gguf", "big-Q8_0-00001-of-00002.gguf", "big-Q8_0-00002-of-00002.gguf"):
        (gguf / "snapshots" / "aaa" / name).write_bytes(b"x")
    (tmp_path / "models--org--nothing" / "snapshots").mkdir(parents=True)
    (tmp_path / "datasets--org--data").mkdir()
    found = {one.name: one for one in read_hf_cache(tmp_path)}
    model = found["org/tiny"].columns
    assert (model["provider"], model["model_id"], model["context_length"]) == ("vllm", "org/tiny", 8192)
    assert model["extra"] == {
        "model_path": str(tmp_path / "models--org--tiny" / "snapshots" / "aaa"),
        "source": "huggingface",
        "revision": "aaa",
        "size_bytes": 5,
        "architecture": "LlamaForCausalLM",
    }
    assert found["BAAI/bge-m3"].columns["task"] == "embed"
    ggufs = {name for name in found if name.startswith("org/quantised-GGUF")}
    assert ggufs == {"org/quantised-GGUF small-Q4_K_M", "org/quantised-GGUF big-Q8_0-00001-of-00002"}
    assert {found[name].columns["provider"] for name in ggufs} == {"llamacpp"}
    assert "did not end" in found["org/nothing"].problems["path"]
    assert "org/data" not in str(found)


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert hub() == tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "other"))
    assert hub() == tmp_path / "other"
    for read in (read_hf_cache, read_ollama):
        with pytest.raises(NotFound) as caught:
            list(read(tmp_path / "nowhere"))
        assert caught.value.remedy
