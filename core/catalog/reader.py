"""YAML and TOML read with line numbers, so that what is wrong can be named by file, line and field.

JSON is YAML, too. Files come from administrators: size, depth and references are limited, and nothing is built
from them but plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from core.catalog.values import Problem

if TYPE_CHECKING:
    from yaml import Node

LARGEST = 4 << 20  # bytes
MOST_VALUES = 100_000
DEEPEST = 20
_TEXT = "tag:yaml.org,2002:str"
SUFFIXES = (".yaml", ".yml", ".json", ".toml")


@dataclass(frozen=True)
class Marked:
    """A value and the line, counted from 1, where it stands; `value` may hold lists and dictionaries of these."""

    value: Any
    line: int

    @property
    def plain(self) -> Any:  # noqa: ANN401 - any value of YAML
        """Without the lines."""
        if isinstance(self.value, dict):
            return {key: inner.plain for key, inner in self.value.items()}
        return [inner.plain for inner in self.value] if isinstance(self.value, list) else self.value


class Unreadable(Exception):
    """The file is nothing that a catalog may be."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def read_marked(content: bytes, file: str, *, trusted: bool = False) -> Marked:
    """The document; `trusted` is our own and read by the faster parser, which a nested file could crash.

    Raises:
        Unreadable: with the place, where one can be told.
    """
    suffix = PurePath(file).suffix.lower()
    if suffix not in SUFFIXES:
        raise Unreadable(Problem(file=file, message=f"Must end in {', '.join(SUFFIXES)}."))
    if len(content) > LARGEST:
        raise Unreadable(Problem(file=file, message=f"Must be at most {LARGEST:,} bytes."))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(Problem(file=file, line=line, message="Must be UTF-8.")) from error
    if suffix == ".toml":
        from core.catalog.toml_reader import read_toml

        return read_toml(text, file)
    return _read_yaml(text, file, trusted=trusted)


def _read_yaml(text: str, file: str, *, trusted: bool) -> Marked:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if trusted else yaml.SafeLoader
    try:
        node = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        raise Unreadable(_told(error, text, file)) from error
    except RecursionError as error:
        raise Unreadable(Problem(file=file, message="Is nested too deeply.")) from error
    return _Walk(file).marked(node, 0) if node is not None else Marked(None, 1)


def _told(error: Exception, text: str, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if mark is not None:
        line = mark.line + 1
    else:
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1
    return Problem(file=file, line=line, message=f"Is not YAML: {reason}.")


class _Walk:
    """One way through the nodes of a document."""

    def __init__(self, file: str) -> None:
        from yaml.constructor import SafeConstructor

        self._file = file
        self._left = MOST_VALUES
        self._constructor = SafeConstructor()

    def marked(self, node: Node, depth: int) -> Marked:
        import yaml

        line = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0 or depth > DEEPEST:
            raise self._fault(line, "Holds too many values, or they are nested too deeply.")
        if isinstance(node, yaml.MappingNode):
            return Marked(self._mapping(node, depth), line)
        if isinstance(node, yaml.SequenceNode):
            return Marked([self.marked(item, depth + 1) for item in node.value], line)
        return Marked(self._scalar(node, line), line)

    def _mapping(self, node: Node, depth: int) -> dict[str, Marked]:
        found: dict[str, Marked] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in found:
                raise self._fault(line, "Stands here twice.", key)
            found[key] = self.marked(value_node, depth + 1)
        return found

    def _scalar(self, node: Node, line: int) -> object:
        import yaml

        if node.tag == _TEXT:
            return node.value
        try:
            value: object = self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError, LookupError, TypeError) as error:
            raise self._fault(line, f"{str(node.value)[:80]!r} is no value that YAML knows.") from error
        return value.isoformat() if isinstance(value, date | datetime) else value

    def _fault(self, line: int, message: str, field: str = "") -> Unreadable:
        return Unreadable(Problem(file=self._file, line=line, field=field, message=message))
