"""What of a models folder a training can use: models whose files are whole, and what the catalog knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.catalog.recognised import Recogniser
from core.catalog.weights import Weights, origin
from core.files.installed import InstalledModel

_PARTS = ("transformer/", "unet/")  # of the folders that diffusers loads


@dataclass(frozen=True, kw_only=True)
class Here:
    """What is in a models folder, and what the catalog knows of it."""

    folder: Path
    installed: Sequence[InstalledModel]
    offers: Sequence[Weights]

    def offer_of(self, model: InstalledModel) -> Weights | None:
        """What it is in the catalog."""
        return Recogniser(self.offers).offer_of(model)

    def model_of(self, source: str) -> InstalledModel | None:
        """The installed folder of a repository that diffusers can load."""
        for model in self.installed:
            is_it = origin(model.source) == f"hf:{source}" and is_folder(model)
            if is_it and not missing(self.folder, model):
                return model
        return None

    def file_of(self, source: str, name: str) -> str:
        """An installed file of a repository, by its name; "" where there is none."""
        for model in self.installed:
            for file in model.files:
                path = self.folder / str(file["path"])
                if origin(model.source) == f"hf:{source}" and path.name == name and path.is_file():
                    return str(path)
        return ""


def missing(folder: Path, model: InstalledModel) -> list[str]:
    """Files that are not there, or not with their size; hashes are for `files verify`."""
    return [str(file["path"]) for file in model.files if _size(folder / str(file["path"])) != int(file["size"])]


def is_folder(model: InstalledModel) -> bool:
    """Whether it is laid out as diffusers loads it."""
    names = [_inside(model, str(file["path"])) for file in model.files]
    return any(name.startswith(part) for name in names for part in _PARTS)


def _inside(model: InstalledModel, path: str) -> str:
    return path.removeprefix(f"{model.path}/")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
