"""`modelyard doctor`: everything that the program and the hosts need, and what to do where it is not there."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import click

from core.cli.command import command
from core.errors import ModelyardError
from core.findings import Finding, Severity

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output

_TOOLS = {"ssh": "openssh-client", "rsync": "rsync"}


@command("doctor")
@click.argument("host", required=False)
async def doctor(yard: Modelyard, *, out: Output, host: str | None) -> int:
    """Check a host, or without HOST the program itself and every host; ends with 1 if something is wrong."""
    from core.cli.hosts import show_findings

    hosts = [await yard.registry.get_host(host)] if host else await yard.registry.hosts()
    checked = await asyncio.gather(*(_checked(yard, one.name) for one in hosts))
    own = {} if host else {"modelyard": [*_own(yard), await _keys(yard)]}
    return show_findings(out, {**own, **{one.name: found for one, found in zip(hosts, checked, strict=True)}})


async def _checked(yard: Modelyard, name: str) -> list[Finding]:
    try:
        return await yard.hosts.check(name)
    except ModelyardError as error:
        reason = f"{error.message} {error.cause}".strip()
        return [Finding(severity=Severity.ERROR, check="reachable", reason=reason, remedy=error.remedy)]


def _own(yard: Modelyard) -> list[Finding]:
    tools = (_tool(name, package) for name, package in _TOOLS.items())
    return [*tools, _registry(yard), *(problem.as_finding() for problem in yard.catalog.problems)]


async def _keys(yard: Modelyard) -> Finding:
    """Where API keys are kept here, and why there."""
    try:
        backend = await yard.keys.backend()
    except ModelyardError as error:
        return Finding(
            severity=Severity.ERROR,
            check="keys",
            reason=f"{error.message} {error.cause}".strip(),
            remedy=error.remedy,
        )
    state = " It is locked: modelyard keys unlock." if backend.locked else ""
    reason = f"Kept in the {backend.kind}. {backend.detail}{state}"
    return Finding(severity=Severity.OK, check="keys", reason=reason)


def _tool(name: str, package: str) -> Finding:
    if path := shutil.which(name):
        return Finding(severity=Severity.OK, check=name, reason=f"{path} is here.")
    return Finding(
        severity=Severity.WARNING,
        check=name,
        reason=f"{name} is not here; hosts behind SSH need it.",
        remedy=f"Install the package {package}.",
    )


def _registry(yard: Modelyard) -> Finding:
    path = yard.settings.db_path
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return Finding(
            severity=Severity.WARNING,
            check="registry",
            reason=f"{path} can be read by others (mode {mode:o}).",
            remedy=f"chmod 600 {path}",
        )
    return Finding(severity=Severity.OK, check="registry", reason=f"{path} is yours alone.")
