"""The figures as documents: JSON exact, CSV safe to open in a spreadsheet; the names of fields are stable."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.analytics.values import Figures, Report, Usage
from core.errors import CommandFailed
from core.text import clean_line

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - what spreadsheets calculate
_PLACES = 6  # digits after the point of a time or a rate


class ExportFormat(StrEnum):
    """What a file of figures can be."""

    CSV = "csv"
    JSON = "json"


def report_fields(report: Report) -> dict[str, Any]:
    """The document of a report."""
    return {
        "since": report.since.isoformat() if report.since else None,
        "until": report.until.isoformat(),
        "by": report.by.value,
        "tests_included": report.with_tests,
        "rows": [usage_fields(row) for row in report.rows],
    }


def usage_fields(row: Usage) -> dict[str, Any]:
    """One line: whose figures, the figures, and beside them what each of the two sources has."""
    return {
        "id": row.model_ref,
        "name": row.model_name,
        "model_id": row.model_id,
        "provider": row.provider,
        "deleted": row.gone,
        "server_id": row.server_id,
        "host": row.host,
        **_figures(row.all),
        "rating": row.rating,
        "ratings": row.ratings,
        "tests": row.tests,
        "tests_failed": row.tests_failed,
        "asked": _figures(row.asked),
        "counted": _figures(row.counted) if row.counted else None,
    }


def _figures(figures: Figures) -> dict[str, Any]:
    values = {"requests": figures.requests, "success_rate": figures.success_rate, **asdict(figures)}
    return {name: round(value, _PLACES) if isinstance(value, float) else value for name, value in values.items()}


def text(report: Report, form: ExportFormat) -> str:
    """The whole document."""
    if form is ExportFormat.JSON:
        return json.dumps(report_fields(report), indent=2, ensure_ascii=False) + "\n"
    return _csv(report)


def _csv(report: Report) -> str:
    """A line for each row; the two sources are columns with their names before them."""
    flat = [_flat(usage_fields(row)) for row in report.rows]
    names = list(flat[0]) if flat else list(_flat(usage_fields(_NOTHING)))
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in flat)
    return out.getvalue()


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    empty = dict.fromkeys(_figures(_NOTHING.all))
    flat = {name: value for name, value in fields.items() if name not in {"asked", "counted"}}
    for source in ("asked", "counted"):
        flat |= {f"{source}_{name}": value for name, value in (fields[source] or empty).items()}
    return flat


def _cell(value: object) -> object:
    """Text that a spreadsheet would calculate gets an apostrophe before it, and no control character stays."""
    if not isinstance(value, str):
        return "" if value is None else value
    clean = clean_line(value)
    return f"'{clean}" if value.lstrip(" ").startswith(_FORMULA) or clean.lstrip(" ").startswith(_FORMULA) else clean


async def write(report: Report, form: ExportFormat, path: Path) -> None:
    """Write the file at once or not at all; one that is there is replaced.

    Raises:
        CommandFailed: it can't be written.
    """
    await asyncio.to_thread(_write, path, text(report, form))


def _write(path: Path, content: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(content, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CommandFailed(
            f"{path} can't be written.", cause=str(error.strerror or error), remedy="Choose another place."
        ) from error


_NO_FIGURES = Figures(
    requests=None,
    failures=None,
    prompt_tokens=0,
    completion_tokens=0,
    latency_p50=None,
    latency_p95=None,
    first_token_p50=None,
    tokens_per_second=None,
)
_NOTHING = Usage(
    model_ref="",
    model_name="",
    model_id="",
    provider="",
    gone=False,
    all=_NO_FIGURES,
    asked=_NO_FIGURES,
    counted=None,
    tests=0,
    tests_failed=0,
    rating=None,
    ratings=0,
)
