"""`modelyard analytics …`: how much models are used, how well they answer, and how fast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli.command import command

if TYPE_CHECKING:
    from core.analytics.values import Report, Usage
    from core.app import Modelyard
    from core.cli.output import Output

_HEADERS = (
    *("NAME", "MODEL ID", "PROVIDER", "REQUESTS", "SUCCESS", "TOKENS IN", "TOKENS OUT"),
    *("P50", "P95", "FIRST", "TOKENS/S", "RATING", "TESTS"),
)


def _of_a_report(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which figures."""
    options = (
        click.argument("model", required=False),
        click.option(
            "--since",
            default="7d",
            show_default=True,
            help="hour, day, week, month, all; a length: 90m, 24h, 7d, 4w; or a date.",
        ),
        click.option("--by", type=click.Choice(["model", "server"]), default="model", show_default=True),
        click.option("--with-tests", is_flag=True, help="Connection tests count as requests, too."),
        click.option("--cached", is_flag=True, help="Don't read the counters of running servers first."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@command("show")
@_of_a_report
async def show(
    yard: Modelyard, *, out: Output, model: str | None, since: str, by: str, with_tests: bool, cached: bool
) -> None:
    """Show requests, success, tokens, times and ratings, from this program's calls and the engines' counters.

    For each server the larger of the two sources stands, so that no request counts twice; JSON has both. A dash is
    what nobody tells: llama.cpp counts tokens, but no requests.
    """
    from core.analytics.export import report_fields

    report = await _report(yard, model, since=since, by=by, with_tests=with_tests, cached=cached)
    if out.json:
        out.document(report_fields(report))
        return
    headers = (*_HEADERS, "HOST", "SERVER") if by == "server" else _HEADERS
    out.table(headers, [_line(row, by) for row in report.rows])
    out.line(_said(report))


@command("export")
@_of_a_report
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write to this file, in place of one there.")
async def export(
    yard: Modelyard,
    *,
    out: Output,
    model: str | None,
    since: str,
    by: str,
    with_tests: bool,
    cached: bool,
    form: str,
    output: Path | None,
) -> None:
    """Write the figures as CSV or JSON, to standard output or to a file.

    JSON is exact. In CSV, names that a spreadsheet would take for a formula have an apostrophe before them. With
    --json and no file, standard output is JSON.
    """
    from core.analytics.export import ExportFormat, report_fields, text, write

    report = await _report(yard, model, since=since, by=by, with_tests=with_tests, cached=cached)
    if output is not None:
        await write(report, ExportFormat(form), output)
        _written(out, output, form, len(report.rows))
    elif out.json or form == "json":
        out.document(report_fields(report))
    else:
        out.block(text(report, ExportFormat.CSV))


def _written(out: Output, path: Path, form: str, rows: int) -> None:
    if out.json:
        out.document({"written": str(path), "format": form, "rows": rows})
    else:
        out.line(f"Wrote {rows} lines to {path}.")


async def _report(yard: Modelyard, model: str | None, *, since: str, by: str, with_tests: bool, cached: bool) -> Report:
    from core.analytics.values import By, parse_since
    from core.events import now

    begin = parse_since(since, now())
    ref = (await yard.registry.get_model(model)).id if model else None
    if not cached:
        await yard.analytics.sample()
    return await yard.analytics.report(begin, by=By(by), model_ref=ref, with_tests=with_tests)


def _line(row: Usage, by: str) -> tuple[object, ...]:
    figures = row.all
    name = f"{row.model_name} (deleted)" if row.gone else row.model_name
    line = (
        *(name, row.model_id, row.provider, figures.requests, percent(figures.success_rate)),
        *(figures.prompt_tokens, figures.completion_tokens),
        *(seconds(figures.latency_p50), seconds(figures.latency_p95), seconds(figures.first_token_p50)),
        f"{figures.tokens_per_second:.1f}" if figures.tokens_per_second else None,
        f"{row.rating:.1f} ({row.ratings})" if row.rating is not None else None,
        f"{row.tests - row.tests_failed}/{row.tests}" if row.tests else None,
    )
    return (*line, row.host, row.server_id) if by == "server" else line


def _said(report: Report) -> str:
    if not report.rows:
        return "Nothing was asked in this time. Chats, connection tests and the counters of running servers count."
    since = f" since {report.since.astimezone():%Y-%m-%d %H:%M}" if report.since else ""
    return f"{len(report.rows)} {report.by.value}{'' if len(report.rows) == 1 else 's'} in use{since}."


def percent(share: float | None) -> str | None:
    """A share for people; only all is 100 %."""
    if share is None:
        return None
    shown = f"{share * 100:.1f}"
    return "99.9%" if shown == "100.0" and share < 1 else f"{shown.removesuffix('.0')}%"


def seconds(value: float | None) -> str | None:
    """A time for people: `85ms`, `1.25s`, `93s`."""
    if value is None:
        return None
    if value < 0.9995:
        return f"{value * 1000:.0f}ms"
    return f"{value:.2f}s" if value < 9.995 else f"{value:.1f}s" if value < 99.95 else f"{value:.0f}s"
