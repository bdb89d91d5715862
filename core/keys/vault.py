"""The application's own encrypted file for keys, where there is no keyring; blocking, called on threads.

One JSON document: how the key is derived from the passphrase (scrypt), a nonce, and one AES-256-GCM ciphertext
of all entries, with the header authenticated too. Names are inside it: they tell whose customer one is, and as
one whole no entry can be swapped, dropped or brought back alone. The plain text is padded, so that the size
tells little. A checksum outside tells damage from a wrong passphrase.
"""

from __future__ import annotations

import json
import os
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, KeysLocked, Refused, VaultDamaged, WrongPassphrase
from core.private import check_file, make_folder
from core.waiting import locked_file

FORMAT, VERSION = "modelyard-vault", 1
COST = 2**17  # scrypt's N: with r = 8 it takes 128 MiB and about a third of a second
SHORTEST_PASSPHRASE = 8  # characters
_MOST_COST, _R, _P = 2**18, 8, 1
_PAD = 1024  # bytes
_LOCK_WAIT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Unlocked:
    """The derived key, and the salt and cost that it belongs to; it is in no `repr`."""

    key: bytes = field(repr=False)
    salt: bytes
    cost: int


class Vault:
    """The file `path`, mode 0600 in a private folder; every method but `exists` may raise what `_read` raises."""

    def __init__(self, path: Path, *, cost: int = COST) -> None:
        self.path = path
        self._cost = cost

    def exists(self) -> bool:
        """Whether there is a file, whatever is in it."""
        return self.path.exists()

    def create(self, passphrase: str) -> Unlocked:
        """Make an empty vault.

        Raises:
            InvalidInput: the passphrase is too short. Refused: another program has just made one.
        """
        _check_passphrase(passphrase)
        unlocked = self._derive(passphrase, os.urandom(16), self._cost)
        with self._exclusive():
            if self.exists():
                raise Refused(f"There is a vault by now: {self.path}", remedy="Unlock it with its passphrase.")
            self._write(unlocked, {})
        return unlocked

    def unlock(self, passphrase: str) -> Unlocked:
        """Derive the key and see that it opens the file.

        Raises:
            WrongPassphrase: it is not the vault's.
        """
        document = self._read()
        unlocked = self._derive(passphrase, b64decode(document["kdf"]["salt"]), document["kdf"]["n"])
        try:
            _open(document, unlocked)
        except KeysLocked:
            raise WrongPassphrase(
                "This is not the vault's passphrase.",
                remedy=f"Try again. Without it the keys are lost: move {self.path} away and set them anew.",
            ) from None
        return unlocked

    def entries(self, unlocked: Unlocked) -> dict[str, str]:
        """All keys by name.

        Raises:
            KeysLocked: the passphrase was changed meanwhile.
        """
        return _open(self._read(), unlocked)

    def change(self, unlocked: Unlocked, work: Callable[[dict[str, str]], None]) -> None:
        """Read, let `work` change the entries, write; other programs wait meanwhile."""
        with self._exclusive():
            entries = self.entries(unlocked)
            work(entries)
            self._write(unlocked, entries)

    def change_passphrase(self, unlocked: Unlocked, passphrase: str) -> Unlocked:
        """Encrypt everything anew, under a new salt; other sessions have to unlock again."""
        _check_passphrase(passphrase)
        renewed = self._derive(passphrase, os.urandom(16), self._cost)
        with self._exclusive():
            self._write(renewed, self.entries(unlocked))
        return renewed

    def _derive(self, passphrase: str, salt: bytes, cost: int) -> Unlocked:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        text = unicodedata.normalize("NFKC", passphrase)  # keyboards differ in how they compose a letter
        key = Scrypt(salt=salt, length=32, n=cost, r=_R, p=_P).derive(text.encode("utf-8", "surrogatepass"))
        return Unlocked(key=key, salt=salt, cost=cost)

    def _read(self) -> dict[str, Any]:
        """The file's document, whole and of a form that is known.

        Raises:
            VaultDamaged: it is not. Refused: others can get at it, or a newer program wrote it.
            KeysLocked: there is none.
        """
        check_file(self.path, "vault")
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            raise KeysLocked("There is no vault yet.", remedy="modelyard keys unlock makes one.") from None
        except OSError as error:
            raise self._damaged(error.strerror or "it can't be read") from error
        return self._checked(content)

    def _checked(self, content: bytes) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(content)
            if document["format"] == FORMAT and document["version"] > VERSION:
                raise Refused(
                    f"The vault {self.path} was written by a newer Modelyard.", remedy="Upgrade Modelyard here."
                )
            if document.pop("sha256") != _checksum(document):
                raise self._damaged("its checksum is another one")
            _check_header(document)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged("it is not in the form of a vault") from error
        return document

    def _damaged(self, cause: str) -> VaultDamaged:
        return VaultDamaged(
            f"The vault {self.path} is damaged; it was left as it is.",
            cause=cause,
            remedy=f"Bring it back from a backup, or move it away (mv {self.path} {self.path}.damaged)"
            " and set the keys anew.",
        )

    def _write(self, unlocked: Unlocked, entries: Mapping[str, str]) -> None:
        """Into a new file that takes the old one's place once it is on the disk."""
        document = _sealed(unlocked, entries)
        document["sha256"] = _checksum(document)
        new = self.path.with_name(f"{self.path.name}.new")  # one writer at a time: the lock is held
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path)
        _sync_folder(self.path.parent)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        make_folder(self.path.parent)
        with locked_file(self.path.with_name(f"{self.path.name}.lock"), what="the vault", timeout_s=_LOCK_WAIT_S):
            yield


