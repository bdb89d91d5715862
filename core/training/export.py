"""What a training tool is told of an installed model (D10): a config of AI Toolkit whose base model is the files here.

The keys are those of the examples that AI Toolkit comes with (github.com/ostris/ai-toolkit, config/examples).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.catalog.weights import Weights
from core.errors import FileProblem, InvalidInput, NotAllowed, Refused
from core.files.installed import InstalledModel
from core.files.model_files import option
from core.registry.values import LOCAL_HOST
from core.text import clean_line
from core.training.families import FAMILIES, Family, family_named
from core.training.here import VAE, Here, asked_of, is_folder

if TYPE_CHECKING:
    from core.catalog.service import CatalogService
    from core.files.model_files import ModelFiles

TOOLS = ("ai-toolkit",)
_NOT_A_BASE = {"adapter": "an adapter", "vae": "a VAE", "encoder": "a text encoder"}
_LANGUAGE = {"text", "vision", "embedding", "reranker", "audio"}
_SLUG = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A config, and what it was made of; `notes` tell what the trainer will fetch by itself or may not like."""

    tool: str
    model: str
    family: str
    base: str
    config: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As the trainer reads it."""
        import yaml

        return str(yaml.safe_dump(dict(self.config), sort_keys=False, allow_unicode=True, width=1000))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        parts = ("tool", "model", "family", "base", "config", "notes")
        return {name: getattr(self, name) for name in parts}


async def prepared(files: ModelFiles, catalog: CatalogService, model: InstalledModel, **said: str) -> Recipe:
    """The config for a model of a host, with paths of that host; `said` as `recipe` takes it.

    Raises:
        ModelyardError: as `recipe` does, or the host can't be asked.
    """
    known = [*await files.installed(), *await files.stores()]
    sizes = await files.sizes(asked_of(files.folder, model, known))
    here = Here(folder=files.folder, installed=known, offers=await catalog.weights(), sizes=sizes)
    return await asyncio.to_thread(recipe, here, model, host=files.host, **said)


def recipe(
    here: Here,
    model: InstalledModel,
    *,
    family: str = "",
    name: str = "",
    dataset: str = "",
    host: str = LOCAL_HOST,
) -> Recipe:
    """The config for training on an installed model; `dataset` is the folder of pictures there.

    Raises:
        FileProblem: files of it are missing or short. NotAllowed: it is no base model that the tool can load.
        InvalidInput: its family is not known, or the name can't be one.
    """
    offer = here.offer_of(model)
    chosen = _family(model, offer, family)
    if gone := here.missing(model):
        raise _gone(model, gone, host)
    base = _base(here, model, offer, chosen)
    notes: list[str] = []
    part = {"name_or_path": base, **chosen.model, **_extras(here, base, chosen, notes), **_adapter(here, chosen, notes)}
    config = _config(chosen, part, _job_name(model, name), dataset)
    return Recipe(tool=TOOLS[0], model=model.path, family=chosen.name, base=base, config=config, notes=tuple(notes))


def write(made: Recipe, out: Path, *, force: bool = False) -> None:
    """Write it whole or not at all.

    Raises:
        Refused: the file is there and `force` is not said. FileProblem: it can't be written.
    """
    fresh = out.with_name(f".{out.name}.{os.getpid()}.new")
    try:
        fresh.write_text(made.text, encoding="utf-8")
        try:
            if force:
                fresh.replace(out)
            else:
                os.link(fresh, out)
        finally:
            fresh.unlink(missing_ok=True)
    except FileExistsError as error:
        raise Refused(f"{out} is there already.", remedy="--force writes over it; or choose another name.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileProblem(f"{out} can't be written: {reason}.", remedy="Choose another file.") from error


def _gone(model: InstalledModel, gone: Sequence[str], host: str) -> FileProblem:
    listed = ", ".join(clean_line(path) for path in gone[:3]) + (", …" if len(gone) > 3 else "")
    return FileProblem(
        f"{len(gone)} of {len(model.files)} files of {clean_line(model.path)} are missing or not whole: {listed}.",
        cause="They were moved, deleted or changed after they were installed.",
        remedy=f"modelyard files verify --repair {clean_line(model.path)}{option(host)} fetches them again.",
    )


def _family(model: InstalledModel, offer: Weights | None, named: str) -> Family:
    """As it is said, as the catalog knows it, or by its names."""
    if offer is not None and offer.type in _NOT_A_BASE:
        raise NotAllowed(
            f"{clean_line(model.path)} is {_NOT_A_BASE[offer.type]}, not a base model.",
            remedy="Choose the model that it is for.",
        )
    if named and named not in FAMILIES:
        raise InvalidInput({"family": f"must be one of {', '.join(FAMILIES)}"})
    if named:
        return FAMILIES[named]
    if offer is not None and offer.type in _LANGUAGE:
        raise NotAllowed(
            f"{clean_line(model.path)} is not a model for images.", cause="AI Toolkit trains models for images alone."
        )
    hints = (model.source, model.title, model.path, *(str(file["path"]) for file in model.files))
    found = family_named(" ".join((offer.id if offer else "", *hints)))
    if found is None:
        raise InvalidInput(
            {"family": f"what {clean_line(model.path)} is can't be told from its names"},
            remedy=f"Say its family (--family on a command line): {', '.join(FAMILIES)}.",
        )
    return found


def _base(here: Here, model: InstalledModel, offer: Weights | None, family: Family) -> str:
    """The folder, or the one file, that the trainer loads."""
    if family.file:
        named = (here.folder / str(file["path"]) for file in model.files)
        if found := next((path for path in named if path.name == family.file), None):
            return str(found.parent)
        raise NotAllowed(f"{clean_line(model.path)} has no {family.file}.", cause="AI Toolkit looks for this file.")
    if is_folder(model):
        return str(here.folder / model.path)
    files = [str(file["path"]) for file in model.files if str(file["path"]).endswith(".safetensors")]
    if offer is not None and len(files) > 1:
        files = [path for path in files if any(path.endswith(name) for name in offer.files[:1])] or files
    if len(files) == 1:
        return str(here.folder / files[0])
    what = "no safetensors file and no diffusers folder" if not files else f"{len(files)} safetensors files"
    raise NotAllowed(
        f"{clean_line(model.path)} holds {what}.",
        cause="AI Toolkit loads one safetensors file, or a folder with transformer or unet in it.",
        remedy="Install the model in one of these forms; modelyard download catalog --type image shows some.",
    )


def _extras(here: Here, base: str, family: Family, notes: list[str]) -> dict[str, str]:
    """Where a single file's text encoder and VAE come from."""
    if family.vae and str(here.folder / base / VAE) not in here.sizes:
        notes.append(f"The VAE is not beside the file: AI Toolkit fetches that of {family.vae} by itself.")
        return {"vae_path": family.vae}
    if not base.endswith(".safetensors") or not family.extras:
        return {}
    notes.append("The file is the transformer alone: older versions of AI Toolkit load nothing but diffusers folders.")
    if known := here.model_of(family.extras):
        return {"extras_name_or_path": str(here.folder / known.path)}
    notes.append(f"Text encoder and VAE are not installed: AI Toolkit fetches those of {family.extras} by itself.")
    return {"extras_name_or_path": family.extras}


