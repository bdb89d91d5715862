"""The vault as the place where keys are kept: unlocked once per session, by whoever can give the passphrase."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from core.errors import InvalidInput, KeysLocked, WrongPassphrase
from core.keys.environment import read_private
from core.redaction import remember

if TYPE_CHECKING:
    from core.keys.vault import Unlocked, Vault

T = TypeVar("T")
# (new, problem) -> passphrase; None: nobody gave one, or the vault was opened meanwhile.
# `new` to make a vault, `problem` what was wrong with the passphrase before
Asker = Callable[[bool, str], Awaitable[str | None]]
VARIABLE = "MODELYARD_VAULT_PASSPHRASE"
_ATTEMPTS = 3


class VaultKeys:
    """Names and keys of one vault; asks for the passphrase only when an entry is needed and `ask` is set."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.ask: Asker | None = None
        self._unlocked: Unlocked | None = None
        self._turn = asyncio.Lock()

    @property
    def locked(self) -> bool:
        """Whether there is something to unlock, and this program has not done it yet."""
        return self._unlocked is None and self.vault.exists()

    async def names(self) -> list[str]:
        """The names of all keys.

        Raises:
            KeysLocked: nobody can give the passphrase.
        """
        return sorted(await self._entries())

    async def get(self, name: str) -> str | None:
        """The key of this name; None without a question when there is no vault."""
        return (await self._entries()).get(name)

    async def set(self, name: str, value: str) -> None:
        """Put a key in, in place of one of the same name; makes the vault where there is none."""
        await self._change(lambda entries: entries.update({name: value}))

    async def remove(self, name: str) -> None:
        """Take a key out."""
        if self.vault.exists():
            await self._change(lambda entries: _drop(entries, name))

    async def unlock(self, passphrase: str) -> None:
        """For this session; makes the vault where there is none.

        Raises:
            WrongPassphrase: it is not the vault's. InvalidInput: too short for a new one.
        """
        remember(passphrase)
        work = self.vault.unlock if self.vault.exists() else self.vault.create
        self._unlocked = await asyncio.to_thread(work, passphrase)

    async def unlock_quietly(self) -> bool:
        """Whether the environment or this login session's kernel keyring opened it: nobody is asked."""
        if self._unlocked is None and self.vault.exists():
            self._unlocked = await asyncio.to_thread(_kept, self.vault)
        if self._unlocked is None and (passphrase := await asyncio.to_thread(_given)):
            await self.unlock(passphrase)
        return self._unlocked is not None

    async def unlock_somehow(self) -> None:
        """Quietly if that works, else by asking.

        Raises:
            KeysLocked: nobody gave the passphrase.
        """
        async with self._turn:
            if not await self.unlock_quietly():
                await self._ask()

    async def keep(self, *, hours: float) -> bool:
        """Whether the kernel keeps it unlocked for the commands of this login session."""
        from core.keys import kernel

        await self.unlock_somehow()
        assert self._unlocked is not None
        return kernel.keep(self.vault.path, self._unlocked, hours=hours)

    async def lock(self) -> None:
        """Forget the key, here and in the kernel."""
        from core.keys import kernel

        self._unlocked = None
        kernel.forget(self.vault.path)

    async def change_passphrase(self, passphrase: str) -> None:
        """Encrypt everything anew."""
        from core.keys import kernel

        remember(passphrase)
        await self.unlock_somehow()
        assert self._unlocked is not None
        self._unlocked = await asyncio.to_thread(self.vault.change_passphrase, self._unlocked, passphrase)
        kernel.forget(self.vault.path)

    async def close(self) -> None:
        """Forget the key here."""
        self._unlocked = None

    async def _entries(self) -> dict[str, str]:
        return await self._with_key(self.vault.entries) if self.vault.exists() else {}

    async def _change(self, work: Callable[[dict[str, str]], None]) -> None:
        await self._with_key(lambda unlocked: self.vault.change(unlocked, work))

    async def _with_key(self, work: Callable[[Unlocked], T]) -> T:
        """Do it; where another program has changed the passphrase, unlock again first."""
        for last in (False, True):
            await self.unlock_somehow()
            assert self._unlocked is not None
            try:
                return await asyncio.to_thread(work, self._unlocked)
            except KeysLocked:
                self._unlocked = None
                if last:
                    raise
        raise AssertionError

    async def _ask(self) -> None:
        problem, new = "", not self.vault.exists()
        for _ in range(_ATTEMPTS if self.ask else 0):
            assert self.ask is not None
            passphrase = await self.ask(new, problem)
            if self._unlocked is not None:
                return
            if passphrase is None:
                break
            try:
                await self.unlock(passphrase)
            except WrongPassphrase as error:
                problem = error.message
            except InvalidInput as error:
                problem = " ".join(error.fields.values())
            else:
                return
        raise _locked(problem, new)


def _drop(entries: dict[str, str], name: str) -> None:
    entries.pop(name, None)


def _locked(problem: str, new: bool) -> KeysLocked:
    done = "make one" if new else "unlock it"
    return KeysLocked(
        "There is no vault for keys yet, and it needs a passphrase." if new else "The vault with the keys is locked.",
        cause=problem,
        remedy=f"On a terminal: modelyard keys unlock. In scripts: name a file with the passphrase, mode 0600, in"
        f" {VARIABLE}_FILE to {done}.",
    )


def _given() -> str:
    """The passphrase that the environment gives, "" for none."""
    if path := os.environ.get(f"{VARIABLE}_FILE"):
        return read_private(Path(path), f"{VARIABLE}_FILE")
    return os.environ.get(VARIABLE, "")


def _kept(vault: Vault) -> Unlocked | None:
    """What the kernel kept, if it still opens the file."""
    from core.keys import kernel

    unlocked = kernel.kept(vault.path)
    try:
        if unlocked is not None:
            vault.entries(unlocked)
    except KeysLocked:
        return None
    return unlocked
