"""Records as text, piece by piece, so that a hundred thousand of them need no memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from core.events import now
from core.exchange.portable import HEAD_ORDER, MODEL_ORDER, REGION_ORDER
from core.exchange.values import VERSION, Format

Sections = Iterable[tuple[str, Iterable[Mapping[str, Any]]]]  # "models" and its records, …
_COLUMNS = {"models": MODEL_ORDER, "heads": HEAD_ORDER, "regions": REGION_ORDER}


def write(form: Format, sections: Sections) -> Iterator[str]:
    """The document in pieces; of CSV, which knows one kind of record, the sections must be one."""
    return _WRITERS[form](sections)


def _head() -> dict[str, object]:
    return {"modelyard": VERSION, "exported_at": now().isoformat(timespec="seconds")}


def _json(sections: Sections) -> Iterator[str]:
    opened = json.dumps(_head(), indent=2)
    yield opened.removesuffix("\n}")
    for name, records in sections:
        yield f",\n  {json.dumps(name)}: ["
        comma = ""
        for record in records:
            yield f"{comma}\n    {json.dumps(record, ensure_ascii=False)}"
            comma = ","
        yield "\n  ]" if comma else "]"
    yield "\n}\n"


def _yaml(sections: Sections) -> Iterator[str]:
    yield _yaml_text(_head())
    for name, records in sections:
        begun = False
        for record in records:
            yield ("" if begun else f"{name}:\n") + _yaml_text([record])
            begun = True
        if not begun:
            yield f"{name}: []\n"


def _yaml_text(value: object) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    plain = _no_aliases(dumper)
    return str(yaml.dump(value, Dumper=plain, allow_unicode=True, sort_keys=False, width=1 << 20))


def _no_aliases(dumper: Any) -> Any:  # noqa: ANN401 - one of PyYAML's classes
    """Written out where the same list comes twice: `*id001` is hard to read."""
    if dumper not in _PLAIN_DUMPERS:
        _PLAIN_DUMPERS[dumper] = type("Plain", (dumper,), {"ignore_aliases": lambda _self, _data: True})
    return _PLAIN_DUMPERS[dumper]


_PLAIN_DUMPERS: dict[Any, Any] = {}


def _toml(sections: Sections) -> Iterator[str]:
    import tomli_w

    yield tomli_w.dumps(_head())
    for name, records in sections:
        for record in records:
            fields = {key: _toml_value(value) for key, value in record.items() if value is not None}
            tables = {key: value for key, value in fields.items() if isinstance(value, Mapping)}
            yield f"\n[[{name}]]\n" + tomli_w.dumps({key: value for key, value in fields.items() if key not in tables})
            yield tomli_w.dumps({name: tables}).removeprefix(f"[{name}]\n")


def _toml_value(value: Any) -> Any:  # noqa: ANN401 - JSON
    """An object that holds a null, which TOML does not know, is written as JSON text."""
    if isinstance(value, Mapping) and not _fits_toml(value):
        return json.dumps(value, ensure_ascii=False)
    return value


def _fits_toml(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_fits_toml, value.values()))
    if isinstance(value, list):
        return all(map(_fits_toml, value))
    return value is not None


def _csv(sections: Sections) -> Iterator[str]:
    for name, records in sections:
        yield _csv_row(_COLUMNS[name])
        for record in records:
            yield _csv_row([_csv_cell(record[column]) for column in _COLUMNS[name]])


def _csv_row(cells: Iterable[str]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerow(list(cells))
    return buffer.getvalue()


def _csv_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | Mapping) else str(value)


_WRITERS: Mapping[Format, Callable[[Sections], Iterator[str]]] = {
    Format.JSON: _json,
    Format.YAML: _yaml,
    Format.TOML: _toml,
    Format.CSV: _csv,
}
