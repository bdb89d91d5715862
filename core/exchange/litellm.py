"""LiteLLM's `model_list`: each entry a model; literal keys in it are told of, and never taken over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.exchange.portable import incoming
from core.exchange.values import Item
from core.registry.import_values import Incoming
from core.registry.journal import MASK, masked
from core.registry.undo import without_masks
from core.registry.values import Provider


@dataclass(frozen=True)
class _Route:
    """What LiteLLM's prefix stands for here; a service that speaks OpenAI's API has an endpoint and a key's name."""

    provider: Provider
    endpoint: str = ""
    key: str = ""


def _service(endpoint: str, key: str) -> _Route:
    return _Route(Provider.OPENAI, endpoint, key)


_ROUTES: Mapping[str, _Route] = {
    "openai": _Route(Provider.OPENAI),
    "custom_openai": _Route(Provider.OPENAI),
    "text-completion-openai": _Route(Provider.OPENAI),
    "litellm_proxy": _Route(Provider.OPENAI),
    "anthropic": _Route(Provider.ANTHROPIC),
    "gemini": _Route(Provider.GOOGLE),
    "ollama": _Route(Provider.OLLAMA),
    "ollama_chat": _Route(Provider.OLLAMA),
    "vllm": _Route(Provider.VLLM),
    "hosted_vllm": _Route(Provider.VLLM),
    "llamafile": _Route(Provider.LLAMACPP),
    "llama_cpp": _Route(Provider.LLAMACPP),
    "lm_studio": _Route(Provider.OPENAI),
    "groq": _service("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": _service("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "deepseek": _service("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "openrouter": _service("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together_ai": _service("https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    "fireworks_ai": _service("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "perplexity": _service("https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "xai": _service("https://api.x.ai/v1", "XAI_API_KEY"),
    "cerebras": _service("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "nvidia_nim": _service("https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "deepinfra": _service("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
}
_OTHERS = frozenset(  # services of LiteLLM with APIs of their own
    {"azure", "azure_ai", "bedrock", "sagemaker", "vertex_ai", "vertex_ai_beta", "cohere", "cohere_chat", "replicate"}
    | {
        "huggingface",
        "watsonx",
        "databricks",
        "snowflake",
        "oci",
        "triton",
        "petals",
        "predibase",
        "sap",
        "aleph_alpha",
    }
)
_BY_NAME = (("claude", "anthropic"), ("gemini", "gemini"), ("gpt", "openai"), ("chatgpt", "openai"), ("o", "openai"))
_OPENAI_NAME = re.compile(r"o\d")
_TASKS = {"embedding": "embed", "rerank": "rerank", "chat": "generate", "completion": "generate"}
_ENVIRONMENT = "os.environ/"
_TAKEN = frozenset({"model", "api_base", "base_url", "api_key", "temperature", "top_p", "custom_llm_provider"})


class LiteLLM:
    """Reads entries one by one; those of the same name, between which LiteLLM spreads load, are numbered."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._seen: dict[str, int] = {}

    def read(self, item: Item) -> Incoming:
        """An entry of the list as a model."""
        entry = item.value if isinstance(item.value, Mapping) else {}
        params, info = entry.get("litellm_params"), entry.get("model_info") or {}
        name = entry.get("model_name")
        if not isinstance(params, Mapping) or not isinstance(info, Mapping) or not isinstance(name, str):
            return self._refused(item, name, "Must have model_name, and litellm_params with a model.")
        routed = _routed(params)
        if isinstance(routed, str):
            return self._refused(item, name, routed)
        notes: list[str] = []
        values = {**_fields(routed, params, info, notes), "name": self._numbered(name), "served_name": name}
        return incoming("model", values, where=self._source, line=item.line, notes=notes)

    def _refused(self, item: Item, name: object, reason: str) -> Incoming:
        shown = name if isinstance(name, str) else ""
        return Incoming(
            kind="model", name=shown, where=self._source, line=item.line, problems={"litellm_params.model": reason}
        )

    def _numbered(self, name: str) -> str:
        self._seen[name] = self._seen.get(name, 0) + 1
        return name if self._seen[name] == 1 else f"{name} ({self._seen[name]})"


def _routed(params: Mapping[str, Any]) -> tuple[_Route, str] | str:
    """Where a model is, and its id there; or why it can't be said."""
    whole = params.get("model")
    if not isinstance(whole, str) or not whole:
        return "Required."
    if "*" in whole:
        return "A wildcard stands for many models: add those that you use."
    prefix, slash, rest = whole.partition("/")
    named = params.get("custom_llm_provider")
    if isinstance(named, str) and named:
        prefix, rest = named, whole.removeprefix(f"{named}/")
    elif not slash or prefix not in _ROUTES:
        known = prefix if slash and (prefix in _OTHERS or not params.get("api_base")) else _guess(whole, params)
        prefix, rest = known, whole
    route = _ROUTES.get(prefix)
    if route is None:
        return "Its provider is none that Modelyard talks to: an OpenAI-compatible endpoint of it would be one."
    return route, rest


def _guess(model: str, params: Mapping[str, Any]) -> str:
    """A name without a provider: OpenAI's, Anthropic's and Google's are known by their beginnings."""
    for start, provider in _BY_NAME:
        if model.startswith(start) and (start != "o" or _OPENAI_NAME.match(model)):
            return provider
    return "openai" if params.get("api_base") else ""


def _fields(
    routed: tuple[_Route, str], params: Mapping[str, Any], info: Mapping[str, Any], notes: list[str]
) -> dict[str, Any]:
    route, model_id = routed
    endpoint = params.get("api_base") or params.get("base_url")
    given = {
        "provider": route.provider.value,
        "model_id": info.get("base_model") if info.get("base_model") and not model_id else model_id,
        "endpoint": _endpoint(endpoint, notes) if endpoint else route.endpoint,
        "api_key_ref": _key(params.get("api_key"), notes) or ("" if endpoint else route.key),
        "task": _TASKS.get(str(info.get("mode"))),
        "context_length": _count(info.get("max_input_tokens") or info.get("max_tokens")),
        "max_output_tokens": _count(info.get("max_output_tokens") or params.get("max_tokens")),
        "default_temperature": params.get("temperature"),
        "default_top_p": params.get("top_p"),
        "supports_vision": info.get("supports_vision"),
        "supports_tools": info.get("supports_function_calling"),
        "metadata": _rest(params, info, notes),
    }
    return {name: value for name, value in given.items() if value is not None}


def _endpoint(value: object, notes: list[str]) -> object:
    """An address by its environment variable is not known here."""
    if isinstance(value, str) and value.startswith(_ENVIRONMENT):
        notes.append(f"api_base is in the environment variable {value.removeprefix(_ENVIRONMENT)}: fill it in.")
        return ""
    return value


def _key(value: object, notes: list[str]) -> str:
    """The name of the key; a key itself is left where it is."""
    if isinstance(value, str) and value.startswith(_ENVIRONMENT):
        return value.removeprefix(_ENVIRONMENT)
    if isinstance(value, str) and value and value.lower() not in ("none", "dummy", "fake", "not-needed"):
        notes.append("api_key holds a key itself, which is not taken over: modelyard keys set, then name it.")
    return ""


def _count(value: object) -> int | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None


def _rest(params: Mapping[str, Any], info: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """What has no field here is kept as metadata, but for secrets."""
    kept = {name: value for name, value in params.items() if name not in _TAKEN}
    found = {key: value for key, value in (("litellm_params", kept), ("model_info", dict(info))) if value}
    hidden = masked("metadata", found)
    if MASK in str(hidden):
        notes.append("Values of litellm_params that look like secrets are not taken over.")
        found = without_masks(hidden)
    return {"litellm": found} if found else {}
