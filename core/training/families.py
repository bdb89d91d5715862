"""The families of image models that AI Toolkit trains, and what each wants in its config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_QUANTIZED: Mapping[str, Any] = {"quantize": True, "quantize_te": True}


@dataclass(frozen=True, kw_only=True)
class Family:
    """`words` recognise it in a name; `extras` is the repository whose encoders and VAE belong to a single file.

    `adapter` is the repository and file of the adapter that a distilled model is trained with. `file`: the
    trainer looks for the weights by this name, and for the VAE beside them, in the folder that it is given.
    """

    name: str
    words: str
    model: Mapping[str, Any]
    train: Mapping[str, Any] = field(default_factory=dict)
    sample: Mapping[str, Any] = field(default_factory=dict)
    extras: str = ""
    adapter: tuple[str, str] | None = None
    adapter_by_file: bool = False
    file: str = ""
    vae: str = ""  # the repository of the VAE that is not beside the file


_ALL = (
    Family(
        name="flux2",
        words=r"flux[._-]?2(?!\d)",
        model={"arch": "flux2", **_QUANTIZED},
        file="flux2-dev.safetensors",
        vae="black-forest-labs/FLUX.2-dev",
    ),
    Family(
        name="flux-schnell",
        words=r"flux.*schnell",
        model={"arch": "flux", "is_flux": True, "quantize": True},
        sample={"guidance_scale": 1, "sample_steps": 4},
        extras="black-forest-labs/FLUX.1-schnell",
        adapter=("ostris/FLUX.1-schnell-training-adapter", "pytorch_lora_weights.safetensors"),
    ),
    Family(
        name="flux",
        words=r"flux",
        model={"arch": "flux", "is_flux": True, "quantize": True},
        extras="black-forest-labs/FLUX.1-dev",
    ),
    Family(
        name="zimage-de-turbo",
        words=r"z[._-]?image.*de[._-]?turbo",
        model={"arch": "zimage", **_QUANTIZED, "qtype": "qfloat8", "qtype_te": "qfloat8"},
        train={"timestep_type": "weighted"},
        sample={"guidance_scale": 3, "sample_steps": 25},
        extras="Tongyi-MAI/Z-Image-Turbo",
    ),
    Family(
        name="zimage-turbo",
        words=r"z[._-]?image.*turbo",
        model={"arch": "zimage", **_QUANTIZED, "qtype": "qfloat8", "qtype_te": "qfloat8"},
        train={"timestep_type": "weighted"},
        sample={"guidance_scale": 1, "sample_steps": 8},
        extras="Tongyi-MAI/Z-Image-Turbo",
        adapter=("ostris/zimage_turbo_training_adapter", "zimage_turbo_training_adapter_v2.safetensors"),
        adapter_by_file=True,
    ),
    Family(
        name="zimage",
        words=r"z[._-]?image",
        model={"arch": "zimage", **_QUANTIZED, "qtype": "qfloat8", "qtype_te": "qfloat8"},
        train={"timestep_type": "weighted"},
        sample={"guidance_scale": 4, "sample_steps": 30},
        extras="Tongyi-MAI/Z-Image",
    ),
    Family(
        name="qwen_image",
        words=r"qwen[._-]?image",
        model={"arch": "qwen_image", **_QUANTIZED, "qtype": "qfloat8", "qtype_te": "qfloat8", "low_vram": True},
        train={"timestep_type": "weighted", "cache_text_embeddings": True},
        sample={"guidance_scale": 3, "sample_steps": 25},
        extras="Qwen/Qwen-Image",
    ),
    Family(
        name="sdxl",
        words=r"sdxl|sd[._-]?xl|stable[._-]diffusion[._-]xl",
        model={"arch": "sdxl", "is_xl": True},
        train={"noise_scheduler": "ddpm"},
        sample={"sampler": "ddpm", "guidance_scale": 7, "sample_steps": 25},
    ),
)
FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}


def family_named(text: str) -> Family | None:
    """The first whose words stand in a text made of names; the narrower ones come before the wider."""
    return next((family for family in _ALL if re.search(family.words, text, re.IGNORECASE)), None)
