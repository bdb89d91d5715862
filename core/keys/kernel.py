"""Keeps the unlocked vault's key in the kernel's session keyring, for the commands of one login session.

The key is in the kernel's memory only: it is on no disk, in no swap and in no environment, other users and other
login sessions can't read it, and it is gone after its time. Where the kernel or a container's rules don't allow
it, nothing is kept, and each command asks.
"""

from __future__ import annotations

import ctypes
import os
import platform
from hashlib import sha256
from typing import TYPE_CHECKING

from core.keys.vault import Unlocked

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_HOURS = 8
# add_key, keyctl: asm/unistd.h of each architecture
_CALLS = {"x86_64": (248, 250), "aarch64": (217, 219), "riscv64": (217, 219), "ppc64le": (269, 271)}
_SESSION_KEYRING = -3
_GET_KEYRING_ID, _REVOKE, _SEARCH, _READ, _SET_TIMEOUT = 0, 3, 10, 11, 15
_LENGTH = 32 + 16 + 8  # key, salt, cost


def keep(path: Path, unlocked: Unlocked, *, hours: float) -> bool:
    """Keep the key of the vault at `path`; whether the kernel took it."""
    add, keyctl = _calls()
    if not add:
        return False
    ring = _call(keyctl, _GET_KEYRING_ID, _SESSION_KEYRING, 0)
    payload = unlocked.key + unlocked.salt + unlocked.cost.to_bytes(8)
    serial = _call(add, b"user", _name(path), payload, ctypes.c_size_t(len(payload)), ctypes.c_long(ring))
    if ring < 0 or serial < 0:
        return False
    return _call(keyctl, _SET_TIMEOUT, serial, max(1, int(hours * 3600))) == 0


def kept(path: Path) -> Unlocked | None:
    """The key of the vault at `path`, if this login session has unlocked it."""
    serial = _find(path)
    buffer = ctypes.create_string_buffer(_LENGTH)
    if serial < 0 or _call(_calls()[1], _READ, serial, buffer, ctypes.c_size_t(_LENGTH)) != _LENGTH:
        return None
    raw = buffer.raw
    return Unlocked(key=raw[:32], salt=raw[32:48], cost=int.from_bytes(raw[48:]))


def forget(path: Path) -> bool:
    """Whether there was a key to forget."""
    serial = _find(path)
    return serial >= 0 and _call(_calls()[1], _REVOKE, serial) == 0


def _find(path: Path) -> int:
    _, keyctl = _calls()
    return _call(keyctl, _SEARCH, _SESSION_KEYRING, b"user", _name(path), 0) if keyctl else -1


def _name(path: Path) -> bytes:
    """The vault's, not readable: descriptions of keys are shown in /proc/keys."""
    return b"modelyard-vault:" + sha256(os.fsencode(path.absolute())).hexdigest()[:24].encode()


def _calls() -> tuple[int, int]:
    return _CALLS.get(platform.machine(), (0, 0)) if os.name == "posix" else (0, 0)


def _call(number: int, *arguments: object) -> int:
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *given))
