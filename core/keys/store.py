"""The one way to API keys (P8): the environment, then a keyring that works, else the application's own vault.

Where keys are kept is found out when one is first needed, once per session; start-up pays nothing for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from core.errors import InvalidInput, KeyMissing, KeyProblem, KeyringTrouble, NotAllowed
from core.events import EventBus, RecordChanged
from core.keys import environment
from core.keys.choice import key_name
from core.keys.ring import Ring
from core.keys.values import ALIASES, Backend, KeyInfo, KeySource, check_name, check_value, stored_names
from core.keys.vault_keys import Asker, VaultKeys
from core.redaction import remember
from core.registry.key_use import KeyUse

if TYPE_CHECKING:
    from core.registry.records import Model
    from core.registry.store import Registry
    from core.settings import Settings


class Keeper(Protocol):
    """A place that keeps keys."""

    async def names(self) -> list[str]: ...
    async def get(self, name: str) -> str | None: ...
    async def set(self, name: str, value: str) -> None: ...
    async def remove(self, name: str) -> None: ...


class KeyStore:
    """Keys of this user by name; values go to whoever calls a provider, and nowhere else."""

    def __init__(self, settings: Settings, registry: Registry, bus: EventBus, *, ring: Ring, vault: VaultKeys) -> None:
        self._wanted = settings.keys
        self._registry = registry
        self._bus = bus
        self._ring = ring
        self._vault = vault
        self._found: tuple[Keeper | None, str] | None = None
        self._turn = asyncio.Lock()

    def ask_with(self, ask: Asker) -> None:
        """From now on whoever needs the locked vault is asked for its passphrase by `ask`."""
        self._vault.ask = ask

    # Values

    async def get(self, name: str) -> str | None:
        """The value: the environment's NAME, the file that NAME_FILE names, then what the backend keeps.

        Raises:
            KeysLocked: it may be in the vault, which is locked. Refused: others can read the file.
            KeyProblem: what was found can't be sent as a key, or the keyring failed.
        """
        found = await asyncio.to_thread(environment.find, name)
        value = found.value if found else await self._kept(name)
        if value is None:
            return None
        remember(value)
        return _sendable(name, value, found.detail if found else (await self.backend()).kind)

    async def for_model(self, model: Model) -> str | None:
        """The key on the record, else its provider's global one (P7), else None.

        Raises:
            KeyMissing: the record names a key that is nowhere. What `get` raises.
        """
        name = key_name(model)
        value = await self.get(name) if name else None
        if value is None and model.api_key_ref:
            raise KeyMissing(
                f"{model.name} needs the key {name!r}, and there is none of this name.",
                remedy=f"modelyard keys set {name}",
            )
        return value

    async def set(self, name: str, value: str) -> None:
        """Keep a key, in place of one of the same name.

        Raises:
            InvalidInput: by field. KeysLocked: the vault is. NotAllowed: keys come from the environment only.
        """
        self.check(name, value)
        remember(value)
        await (await self._keeper_to_change(name)).set(name, value)
        self._publish(name, "edited")

    @staticmethod
    def check(name: str, value: str) -> None:
        """See whether a key can be kept under this name.

        Raises:
            InvalidInput: by field.
        """
        problems: dict[str, str] = {}
        for check, given in ((check_name, name), (check_value, value)):
            try:
                check(given)
            except InvalidInput as error:
                problems |= error.fields
        if problems:
            raise InvalidInput(problems)

    async def remove(self, name: str) -> None:
        """Forget a key; records that refer to it stay.

        Raises:
            KeyMissing: there is none. NotAllowed: it comes from the environment. KeysLocked: the vault is.
        """
        keeper, _ = await self._place()
        names = await keeper.names() if keeper else []
        if name in names and keeper is not None:
            await keeper.remove(name)
            return self._publish(name, "deleted")
        if place := environment.where(name):
            raise NotAllowed(f"The key {name!r} comes from the environment.", remedy=f"Unset {place[1].split()[0]}.")
        raise KeyMissing(f"There is no key {name!r}.", remedy="modelyard keys list shows them all.")

    def _publish(self, name: str, action: str) -> None:
        self._bus.publish(RecordChanged(kind="key", id=name, action=action))

    async def _kept(self, name: str) -> str | None:
        keeper, _ = await self._place()
        for stored in stored_names(name) if keeper else ():
            assert keeper is not None
            if (value := await keeper.get(stored)) is not None:
                return value
        return None

    # What there is

    async def names(self) -> list[KeyInfo]:
        """All keys: kept, in the environment, or only referred to; with the records that use them, never a value.

        Nobody is asked for a passphrase: while the vault is locked, only names that are known otherwise are listed.
        """
        uses = await self._registry.key_uses()
        keeper, _ = await self._place()
        locked = (await self.backend()).locked
        missing = KeySource.LOCKED if locked else KeySource.MISSING
        kept = frozenset(await keeper.names() if keeper and not locked else ())
        provided = {name for name in ALIASES if environment.where(name)}
        known = {name for name, use in uses.items() if use.count}
        return [self._info(name, kept, missing, uses) for name in sorted(kept | provided | known)]

    def _info(self, name: str, kept: frozenset[str], missing: KeySource, uses: dict[str, KeyUse]) -> KeyInfo:
        source, detail = environment.where(name) or (missing, "")
        if source == missing and kept.intersection(stored_names(name)):
            source = KeySource.VAULT if self._in_vault else KeySource.KEYRING
        use = uses.get(name, KeyUse())
        return KeyInfo(name=name, source=source, detail=detail, used_by=use.names, uses=use.count)

    # Where they are kept

    async def backend(self) -> Backend:
        """What keeps the keys, and why."""
        keeper, why = await self._place()
        if keeper is None:
            return Backend(kind="environment", detail=why)
        if keeper is not self._vault:
            return Backend(kind="keyring", detail=why)
        locked = self._vault.locked and not await self._vault.unlock_quietly()
        return Backend(kind="vault", detail=why, locked=locked, new=not self._vault.vault.exists())

    @property
    def locked(self) -> bool:
        """Whether the vault is in use and locked, as far as is known now; `KeysLocked` is raised where it matters."""
        return self._in_vault and self._vault.locked

    async def needs_unlock(self, model: Model) -> bool:
        """Whether calling this model would need the locked vault: ask for the passphrase before."""
        name = key_name(model)
        return bool(name) and environment.where(name) is None and (await self.backend()).locked

    async def unlock(self, passphrase: str) -> None:
        """Open the vault for this session, or make it where there is none.

        Raises:
            WrongPassphrase: it is not the vault's. InvalidInput: too short for a new one.
            NotAllowed: keys are not kept in a vault.
        """
        await (await self._the_vault()).unlock(passphrase)
        self._publish("", "edited")

    async def unlock_first(self) -> None:
        """See that the vault is open; may ask."""
        await (await self._the_vault()).unlock_somehow()

    async def keep_unlocked(self, *, hours: float) -> bool:
        """Whether the kernel keeps the vault open for the commands of this login session; may ask."""
        return await (await self._the_vault()).keep(hours=hours)

    async def lock(self) -> None:
        """Lock the vault again, for this program and for the login session."""
        await (await self._the_vault()).lock()
        self._publish("", "edited")

    async def change_passphrase(self, passphrase: str) -> None:
        """Encrypt the vault anew; may ask for the passphrase that it has now."""
        await (await self._the_vault()).change_passphrase(passphrase)

    async def close(self) -> None:
        """Forget what was unlocked; end the keyring's process."""
        await self._vault.close()
        await self._ring.close()

    @property
    def _in_vault(self) -> bool:
        return self._found is not None and self._found[0] is self._vault

    async def _the_vault(self) -> VaultKeys:
        await self._place()
        if not self._in_vault:
            raise NotAllowed(
                "Keys are not kept in a vault here.",
                cause=(await self.backend()).detail,
                remedy='keys = "vault" in config.toml makes it so.',
            )
        return self._vault

    async def _keeper_to_change(self, name: str) -> Keeper:
        keeper, why = await self._place()
        if keeper is None:
            raise NotAllowed("Keys can't be set here.", cause=why, remedy=f"export {name}, or {name}_FILE with a path.")
        return keeper

    async def _place(self) -> tuple[Keeper | None, str]:
        """The keeper, and why it is that one; found out once.

        Raises:
            KeyringTrouble: the keyring was asked for by name and doesn't work.
        """
        async with self._turn:
            if self._found is None:
                self._found = await self._find()
            return self._found

    async def _find(self) -> tuple[Keeper | None, str]:
        if self._wanted == "environment":
            return None, 'keys = "environment" in config.toml: only variables and the files they name are read.'
        if self._wanted == "vault":
            return self._vault, f'keys = "vault" in config.toml: {self._vault.vault.path}.'
        if self._wanted == "auto" and self._vault.vault.exists():
            return self._vault, f"There is a vault: {self._vault.vault.path}."
        why_not = await self._ring.why_not()
        if not why_not:
            return self._ring, f"A keyring works here: {self._ring.called}."
        if self._wanted == "keyring":
            raise KeyringTrouble(
                'The keyring can\'t be used, and config.toml says keys = "keyring".',
                cause=why_not,
                remedy='Start and unlock one, or set keys = "vault" or "auto".',
            )
        return (
            self._vault,
            f"No keyring can be used ({why_not}), so keys go into a vault of ours: {self._vault.vault.path}.",
        )


def _sendable(name: str, value: str, source: str) -> str:
    try:
        return check_value(value)
    except InvalidInput as error:
        raise KeyProblem(
            f"The key {name!r} from {source} can't be sent.", cause=error.fields["value"], remedy="Set it anew."
        ) from None


def key_store(settings: Settings, registry: Registry, bus: EventBus) -> KeyStore:
    """With its parts, none of which does anything yet."""
    from core.keys.vault import Vault

    ring = Ring(settings.data_dir / "keys.lock")
    return KeyStore(settings, registry, bus, ring=ring, vault=VaultKeys(Vault(settings.data_dir / "vault")))
