"""`modelyard keys …` (P8): a key's value comes from a hidden prompt or standard input, and is never shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli import ask
from core.cli.command import command
from core.cli.diagnostics import notice
from core.errors import InvalidInput, KeyMissing, UsageError

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.keys.values import Backend, KeyInfo

_SHOWN_USES = 3
_ANSWERS = {True: "Accepted", False: "Refused", None: "Not known whether it would be accepted"}


@command("list")
async def list_keys(yard: Modelyard, *, out: Output) -> None:
    """List keys, where each comes from and what uses it; never a value.

    Looked for in this order: the variable NAME (for openai, anthropic, google, huggingface and civitai also
    OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY or GOOGLE_API_KEY, HF_TOKEN, CIVITAI_TOKEN), the file that
    NAME_FILE names, then the keyring or the vault.
    """
    keys = await yard.keys.names()
    backend = await yard.keys.backend()
    if out.json:
        return out.document({"backend": backend.as_dict(), "keys": [key.as_dict() for key in keys]})
    out.table(("NAME", "FROM", "USED BY"), [(key.name, shown_source(key), shown_uses(key)) for key in keys])
    _say_backend(backend)
    return None


@command("set")
@click.argument("name")
@click.option("--stdin", is_flag=True, help="Read the value from standard input.")
async def set_key(yard: Modelyard, *, out: Output, name: str, stdin: bool) -> None:
    """Keep a key under NAME; the value is asked for, or read from standard input."""
    value = await _secret(f"Value of {name} (not shown): ", stdin=stdin, json=out.json)
    await yard.keys.set(name, value)
    info = await _info(yard, name)
    backend = await yard.keys.backend()
    if out.json:
        return out.document({**info.as_dict(), "kept_in": backend.kind})
    out.line(f"Set {name}; it is kept in the {backend.kind}.")
    if info.source not in {"keyring", "vault"}:
        notice(f"note: {shown_source(info)} comes first, and is what will be used.")
    return None


@command("remove")
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def remove(yard: Modelyard, *, out: Output, name: str, yes: bool) -> None:
    """Forget a key; the records that refer to it stay."""
    info = await _info(yard, name)
    used = f" It is used by {shown_uses(info)}." if info.uses else ""
    await ask.must_confirm(f"Remove the key {name}?{used}", yes=yes, json=out.json)
    await yard.keys.remove(name)
    out.changed({"name": name, "removed": True}, f"Removed {name}.")


@command("test")
@click.argument("name")
@click.option("--model", default="", help="Ask this model's endpoint; else the first that uses the key.")
async def test(yard: Modelyard, *, out: Output, name: str, model: str) -> int:
    """See that a key can be read and, where a model uses it, that the endpoint accepts it."""
    from core.connections.key_check import check_key

    check = await check_key(yard.keys, yard.connections, await _info(yard, name), model=model)
    if out.json:
        out.document(check.as_dict())
    else:
        out.line(f"{name} ({check.source}): {'can be read' if check.readable else 'not set'}.")
        out.line(f"{_ANSWERS[check.accepted]}{check.asked and f' at {check.asked}'}. {check.reason}")
    return 0 if check.ok else 1


@command("unlock")
@click.option("--hours", type=click.FloatRange(0.1, 72), default=8, show_default=True, help="How long it stays open.")
async def unlock(yard: Modelyard, *, out: Output, hours: float) -> None:
    """Unlock the vault for the commands of this login session, or make it.

    The kernel keeps it open, in memory only. In scripts, MODELYARD_VAULT_PASSPHRASE_FILE names a file with the
    passphrase (mode 0600).
    """
    kept = await yard.keys.keep_unlocked(hours=hours)
    if out.json:
        return out.document({**(await yard.keys.backend()).as_dict(), "kept": kept, "hours": hours if kept else 0})
    if kept:
        return out.line(f"Unlocked for this login session, for {hours:g} h at most; modelyard keys lock ends it.")
    out.line("The passphrase is right.")
    notice("note: this kernel or container keeps no keys for us, so that each command will ask for it;")
    notice("      MODELYARD_VAULT_PASSPHRASE_FILE names a file that answers.")
    return None


@command("lock")
async def lock(yard: Modelyard, *, out: Output) -> None:
    """Lock the vault again."""
    await yard.keys.lock()
    out.changed((await yard.keys.backend()).as_dict(), "Locked.")


@command("passphrase")
@click.option("--stdin", is_flag=True, help="Read the new passphrase from standard input.")
async def passphrase(yard: Modelyard, *, out: Output, stdin: bool) -> None:
    """Change the vault's passphrase; other sessions have to unlock it again."""
    await yard.keys.unlock_first()
    new = await _secret("New passphrase (8 characters or more): ", stdin=stdin, json=out.json, twice=True)
    await yard.keys.change_passphrase(new)
    out.changed({"changed": True}, "The vault has a new passphrase.")


async def _secret(prompt: str, *, stdin: bool, json: bool, twice: bool = False) -> str:
    """From standard input, or typed without being shown.

    Raises:
        UsageError: it can't be asked for. InvalidInput: the two differ.
    """
    if stdin:
        return (await ask.read_all()).removesuffix("\n").removesuffix("\r")
    from core.cli.hidden import ask_hidden

    value = None if json else await ask_hidden(prompt)
    if value is None:
        raise UsageError("There is no terminal to type it on.", remedy="Say --stdin and pipe it in.")
    if twice and await ask_hidden("The same again: ") != value:
        raise InvalidInput({"passphrase": "The two are not the same."})
    return value


async def _info(yard: Modelyard, name: str) -> KeyInfo:
    """What is known of a key; where it may be in the locked vault, that is unlocked first."""
    for info in await yard.keys.names():
        if info.name == name and info.source != "locked":
            return info
    if not (await yard.keys.backend()).locked:
        raise KeyMissing(f"There is no key {name!r}.", remedy="modelyard keys list shows them all.")
    await yard.keys.unlock_first()
    return await _info(yard, name)


def shown_source(key: KeyInfo) -> str:
    """Where a key comes from, for people."""
    words = {"missing": "nowhere: not set", "locked": "vault (locked)"}
    return key.detail or words.get(key.source, key.source.value)


def shown_uses(key: KeyInfo) -> str:
    """The first records that use it, and how many more there are."""
    first = ", ".join(key.used_by[:_SHOWN_USES])
    more = key.uses - min(key.uses, _SHOWN_USES)
    return f"{first} and {more} more" if more else first


def _say_backend(backend: Backend) -> None:
    locked = " Locked: modelyard keys unlock." if backend.locked else ""
    notice(f"Keys are kept in the {backend.kind}. {backend.detail}{locked}")
