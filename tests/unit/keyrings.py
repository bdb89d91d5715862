"""Keyring backends for tests, used through the real keyring library by their names."""

from __future__ import annotations

import getpass
import json
import os
import time
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import PasswordSetError

VARIABLE = "TEST_KEYRING_FILE"


class FileKeyring(KeyringBackend):
    """Keeps everything in the file that an environment variable names."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return self._all().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write({**self._all(), f"{service}/{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        entries = self._all()
        del entries[f"{service}/{username}"]
        self._write(entries)

    def _all(self) -> dict[str, str]:
        path = Path(os.environ[VARIABLE])
        entries: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return entries

    def _write(self, entries: dict[str, str]) -> None:
        path = Path(os.environ[VARIABLE])
        path.with_suffix(".new").write_text(json.dumps(entries))
        path.with_suffix(".new").replace(path)


class HangingKeyring(FileKeyring):
    """Never answers, as a Secret Service with a prompt that nobody sees."""

    def get_password(self, service: str, username: str) -> str | None:
        time.sleep(3600)
        return None


class AskingKeyring(FileKeyring):
    """Asks on the terminal, as keyrings.cryptfile does."""

    def get_password(self, service: str, username: str) -> str | None:
        return getpass.getpass("Passphrase of the keyring: ")


class TalkativeKeyring(FileKeyring):
    """Fails with the value in its message, and prints it."""

    def set_password(self, service: str, username: str, password: str) -> None:
        print(password)
        raise PasswordSetError(f"can't keep {password}")
