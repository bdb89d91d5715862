"""The built-in catalog and the site's, laid over one another: which files, in which order, who wins."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from core.catalog.document import Document, RawEntry, read_document
from core.catalog.fields import MODELS, Kind
from core.catalog.reader import SUFFIXES
from core.catalog.values import BUILTIN, Catalog, Entry, Problem
from core.catalog.weight_fields import WEIGHTS

DATA = Path(__file__).parent / "data"
WEIGHT_DATA = DATA / "weights"
SITE = Path("/etc/modelyard")
NONE = "none"
_OPEN = "Is left out, since any user of this machine can change it: chmod o-w {}"


class Files:
    """The contents of the files that make up the catalog now, read once; `chosen` is the setting."""

    def __init__(self, chosen: str) -> None:
        self.builtin: list[tuple[str, bytes]] = []
        self.site: list[tuple[str, bytes]] = []
        self.problems: list[Problem] = []
        if chosen != NONE:
            self._read_all(chosen)

    def _read_all(self, chosen: str) -> None:
        paths = (*_in_folder(DATA), *_in_folder(WEIGHT_DATA))
        self.builtin = [(path.relative_to(DATA).as_posix(), path.read_bytes()) for path in paths]
        for path in self._site_paths(chosen):
            try:
                if open_to_all(path):
                    self.problems.append(Problem(file=str(path), message=_OPEN.format(path)))
                else:
                    self.site.append((str(path), path.read_bytes()))
            except OSError as error:
                self.problems.append(Problem(file=str(path), message=f"Can't be read: {error.strerror}."))

    def _site_paths(self, chosen: str) -> list[Path]:
        if not chosen:
            single = [path for path in self._listed(SITE) if path.stem == "catalog" and path.is_file()]
            return [*single, *self._listed(SITE / "catalog.d")]
        path = Path(chosen).expanduser()
        return self._listed(path) if path.is_dir() else [path]

    def _listed(self, folder: Path) -> list[Path]:
        try:
            return _in_folder(folder) if folder.is_dir() else []
        except OSError as error:
            self.problems.append(Problem(file=str(folder), message=f"Can't be listed: {error.strerror}."))
            return []

    def fingerprint(self) -> str:
        """Another one whenever a file, its name or what is wrong with reading it is another."""
        from hashlib import sha256

        digest = sha256(b"2")  # the version of how entries become records
        for name, content in (*self.builtin, *self.site, *((one.text, b"") for one in self.problems)):
            digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
            digest.update(content)
        return digest.hexdigest()


def open_to_all(path: Path) -> bool:
    """Whether any user could change the file: its endpoints are sent the keys of this one."""
    mode, above = path.stat().st_mode, path.parent.stat().st_mode
    return bool(mode & stat.S_IWOTH) or bool(above & stat.S_IWOTH and not above & stat.S_ISVTX)


def _in_folder(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def load(files: Files) -> Catalog:
    """Everything that holds; the site's entries override the built-in ones of the same id, field by field."""
    builtin = [_built_in(content, name) for name, content in files.builtin]
    site = [read_document(content, name) for name, content in files.site]
    models, weights = _Merging(MODELS), _Merging(WEIGHTS)
    for merging in (models, weights):
        merging.lay_built_in(builtin, site)
    problems = [*files.problems, *_told(builtin), *_hide(site, models, weights), *_told(site)]
    for merging in (models, weights):
        merging.lay(site)
    entries = models.named_once()
    problems += [*models.problems, *weights.problems]
    names = tuple(document.file for document in (*builtin, *site))
    return Catalog(entries=entries, weights=weights.entries, problems=tuple(problems), files=names)


def _told(documents: Iterable[Document]) -> list[Problem]:
    return [problem for document in documents for problem in document.problems]


def _hide(site: Iterable[Document], *mergings: _Merging) -> list[Problem]:
    """Take single entries of the built-in catalog away; what can't be is told."""
    problems = []
    for document in site:
        for entry_id, line in document.hide:
            hidden = [merging.hide(entry_id) for merging in mergings]
            if not any(hidden):
                message = f"There is no entry {entry_id} to hide."
                problems.append(Problem(file=document.file, line=line, field="hide", message=message))
    return problems


@lru_cache(maxsize=64)
def _built_in(content: bytes, name: str) -> Document:
    """Our own files don't change while the program runs, and are asked for again and again."""
    return read_document(content, name, trusted=True)


def check_file(path: Path) -> Catalog:
    """One file on its own, as if it were the site's over the built-in catalog."""
    files = Files(str(path))
    found = load(files)
    own = {name for name, _ in files.site} | {str(path)}
    return Catalog(
        entries=tuple(entry for entry in found.entries if entry.file in own),
        weights=tuple(entry for entry in found.weights if entry.file in own),
        problems=tuple(one for one in found.problems if one.file in own),
        files=tuple(own),
    )


class _Merging:
    """Entries of one kind by id, as file after file is laid over them."""

    def __init__(self, kind: Kind) -> None:
        self.problems: list[Problem] = []
        self._kind = kind
        self._entries: dict[str, Entry] = {}
        self._said: dict[str, str] = {}  # id → where this layer says it

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What holds so far, in the order in which it was said first."""
        return tuple(self._entries.values())

    def lay_built_in(self, builtin: Iterable[Document], site: Iterable[Document]) -> None:
        """The lowest layer, unless a file of the site's replaces it."""
        if not any(self._kind.name in document.replace for document in site):
            self.lay(builtin, catalog=BUILTIN)

    def lay(self, documents: Iterable[Document], *, catalog: str = "") -> None:
        """One layer: an id may stand in it once."""
        self._said = {}
        for document in documents:
            for raw in document.section(self._kind).entries:
                self._add(raw, document, catalog or document.file)

    def hide(self, entry_id: str) -> bool:
        """Take an entry of the layers so far away, if there is one."""
        return self._entries.pop(entry_id, None) is not None

    def _add(self, raw: RawEntry, document: Document, catalog: str) -> None:
        if before := self._said.get(raw.id):
            self._say(raw, document, "id", f"{raw.id} stands in {before} already.")
            return
        below = self._entries.get(raw.id)
        given = {name: marked.plain for name, marked in raw.fields.items()}
        defaults_of = document.section(self._kind).defaults
        defaults = {} if below else {name: marked.plain for name, marked in defaults_of.items()}
        values = {**(below.values if below else defaults), **given}
        if missing := [name for name in self._kind.required if not values.get(name)]:
            self._say(raw, document, missing[0], "Required.")
            return
        self._said[raw.id] = f"{document.file}:{raw.line}"
        as_of = document.as_of or (below.as_of if below else "")
        self._entries[raw.id] = Entry(
            id=raw.id, values=values, catalog=catalog, file=document.file, line=raw.line, as_of=as_of
        )

    def _say(self, raw: RawEntry, document: Document, field: str, message: str) -> None:
        self.problems.append(Problem(file=document.file, line=raw.line, field=field, message=message))

    def named_once(self) -> tuple[Entry, ...]:
        """The entries; of two with one name the site's or the later is left out, as names find models."""
        names: dict[str, Entry] = {}
        for entry in sorted(self._entries.values(), key=lambda entry: entry.catalog != BUILTIN):
            name = str(entry.values["name"])
            first = names.setdefault(name.casefold(), entry)
            if first is not entry:
                message = f"{name} is the name of {first.id}, too."
                self.problems.append(Problem(file=entry.file, line=entry.line, field="name", message=message))
        return tuple(names.values())
