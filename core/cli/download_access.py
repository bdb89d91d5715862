"""What a source offers, shown before a download, and the token that it may take (D11, D12)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from core.cli import ask
from core.cli.command import command
from core.cli.diagnostics import notice
from core.files.kinds import pickles_told

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.downloads.sources.base import Listing
    from core.registry.jobs import Job

_TIMES = 4  # that a token may be typed, the first one being none
_GATED = {"": "", "auto": "gated, your access is granted", "manual": "gated, your access is granted"}


@command("look")
@click.argument("source")
@click.option("--include", "patterns", multiple=True, metavar="PATTERN", help="Only files that match; may be repeated.")
@click.option("--token-stdin", is_flag=True, help="Read a token from standard input; it is held in memory only.")
async def look(yard: Modelyard, *, out: Output, source: str, patterns: tuple[str, ...], token_stdin: bool) -> None:
    """Show what SOURCE offers, and fetch nothing: files, sizes, licence, gating, what scanners say.

    What a gated repository holds is shown without a token, too.
    """
    from core.cli.output import size
    from core.downloads.sources.base import Listing
    from core.errors import DownloadDenied

    denied = None
    try:
        listing = await looked(yard, out, source, patterns, read_token(token_stdin))
    except DownloadDenied as error:
        if not isinstance(error.offered, Listing):
            raise
        listing, denied = error.offered, error
    if out.json:
        return out.document({**listing.as_dict(), "size": listing.size, "denied": denied and denied.as_dict()})
    out.line(offer(listing, is_denied=denied is not None))
    out.table(("FILE", "SIZE"), [(file.path, size(file.size)) for file in listing.files])
    if denied is not None:
        notice(f"warning: {denied.message}")
        notice(denied.remedy)
    return _warn(listing)


def read_token(from_stdin: bool) -> str:
    """The token that is piped in, or ""."""
    return sys.stdin.readline().strip() if from_stdin else ""


async def looked(yard: Modelyard, out: Output, source: str, patterns: tuple[str, ...], token: str) -> Listing:
    """The listing, with a token where one is needed: given, kept as a key, or typed without being shown.

    Raises:
        DownloadDenied: none that is at hand has the right.
    """
    from core.cli.hidden import ask_hidden
    from core.downloads.sources import source_for
    from core.errors import DownloadDenied

    offer = await yard.catalog.weights_called(source)
    if offer is not None:
        source, patterns = offer.source, patterns or offer.patterns
    may_ask = not out.json and not token and ask.can_ask()
    for _ in range(_TIMES):
        try:
            return await yard.downloads.look(source, patterns=patterns, token=token)
        except DownloadDenied as error:
            key = source_for(source).key
            error.remedy += f" On a command line: --token-stdin{key and f', or modelyard keys set {key}'}."
            denied = error
        if not may_ask:
            break
        notice(denied.message)
        notice(denied.remedy)
        token = (await ask_hidden("Token (not shown; just Enter gives up): ") or "").strip()
        if not token:
            break
    raise denied


async def token_again(yard: Modelyard, out: Output, job: Job, token: str) -> str:
    """The token for a job that took one, and for which none is kept: it was held in memory only."""
    from core.cli.hidden import ask_hidden

    is_lost = not token and job.spec.get("token") and not await yard.downloads.token_for(job)
    if is_lost and not out.json and ask.can_ask():
        return (await ask_hidden(f"Token for {job.title} (not shown): ") or "").strip()
    return token


async def keep(yard: Modelyard, listing: Listing) -> None:
    """Keep the token that was seen to work under its source's name.

    Raises:
        UsageError: the source has none.
    """
    from core.errors import UsageError

    token = yard.downloads.token_taken(listing)
    if token and not listing.key:
        raise UsageError("A token for a plain address has no name to be kept under.", remedy="Leave out --keep-token.")
    if token and await yard.keys.get(listing.key) != token:
        await yard.keys.set(listing.key, token)


async def accept(listing: Listing, out: Output, *, yes: bool) -> None:
    """Show what will be fetched; what scanners warn of wants a yes.

    Raises:
        NeedsConfirmation: there is none.
    """
    if not out.json:
        notice(offer(listing))
        _warn(listing)
    if listing.metadata.get("warnings"):
        await ask.must_confirm(f"Fetch {listing.title} in spite of the warnings?", yes=yes, json=out.json)


def offer(listing: Listing, *, is_denied: bool = False) -> str:
    """What it is in one line: files, bytes, licence, gating."""
    from core.cli.output import size

    amount = size(listing.size) if listing.size is not None else "size not told"
    count = f"{len(listing.files)} file" + ("" if len(listing.files) == 1 else "s")
    licence = f"licence {listing.licence}" if listing.licence else ""
    gated = "gated, no access yet" if is_denied else _GATED.get(listing.gated, "gated")
    facts = (count, amount, licence, gated, listing.revision and f"at {listing.revision}")
    return f"{listing.title}: {', '.join(filter(None, facts))}"


def _warn(listing: Listing) -> None:
    for note in listing.metadata.get("notes", ()):
        notice(note)
    if pickles := pickles_told(file.path for file in listing.files):
        notice(f"warning: {pickles}")
    for warning in listing.metadata.get("warnings", ()):
        notice(f"warning: {warning}")
