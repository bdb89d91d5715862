"""A key store for tests, on files of its own, with a passphrase that costs nothing."""

from __future__ import annotations

from dataclasses import replace

from core.events import EventBus
from core.keys.ring import Ring
from core.keys.store import KeyStore
from core.keys.vault import Vault
from core.keys.vault_keys import VaultKeys
from core.registry.store import Registry
from core.settings import Settings


class KeyPlace:
    """A key store on files of its own."""

    def __init__(self, settings: Settings, registry: Registry, bus: EventBus) -> None:
        self.settings, self.registry, self.bus = settings, registry, bus

    def store(self, *, keys: str = "auto", probe_s: float = 30.0, answer_s: float = 30.0) -> KeyStore:
        """Another program of the same user, patient: other tests hold the processor, too."""
        ring = Ring(self.settings.data_dir / "keys.lock", probe_s=probe_s, answer_s=answer_s)
        vault = VaultKeys(Vault(self.settings.data_dir / "vault", cost=16))
        return KeyStore(replace(self.settings, keys=keys), self.registry, self.bus, ring=ring, vault=vault)
