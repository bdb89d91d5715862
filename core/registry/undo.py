"""Taking changes back, value by value: only what was changed is set again, and never the mask of a secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlmodel import SQLModel

from core.registry.journal import MASK, MASK_CHANGED, columns, masked
from core.registry.records import Change

_MISSING: Final = object()
_NO_CONFLICT = frozenset({"created_at", "updated_at", "last_test"})


@dataclass(frozen=True, kw_only=True)
class Net:
    """What the lines of one batch did to one record together; `before` and `after` hold the columns they touched."""

    last: Change
    existed: bool
    exists: bool
    before: dict[str, Any]
    after: dict[str, Any]


def net_changes(lines: Iterable[Change]) -> list[Net]:
    """One for each record, in the order in which they were first touched."""
    by_record: dict[tuple[str, str], list[Change]] = {}
    for line in lines:
        by_record.setdefault((line.kind, line.record_id), []).append(line)
    nets = map(_net, by_record.values())
    return [net for net in nets if net.existed or net.exists]


def _net(lines: list[Change]) -> Net:
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for line in reversed(lines):
        before.update(line.before or {})
    for line in lines:
        after.update(line.after or {})
    existed, exists = lines[0].action != "added", lines[-1].action != "deleted"
    return Net(last=lines[-1], existed=existed, exists=exists, before=before, after=after)


def conflicts(net: Net, record: SQLModel) -> list[str]:
    """The columns that this batch changed and that differ by now from what it made of them."""
    names = [name for name in net.after if name not in _NO_CONFLICT]
    before = {name: net.before.get(name, _MISSING) for name in names}
    return [name for name in names if _differs(name, before[name], net.after[name], getattr(record, name))]


def _differs(name: str, before: object, after: object, current: object) -> bool:
    if isinstance(before, Mapping) and isinstance(after, Mapping) and isinstance(current, Mapping):
        return any(
            _differs(key, before.get(key, _MISSING), after.get(key, _MISSING), current.get(key, _MISSING))
            for key in {**before, **after}
            if before.get(key, _MISSING) != after.get(key, _MISSING)
        )
    if current is _MISSING or after is _MISSING:
        return current is not after
    return _plain(masked(name, current)) != _plain(after)


def _plain(value: object) -> object:
    """Without the difference between a secret and a changed secret."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return MASK if value == MASK_CHANGED else value


def restored(net: Net, record: SQLModel, lost: list[str]) -> dict[str, Any]:
    """The columns to set so that the edit is taken back; secrets that are not known any more go to `lost`."""
    known = {name: value for name, value in net.before.items() if name in columns(type(record))}
    return {
        name: typed(name, _merged(name, value, net.after.get(name, _MISSING), getattr(record, name), lost))
        for name, value in known.items()
    }


def _merged(name: str, before: Any, after: object, current: object, lost: list[str]) -> Any:  # noqa: ANN401 - JSON
    if not (isinstance(before, Mapping) and isinstance(after, Mapping) and isinstance(current, Mapping)):
        return _known(name, before, current, lost)
    merged = dict(current)
    for key in [key for key in {**before, **after} if before.get(key, _MISSING) != after.get(key, _MISSING)]:
        merged.pop(key, None)
        if key in before:
            value = _merged(key, before[key], after.get(key, _MISSING), current.get(key, _MISSING), lost)
            merged.update({} if value is _MISSING else {key: value})
    return merged


def _known(name: str, before: Any, current: object, lost: list[str]) -> Any:  # noqa: ANN401 - JSON
    """The old value; where it holds a mask, what is there now stays, or nothing."""
    if not any(_masks(before)):
        return before
    lost.append(name)
    return without_masks(before) if current is _MISSING or not isinstance(before, str) else current


def _masks(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _masks(one)
    elif isinstance(value, list):
        for one in value:
            yield from _masks(one)
    elif isinstance(value, str) and (MASK in value or value == MASK_CHANGED):
        yield value


def without_masks(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The same with every masked value left out; of a URL only its user and password."""
    if isinstance(value, Mapping):
        kept = {key: without_masks(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one is not _MISSING}
    if isinstance(value, list):
        return [one for one in map(without_masks, value) if one is not _MISSING]
    if value in (MASK, MASK_CHANGED):
        return _MISSING
    return value.replace(f"{MASK}@", "") if isinstance(value, str) else value


def brought_back(net: Net, table: type[SQLModel], lost: list[str]) -> SQLModel:
    """A deleted record as it was, with its id; only the values of secrets are gone."""
    values = {name: value for name, value in net.before.items() if name in columns(table)}
    for name, value in values.items():
        lost.extend([name] if any(_masks(value)) else [])
    return table(**{name: typed(name, without_masks(value)) for name, value in values.items()})


def typed(name: str, value: Any) -> Any:  # noqa: ANN401 - a column's value
    """From the log's JSON: times are text there."""
    return datetime.fromisoformat(value) if name.endswith("_at") and isinstance(value, str) else value