def _check_passphrase(passphrase: str) -> None:
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise InvalidInput({"passphrase": f"At least {SHORTEST_PASSPHRASE} characters."})


def _check_header(document: Mapping[str, Any]) -> None:
    """Only what this version writes, so that a forged header can't make it work for minutes or weaken anything."""
    kdf = document["kdf"]
    n = kdf["n"]
    known = (document["format"], document["version"], document["cipher"], kdf["name"], kdf["r"], kdf["p"])
    if known != (FORMAT, VERSION, "AES-256-GCM", "scrypt", _R, _P):
        raise ValueError
    if not (isinstance(n, int) and 2 <= n <= _MOST_COST and n & (n - 1) == 0):
        raise ValueError
    sizes = len(b64decode(kdf["salt"], validate=True)), len(b64decode(document["nonce"], validate=True))
    if sizes != (16, 12) or len(b64decode(document["data"], validate=True)) <= 16:
        raise ValueError


def _sealed(unlocked: Unlocked, entries: Mapping[str, str]) -> dict[str, Any]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(12)
    salt = b64encode(unlocked.salt).decode()
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "kdf": {"name": "scrypt", "n": unlocked.cost, "r": _R, "p": _P, "salt": salt},
        "cipher": "AES-256-GCM",
        "nonce": b64encode(nonce).decode(),
    }
    plain = json.dumps({"keys": dict(entries)}).encode("ascii")
    padded = plain + b" " * (-len(plain) % _PAD)
    data = AESGCM(unlocked.key).encrypt(nonce, padded, _canonical(header))
    return {**header, "data": b64encode(data).decode()}


def _open(document: Mapping[str, Any], unlocked: Unlocked) -> dict[str, str]:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header = {name: value for name, value in document.items() if name != "data"}
    try:
        plain = AESGCM(unlocked.key).decrypt(
            b64decode(document["nonce"]), b64decode(document["data"]), _canonical(header)
        )
    except InvalidTag:
        raise KeysLocked(
            "The vault's passphrase was changed meanwhile.", remedy="Unlock it again: modelyard keys unlock"
        ) from None
    keys: dict[str, str] = json.loads(plain)["keys"]
    return keys


def _canonical(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii")


def _checksum(document: Mapping[str, Any]) -> str:
    return sha256(_canonical(document)).hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
