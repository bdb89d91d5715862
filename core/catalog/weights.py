"""Weights that can be fetched (D1): what the catalog offers, found by id, and whether they are installed."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from core.catalog.weight_fields import size_of
from core.errors import NotFound
from core.registry.naming import is_hugging_face_id
from core.registry.values import DEPLOYABLE
from core.text import clean_line

if TYPE_CHECKING:
    from core.catalog.values import Catalog, Entry

PREFIX = "catalog:"
_OTHER = ("/", ".", "~")  # paths
_TASKS = {"embed": "embedding", "rerank": "reranker", "classify": "text"}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One offer; `size` is what the catalog knows in bytes, None if nothing: the source tells the real one.

    `gated` is "", "auto" or "manual". `patterns` choose files of the source, none means all; `files` are the names of
    the weights themselves, where they are known. `as_of` is the date of these facts, `catalog` "builtin" or a file.
    """

    id: str
    name: str
    family: str
    type: str
    source: str
    patterns: tuple[str, ...] = ()
    size: int | None = None
    gated: str = ""
    licence: str = ""
    files: tuple[str, ...] = ()
    parameters: str = ""
    quantization: str = ""
    notes: str = ""
    as_of: str = ""
    catalog: str = ""

    @property
    def text(self) -> str:
        """What a search looks at, folded."""
        fields = (self.id, self.name, self.family, self.type, self.source, self.quantization, self.licence)
        return " ".join(fields).casefold()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class Installed(Protocol):
    """As `installed-models.json` tells of a model: where it came from, and its files with their paths."""

    @property
    def source(self) -> str: ...
    @property
    def files(self) -> Sequence[Mapping[str, Any]]: ...


_I = TypeVar("_I", bound=Installed)


def weights_of(found: Catalog) -> tuple[Weights, ...]:
    """What is offered as weights, then the models with open weights that no such offer covers."""
    named = [_weights(entry) for entry in found.weights]
    covered = {origin(one.source) for one in named} | {one.id for one in named}
    rest = (_of_model(entry) for entry in found.entries)
    return (*named, *(one for one in rest if one is not None and not {one.source, one.id} & covered))


def find(weights: Iterable[Weights], text: str) -> Weights | None:
    """The offer that a source's text names by its id, with or without `catalog:`; None for another kind of text.

    Raises:
        NotFound: it can only be an id, and there is none such.
    """
    if text.startswith(_OTHER) or (":" in text and not text.startswith(PREFIX)):
        return None
    wanted = text.removeprefix(PREFIX).casefold()
    known = {one.id: one for one in weights}
    if wanted in known:
        return known[wanted]
    close = get_close_matches(wanted, known, n=3)
    if "/" in text and is_hugging_face_id(text):
        close = [f"hf:{text}"]
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    raise NotFound(
        f"The catalog offers no {clean_line(wanted)[:100]!r}.",
        remedy=f"{meant}modelyard download catalog shows its ids; repositories begin with hf:, paths with ./ or /.",
    )


def origin(source: str) -> str:
    """Where weights come from, the same of an offer and of what was installed from it: revisions are left out."""
    if source.startswith("hf:"):
        return source.partition("@")[0]
    return f"local:{source}" if source.startswith("/") else source


def installed_as(weights: Weights, installed: Iterable[_I]) -> _I | None:
    """The installed model that these weights are, if any: the same source, whatever its revision, and their files."""
    wanted = origin(weights.source)
    return next((one for one in installed if origin(one.source) == wanted and _has(weights, one)), None)


def _has(weights: Weights, model: Installed) -> bool:
    if not weights.patterns:
        return True
    paths = [str(file["path"]) for file in model.files]
    return all(any(_means(pattern, path) for path in paths) for pattern in weights.files or weights.patterns)


def _means(pattern: str, path: str) -> bool:
    """Whether a pattern of the source means a path, which begins with the model's folder here."""
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}")


def _weights(entry: Entry) -> Weights:
    values = entry.values
    files = tuple(values.get("files", ()))
    texts = ("name", "type", "source", "licence", "parameters", "quantization", "notes")
    return Weights(
        id=entry.id,
        **{name: values[name] for name in texts if name in values},
        family=str(values["family"]).lower(),
        patterns=tuple(values.get("patterns", ())) or tuple(map(glob.escape, files)),
        size=size_of(values.get("size")),
        gated=_gate(values.get("gated", "")),
        files=files,
        as_of=entry.as_of,
        catalog=entry.catalog,
    )


def _gate(value: object) -> str:
    """Where it is only known that there is one, that people decide."""
    return value if isinstance(value, str) else "manual" if value else ""


def _of_model(entry: Entry) -> Weights | None:
    """A model that can be deployed from its repository on the Hub."""
    values = entry.values
    repository = str(values.get("hugging_face_id") or values["model_id"])
    if values["provider"] not in DEPLOYABLE or not is_hugging_face_id(repository):
        return None
    files = values.get("files", ())
    names = tuple(str(file["name"]) for file in files)
    sizes = [file.get("size") for file in files]
    return Weights(
        id=entry.id,
        name=str(values["name"]),
        family=str(values.get("family", "other")).lower(),
        type=_type(values),
        source=f"hf:{repository}",
        patterns=tuple(values.get("patterns", ())) or tuple(map(glob.escape, names)),
        size=values.get("size") or (sum(sizes) if files and None not in sizes else None),
        gated=_gate(values.get("gated", "")),
        licence=str(values.get("licence", "")),
        files=names,
        parameters=str(values.get("parameters", "")),
        notes=str(values.get("notes", "")),
        as_of=entry.as_of,
        catalog=entry.catalog,
    )


def _type(values: Mapping[str, Any]) -> str:
    task = str(values.get("task", "generate"))
    return _TASKS.get(task, "vision" if "vision" in values.get("capabilities", ()) else "text")


def choose(weights: Iterable[Weights], *, search: str = "", family: str = "", kind: str = "") -> Iterator[Weights]:
    """Those of a family and a type that hold all words."""
    words = search.casefold().split()
    for one in weights:
        if family in {"", one.family} and kind in {"", one.type} and all(word in one.text for word in words):
            yield one
