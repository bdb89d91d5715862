"""What of a models folder a training can use: models whose files are whole, and what the catalog knows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from core.catalog.recognised import Recogniser
from core.catalog.weights import Weights, origin
from core.files.installed import InstalledModel
from core.training.families import FAMILIES

_PARTS = ("transformer/", "unet/")  # of the folders that diffusers loads
VAE = "ae.safetensors"  # where a family's weights are looked for by a name, the VAE beside them is this


@dataclass(frozen=True, kw_only=True)
class Here:
    """What is in a models folder, and what the catalog knows of it; `sizes` are of files there, by whole path."""

    folder: PurePath
    installed: Sequence[InstalledModel]
    offers: Sequence[Weights]
    sizes: Mapping[str, int]

    def offer_of(self, model: InstalledModel) -> Weights | None:
        """What it is in the catalog."""
        return Recogniser(self.offers).offer_of(model)

    def missing(self, model: InstalledModel) -> list[str]:
        """Files that are not there, or not with their size."""
        return missing(self.folder, model, self.sizes.get)

    def model_of(self, source: str) -> InstalledModel | None:
        """The installed folder of a repository that diffusers can load."""
        for model in self.installed:
            if origin(model.source) == f"hf:{source}" and is_folder(model) and not self.missing(model):
                return model
        return None

    def file_of(self, source: str, name: str) -> str:
        """An installed file of a repository, by its name; "" where there is none."""
        for model in self.installed:
            for file in model.files:
                path = self.folder / str(file["path"])
                if origin(model.source) == f"hf:{source}" and path.name == name and str(path) in self.sizes:
                    return str(path)
        return ""


def asked_of(folder: PurePath, model: InstalledModel, installed: Iterable[InstalledModel]) -> list[str]:
    """The files that a config for this model may depend on, by whole path."""
    beside = {f"hf:{name}" for one in FAMILIES.values() for name in (one.extras, *(one.adapter or ())[:1]) if name}
    wanted = [model, *(one for one in installed if origin(one.source) in beside)]
    paths = [folder / str(file["path"]) for one in wanted for file in one.files]
    return list(dict.fromkeys(str(path) for path in (*paths, *(path.parent / VAE for path in paths))))


def missing(folder: PurePath, model: InstalledModel, size_of: Callable[[str], int | None] | None = None) -> list[str]:
    """Files that are not there, or not with their size; hashes are for `files verify`. Looks at the disk here."""
    size_of = size_of or _size
    return [str(file["path"]) for file in model.files if size_of(str(folder / str(file["path"]))) != int(file["size"])]


def is_folder(model: InstalledModel) -> bool:
    """Whether it is laid out as diffusers loads it."""
    names = [_inside(model, str(file["path"])) for file in model.files]
    return any(name.startswith(part) for name in names for part in _PARTS)


def _inside(model: InstalledModel, path: str) -> str:
    return path.removeprefix(f"{model.path}/")


def _size(name: str) -> int | None:
    path = Path(name)
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
