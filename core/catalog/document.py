"""One catalog file: its head, its defaults and its entries, each checked; what is wrong is left out and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.catalog.fields import check_date, check_entry, check_id, unknown
from core.catalog.reader import Marked, Unreadable, read_marked
from core.catalog.values import Problem

_KEYS = ("family", "as_of", "replace", "hide", "defaults", "models")


@dataclass(frozen=True, kw_only=True)
class RawEntry:
    """An entry's own fields, before the defaults of its file and the entry that it overrides are laid below."""

    id: str
    line: int
    fields: Mapping[str, Marked]


@dataclass(frozen=True, kw_only=True)
class Document:
    """What holds of one file; `replace` leaves out the built-in catalog, `hide` single entries of it."""

    file: str
    as_of: str = ""
    replace: bool = False
    hide: tuple[tuple[str, int], ...] = ()
    defaults: Mapping[str, Marked] = field(default_factory=dict)
    entries: tuple[RawEntry, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_document(content: bytes, file: str, *, trusted: bool = False) -> Document:
    """Read and check one file; never raises, whatever stands in it."""
    try:
        marked = read_marked(content, file, trusted=trusted)
    except Unreadable as error:
        return Document(file=file, problems=(error.problem,))
    if marked.value is None:
        return Document(file=file)
    if not isinstance(marked.value, dict):
        message = "Must be a mapping with models, and if need be family, as_of, defaults, hide, replace."
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
                self._say(marked.line, name, unknown(name, _KEYS))
        defaults = self._defaults()
        return Document(
            file=self._file,
            as_of=self._text_if(check_date, "as_of"),
            replace=self._replace(),
            hide=self._hide(),
            defaults=defaults,
            entries=tuple(self._entries()),
            problems=tuple(self._problems),
        )

    def _say(self, line: int, name: str, message: str) -> None:
        self._problems.append(Problem(file=self._file, line=line, field=name, message=message))

    def _text_if(self, check: object, name: str) -> str:
        marked = self._head.get(name)
        if marked is None:
            return ""
        if message := check(marked.plain):  # type: ignore[operator]
            self._say(marked.line, name, message)
            return ""
        return str(marked.value)

    def _replace(self) -> bool:
        marked = self._head.get("replace")
        if marked is not None and not isinstance(marked.value, bool):
            self._say(marked.line, "replace", "Must be true or false.")
        return marked is not None and marked.value is True

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

    def _defaults(self) -> Mapping[str, Marked]:
        given: dict[str, Marked] = {}
        marked = self._head.get("defaults")
        if marked is not None and not isinstance(marked.value, dict):
            self._say(marked.line, "defaults", "Must be a mapping of fields.")
        elif marked is not None:
            given = self._without_faults(marked.value)
        family = self._head.get("family")
        return self._without_faults({"family": family}) | given if family else given

    def _without_faults(self, fields: Mapping[str, Marked]) -> dict[str, Marked]:
        found = check_entry(fields, self._file)
        self._problems += found
        return {name: marked for name, marked in fields.items() if name not in {one.field for one in found}}

    def _entries(self) -> list[RawEntry]:
        return [entry for item in self._list("models") if (entry := self._entry(item)) is not None]

    def _entry(self, item: Marked) -> RawEntry | None:
        """None, and its problems said, unless all of it is right: half an entry would be a wrong one."""
        if not isinstance(item.value, dict):
            self._say(item.line, "models", "Each must be a mapping with an id.")
            return None
        named = item.value.get("id")
        if named is None or (message := check_id(named.plain)):
            self._say(named.line if named else item.line, "id", message if named else "Required.")
            return None
        fields = {name: marked for name, marked in item.value.items() if name != "id"}
        found = check_entry(fields, self._file)
        self._problems += found
        return None if found else RawEntry(id=str(named.value), line=item.line, fields=fields)
