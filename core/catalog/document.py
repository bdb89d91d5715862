"""One catalog file: its head, its defaults and its entries, each checked; what is wrong is left out and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.catalog.fields import MODELS, Kind, check_date, check_entry, check_id, unknown
from core.catalog.reader import Marked, Unreadable, read_marked
from core.catalog.values import Problem
from core.catalog.weight_fields import WEIGHTS

KINDS = (MODELS, WEIGHTS)
_KEYS = ("family", "as_of", "replace", "hide", "defaults", *(kind.name for kind in KINDS))


@dataclass(frozen=True, kw_only=True)
class RawEntry:
    """An entry's own fields, before the defaults of its file and the entry that it overrides are laid below."""

    id: str
    line: int
    fields: Mapping[str, Marked]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One list of a file, and the fields that hold of all its entries."""

    defaults: Mapping[str, Marked] = field(default_factory=dict)
    entries: tuple[RawEntry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Document:
    """What holds of one file; `replace` names the built-in lists that it leaves out, `hide` single entries of them."""

    file: str
    as_of: str = ""
    replace: frozenset[str] = frozenset()
    hide: tuple[tuple[str, int], ...] = ()
    sections: Mapping[str, Section] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def section(self, kind: Kind) -> Section:
        """Its entries of one kind."""
        return self.sections.get(kind.name) or Section()


def read_document(content: bytes, file: str, *, trusted: bool = False) -> Document:
    """Read and check one file; never raises, whatever stands in it."""
    try:
        marked = read_marked(content, file, trusted=trusted)
    except Unreadable as error:
        return Document(file=file, problems=(error.problem,))
    if marked.value is None:
        return Document(file=file)
    if not isinstance(marked.value, dict):
        message = "Must be a mapping with models or weights, and if need be family, as_of, defaults, hide, replace."
        return Document(file=file, problems=(Problem(file=file, line=marked.line, message=message),))
    return _Reading(file, marked.value).document()


class _Reading:
    """The parts of one file, and the problems found on the way."""

    def __init__(self, file: str, head: Mapping[str, Marked]) -> None:
        self._file = file
        self._head = head
        self._problems: list[Problem] = []

    def document(self) -> Document:
        for name, marked in self._head.items():
            if name not in _KEYS:
                self._say(marked.line, name, unknown(name, _KEYS, {}))
        shared = self._shared()
        return Document(
            file=self._file,
            as_of=self._as_of(),
            replace=self._replace(),
            hide=self._hide(),
            sections={kind.name: self._section(kind, shared) for kind in self._kinds()},
            problems=tuple(self._problems),
        )

    def _say(self, line: int, name: str, message: str) -> None:
        self._problems.append(Problem(file=self._file, line=line, field=name, message=message))

    def _kinds(self) -> list[Kind]:
        """Those that it has; a file of neither is read as one of models."""
        return [kind for kind in KINDS if kind.name in self._head] or [MODELS]

    def _as_of(self) -> str:
        marked = self._head.get("as_of")
        if marked is None:
            return ""
        if message := check_date(marked.plain):
            self._say(marked.line, "as_of", message)
            return ""
        return str(marked.value)

    def _replace(self) -> frozenset[str]:
        marked = self._head.get("replace")
        names = {kind.name for kind in KINDS}
        if marked is None or marked.value is False:
            return frozenset()
        if marked.value is True:
            return frozenset(names)
        if isinstance(marked.value, str) and marked.value in names:
            return frozenset({marked.value})
        self._say(marked.line, "replace", "Must be true or false, or the one list that is replaced: models, weights.")
        return frozenset()

    def _hide(self) -> tuple[tuple[str, int], ...]:
        hidden = []
        for item in self._list("hide"):
            if message := check_id(item.plain):
                self._say(item.line, "hide", message)
            else:
                hidden.append((str(item.value), item.line))
        return tuple(hidden)

    def _list(self, name: str) -> list[Marked]:
        marked = self._head.get(name)
        if marked is None or isinstance(marked.value, list):
            return marked.value if marked else []
        self._say(marked.line, name, "Must be a list.")
        return []

    def _shared(self) -> dict[str, Marked]:
        """Fields for all entries; those that no list of this file knows are told."""
        family = self._head.get("family")
        given: dict[str, Marked] = {"family": family} if family else {}
        marked = self._head.get("defaults")
        if marked is not None and not isinstance(marked.value, dict):
            self._say(marked.line, "defaults", "Must be a mapping of fields.")
        elif marked is not None:
            given |= marked.value
        kinds = self._kinds()
        for name, value in given.items():
            if not any(name in kind.checks for kind in kinds):
                self._problems += check_entry({name: value}, self._file, kinds[0])
        return given

    def _section(self, kind: Kind, shared: Mapping[str, Marked]) -> Section:
        known = {name: marked for name, marked in shared.items() if name in kind.checks}
        found = check_entry(known, self._file, kind)
        self._problems += found
        wrong = {one.field for one in found}
        return Section(
            defaults={name: marked for name, marked in known.items() if name not in wrong},
            entries=tuple(entry for item in self._list(kind.name) if (entry := self._entry(item, kind)) is not None),
        )

    def _entry(self, item: Marked, kind: Kind) -> RawEntry | None:
        """None, and its problems said, unless all of it is right: half an entry would be a wrong one."""
        if not isinstance(item.value, dict):
            self._say(item.line, kind.name, "Each must be a mapping with an id.")
            return None
        named = item.value.get("id")
        if named is None or (message := check_id(named.plain)):
            self._say(named.line if named else item.line, "id", message if named else "Required.")
            return None
        fields = {name: marked for name, marked in item.value.items() if name != "id"}
        found = check_entry(fields, self._file, kind)
        self._problems += found
        return None if found else RawEntry(id=str(named.value), line=item.line, fields=fields)
