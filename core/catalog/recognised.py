"""What an installed model is: its offer in the catalog, or what its names tell of family and type."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.catalog.weights import Installed, Weights, installed_as, origin

_FAMILIES = (  # what was made of another family stands before it
    ("deepseek", r"deepseek"),
    ("flux", r"\bflux|flux[._-]?[12]"),
    ("zimage", r"z[._-]?image"),
    ("sdxl", r"sdxl|sd[._-]xl|stable[._-]diffusion[._-]xl"),
    ("qwen", r"qwen|qwq"),
    ("llama", r"llama"),
    ("mistral", r"mistral|mixtral|ministral|devstral|pixtral|codestral"),
    ("gemma", r"gemma"),
    ("gpt-oss", r"gpt[._-]oss"),
    ("glm", r"\bglm"),
    ("phi", r"\bphi[._-]?\d"),
    ("kimi", r"kimi"),
    ("granite", r"granite"),
    ("nemotron", r"nemotron"),
    ("smollm", r"smol"),
    ("minimax", r"minimax"),
)
_TYPES = (
    ("adapter", r"lora|adapter"),
    ("vae", r"\bvae|[._/-]vae|\bae\.safetensors"),
    ("encoder", r"text[._-]encoder|clip[._-][lg]\b|t5xxl"),
    ("reranker", r"rerank"),
    ("embedding", r"embed|\bbge|\be5\b|minilm"),
    ("image", r"flux|z[._-]?image|sdxl|stable[._-]diffusion|qwen[._-]?image|/transformer/|/unet/"),
    ("vision", r"\bvl\b|[._-]vl[._-]|vision|mmproj|pixtral|smolvlm"),
)
_OTHER = "other"


@dataclass(frozen=True)
class Kind:
    """Words to filter by; "other" and "text" where no name tells."""

    family: str
    type: str


class Recogniser:
    """Asks the catalog first, then names."""

    def __init__(self, offers: Iterable[Weights]) -> None:
        self._offers: dict[str, list[Weights]] = {}
        for offer in offers:
            self._offers.setdefault(origin(offer.source), []).append(offer)

    def offer_of(self, model: Installed) -> Weights | None:
        """What it is in the catalog; of several offers of one source the one with the most of its files."""
        known = self._offers.get(origin(model.source), ())
        found = [one for one in known if installed_as(one, [model]) is not None]
        return max(found, key=lambda one: len(one.files), default=None)

    def kind_of(self, model: Installed) -> Kind:
        """Its family and type."""
        if (offer := self.offer_of(model)) is not None:
            return Kind(offer.family, offer.type)
        names = " ".join((model.source, *(str(file["path"]) for file in model.files[:20]))).lower()
        return Kind(_first(_FAMILIES, names, _OTHER), _first(_TYPES, names, "text"))


def _first(words: Iterable[tuple[str, str]], names: str, default: str) -> str:
    return next((word for word, pattern in words if re.search(pattern, names)), default)