def _adapter(here: Here, family: Family, notes: list[str]) -> dict[str, str]:
    """The adapter that a distilled model is trained with."""
    if not family.adapter:
        return {}
    repository, name = family.adapter
    if path := here.file_of(repository, name):
        return {"assistant_lora_path": path}
    notes.append(f"The training adapter is not installed: AI Toolkit fetches {repository} by itself.")
    return {"assistant_lora_path": f"{repository}/{name}" if family.adapter_by_file else repository}


def _job_name(model: InstalledModel, name: str) -> str:
    if name and (_SLUG.search(name) or name.startswith((".", "-"))):
        raise InvalidInput({"name": "letters, digits, dots, dashes and underscores make a name"})
    last = Path(model.title if model.store else model.path).name.removesuffix(".safetensors")
    return name or f"{_SLUG.sub('-', last).strip('.-') or 'my'}-lora"


def _config(family: Family, model: Mapping[str, Any], name: str, dataset: str) -> dict[str, Any]:
    process = {
        "type": "sd_trainer",
        "training_folder": "output",
        "device": "cuda:0",
        "network": {"type": "lora", "linear": 16, "linear_alpha": 16},
        "save": {"dtype": "float16", "save_every": 250, "max_step_saves_to_keep": 4},
        "datasets": [_dataset(dataset)],
        "train": {**_TRAIN, **family.train},
        "model": dict(model),
        "sample": {**_SAMPLE, **family.sample},
    }
    return {
        "job": "extension",
        "config": {"name": name, "process": [process]},
        "meta": {"name": "[name]", "version": "1.0"},
    }


def _dataset(folder: str) -> dict[str, Any]:
    return {
        "folder_path": folder or "/path/to/images",
        "caption_ext": "txt",
        "caption_dropout_rate": 0.05,
        "cache_latents_to_disk": True,
        "resolution": [512, 768, 1024],
    }


_TRAIN: Mapping[str, Any] = {
    "batch_size": 1,
    "steps": 2000,
    "gradient_accumulation_steps": 1,
    "train_unet": True,
    "train_text_encoder": False,
    "gradient_checkpointing": True,
    "noise_scheduler": "flowmatch",
    "optimizer": "adamw8bit",
    "lr": 0.0001,
    "dtype": "bf16",
}
_SAMPLE: Mapping[str, Any] = {
    "sampler": "flowmatch",
    "sample_every": 250,
    "width": 1024,
    "height": 1024,
    "prompts": ["a photo of a lighthouse at dusk", "a sign that says 'hello'"],
    "neg": "",
    "seed": 42,
    "walk_seed": True,
    "guidance_scale": 4,
    "sample_steps": 20,
}
