"""YAML, read event by event: no code, no tags, no bombs; each record comes with its line, before the next is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.exchange.values import DEEPEST, LIST_NAMES, Item, unreadable

if TYPE_CHECKING:
    from yaml.events import Event

_LARGEST = 1_000_000  # values that aliases may stand for, together
_MERGE = "".join(["<", "<"])  # the very object: a key in quotes is only text
_PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,400})")
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?|\.[0-9]+([eE][-+][0-9]+)?")


@dataclass
class _Open:
    """A list or mapping whose end has not come."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    line: int
    key: str | None = None
    size: int = 1
    merges: list[dict[str, Any]] = field(default_factory=list)


def read_yaml(text: str, source: str) -> Iterator[Item]:
    """The members of the document's root, those of the lists that we know one by one.

    Raises:
        UsageError: it is no YAML, or what this program won't read.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=loader):
            yield from builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = f"no YAML: {error.problem or error.context}"
        raise unreadable(source, reason, line=mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        raise unreadable(source, f"no YAML: {error}") from error


class _Builder:
    """Plain values out of events."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._expanded = 0
        self._documents = 0

    def take(self, event: Event) -> Iterator[Item]:
        """What is complete with this event."""
        name = type(event).__name__
        line = event.start_mark.line + 1 if event.start_mark else 0
        if name == "ScalarEvent":
            yield from self._put(self._scalar(event, line), line, 1, event.anchor)  # type: ignore[attr-defined]
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            self._begin(event, line, {} if name.startswith("M") else [])
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            yield from self._end()
        elif name == "AliasEvent":
            yield from self._alias(event.anchor, line)  # type: ignore[attr-defined]
        elif name == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise unreadable(self._source, "it holds more than one document", line=line)

    def _begin(self, event: Event, line: int, empty: list[Any] | dict[str, Any]) -> None:
        if event.tag not in (None, "!"):  # type: ignore[attr-defined]
            raise unreadable(self._source, "tags are not read: !…", line=line)
        if len(self._stack) >= DEEPEST:
            raise unreadable(self._source, f"it is nested more than {DEEPEST} levels deep", line=line)
        if self._stack and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None:
            raise unreadable(self._source, "a key must be text", line=line)
        self._stack.append(_Open(empty, event.anchor, line))  # type: ignore[attr-defined]

    def _end(self) -> Iterator[Item]:
        done = self._stack.pop()
        value = done.value
        if isinstance(value, dict) and done.merges:
            value = {key: one for merged in reversed(done.merges) for key, one in merged.items()} | value
        yield from self._put(value, done.line, done.size, done.anchor)

    def _alias(self, anchor: str, line: int) -> Iterator[Item]:
        if anchor not in self._anchors:
            raise unreadable(self._source, "an alias (*) refers to nothing before it", line=line)
        value, size = self._anchors[anchor]
        self._expanded += size
        if self._expanded > _LARGEST:
            raise unreadable(self._source, f"its aliases (*) stand for more than {_LARGEST:,} values", line=line)
        yield from self._put(value, line, size, None)

    def _scalar(self, event: Any, line: int) -> Any:  # noqa: ANN401 - a scalar of YAML
        if event.tag not in _PLAIN_TAGS:
            raise unreadable(self._source, "tags are not read: !…", line=line)
        is_key = bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None
        if is_key and event.value == "<<" and not event.style:
            return _MERGE
        if is_key or event.style or event.tag is not None:
            return event.value
        return _plain(event.value)

    def _put(self, value: Any, line: int, size: int, anchor: str | None) -> Iterator[Item]:  # noqa: ANN401 - YAML
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._stack:
            yield from self._root(value, line)
            return
        parent = self._stack[-1]
        parent.size += size
        if isinstance(parent.value, list):
            kind = self._list_kind()
            if kind:
                yield Item(kind=LIST_NAMES[kind], key=kind, value=value, line=line)
            else:
                parent.value.append(value)
        elif parent.key is None:
            self._key(parent, value, line)
        else:
            yield from self._member(parent, value, line)

    def _root(self, value: Any, line: int) -> Iterator[Item]:  # noqa: ANN401 - YAML
        if not isinstance(value, dict | list):
            raise unreadable(self._source, "it holds no records", line=line)
        yield from ()

    def _list_kind(self) -> str:
        """The name of the list of records that is open just now."""
        if len(self._stack) == 1:
            return "models"
        is_member = len(self._stack) == 2 and isinstance(self._stack[0].value, dict)
        return self._stack[0].key or "" if is_member and self._stack[0].key in LIST_NAMES else ""

    def _key(self, parent: _Open, value: object, line: int) -> None:
        if not isinstance(value, str):
            raise unreadable(self._source, "a key must be text", line=line)
        if value in parent.value:
            raise unreadable(self._source, "a key is there twice", line=line)
        parent.key = value

    def _member(self, parent: _Open, value: Any, line: int) -> Iterator[Item]:  # noqa: ANN401 - YAML
        key, parent.key = parent.key, None
        assert isinstance(parent.value, dict)
        assert key is not None
        if key is _MERGE:
            merged = value if isinstance(value, list) else [value]
            if not all(isinstance(one, dict) for one in merged):
                raise unreadable(self._source, "only mappings can be merged (<<)", line=line)
            parent.merges += merged
            return
        parent.value[key] = value
        if len(self._stack) == 1:
            parent.value[key] = None  # handed on, not kept
            yield from _members(key, value, line)


def _members(key: str, value: Any, line: int) -> Iterator[Item]:  # noqa: ANN401 - YAML
    """Of a list by alias its elements; those of one that was written out have been handed on already."""
    if key in LIST_NAMES and isinstance(value, list):
        for one in value:
            yield Item(kind=LIST_NAMES[key], key=key, value=one, line=line)
    else:
        yield Item(kind="", key=key, value=value, line=line)


def _plain(text: str) -> Any:  # noqa: ANN401 - a scalar of YAML
    """YAML 1.2's few types; what an older YAML takes for a time, an octal number or `no` stays text."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
