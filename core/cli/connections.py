"""`modelyard models test`: can models be used where their records say (P9)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from core.cli.command import command
from core.cli.diagnostics import findings
from core.errors import HostUnreachable, UsageError

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.connections.report import TestReport
    from core.registry.values import ModelRow

_AT_ONCE = 8
_PAGE = 1000


@command("test")
@click.argument("models", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that are served somewhere and whose key is stored.")
async def test(yard: Modelyard, *, out: Output, models: Sequence[str], every: bool) -> int:
    """Test whether MODELS can be reached, let one in and are served where their records say.

    No question is asked, so nothing is charged. Exit code 0 when all is well, 1 when a test failed, 4 when only the
    host of a server could not be reached.
    """
    if every == bool(models):
        raise UsageError("Which models?", remedy="Name some, or say --all.")
    reports = await _tested(yard, await _all(yard) if every else list(dict.fromkeys(models)))
    if out.json:
        documents = [report.as_dict() for report in reports]
        out.document({"tests": documents} if every or len(models) > 1 else documents[0])
    elif len(reports) == 1:
        _tell_one(out, reports[0])
    else:
        _tell(out, reports)
    return _exit_code(reports)


async def _all(yard: Modelyard) -> list[str]:
    """Your models that something serves, and the global ones whose key is stored, or that need none."""
    from core.registry.values import ModelQuery

    refs: list[str] = []
    asked = 0
    keyed = await _keyed(yard)
    while True:
        page = await yard.registry.search(ModelQuery(), offset=asked, limit=_PAGE)
        asked += len(page.rows)
        refs += [row.model.id for row in page.rows if _in_use(yard, row, keyed)]
        if len(page.rows) < _PAGE:
            return refs


def _in_use(yard: Modelyard, row: ModelRow, keyed: Set[str]) -> bool:
    from core.keys.choice import key_name

    chat = next(one for one in yard.deploys.actions(row.model, row.server) if one.name == "chat")
    return chat.allowed and (not row.model.is_global or key_name(row.model) in keyed)


async def _keyed(yard: Modelyard) -> set[str]:
    """The keys that can be read, "" for none being needed; whoever can is asked to unlock the vault before."""
    from core.errors import ModelyardError
    from core.keys.values import KeySource

    with suppress(ModelyardError):  # it stays locked: a single test says so
        if (await yard.keys.backend()).locked:
            await yard.keys.unlock_first()
    unread = {KeySource.MISSING, KeySource.LOCKED}
    return {"", *(key.name for key in await yard.keys.names() if key.source not in unread)}


async def _tested(yard: Modelyard, refs: Sequence[str]) -> list[TestReport]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(ref: str) -> TestReport:
        async with room:
            return await yard.connections.test(ref)

    return list(await asyncio.gather(*map(one, refs)))


def _tell_one(out: Output, report: TestReport) -> None:
    out.line(f"{report.model_name}: {'ok' if report.ok else 'failed'}, {report.url or 'no address'}")
    if report.serves:
        more = f" and {len(report.serves) - 10} more" if len(report.serves) > 10 else ""
        out.line(f"serves {', '.join(report.serves[:10])}{more}")
    findings(list(report.findings))


def _tell(out: Output, reports: Sequence[TestReport]) -> None:
    rows = []
    for report in reports:
        took = "" if report.latency_s is None else f"{report.latency_s * 1000:.0f} ms"
        rows.append((report.model_name, "ok" if report.ok else "error", took, report.url, report.sentence))
    out.table(("MODEL", "TEST", "LATENCY", "AT", "FOUND"), rows)


def _exit_code(reports: Sequence[TestReport]) -> int:
    failed = [report for report in reports if not report.ok]
    if failed and all(report.unreachable for report in failed):
        return HostUnreachable.exit_code
    return 1 if failed else 0
