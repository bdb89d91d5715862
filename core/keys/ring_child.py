"""Talks to the keyring in a process of its own: it has no terminal to ask on, and it can be killed when it hangs.

One JSON request a line on standard input, one JSON answer a line on standard output. Only the Secret Service is
looked for (GNOME Keyring, KWallet and KeePassXC offer it), or what PYTHON_KEYRING_BACKEND names; never whatever
else the keyring library would find. A locked collection is not unlocked: that would open a prompt somewhere.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import sys
from importlib import import_module
from typing import Protocol

SERVICE = "modelyard"
_PR_SET_PDEATHSIG = 1
_NAMES = ".names"  # the entry that lists the others: keyrings can't be asked for it


class _Keyring(Protocol):
    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class Unusable(Exception):
    """Why the keyring can't be used, in a sentence."""


def chosen() -> tuple[_Keyring, str]:
    """The keyring that is used, and what it is called.

    Raises:
        Unusable: there is none.
    """
    named = os.environ.get("PYTHON_KEYRING_BACKEND", "")
    if not named:
        _refuse_locked()
        from keyring.backends import SecretService

        return SecretService.Keyring(), "the Secret Service of this session"  # type: ignore[no-untyped-call]
    module, _, name = named.rpartition(".")
    keyring: _Keyring = getattr(import_module(module), name)()
    return keyring, named


def _refuse_locked() -> None:
    import secretstorage
    from secretstorage.collection import get_collection_by_alias

    try:
        connection = secretstorage.dbus_init()
        if not secretstorage.check_service_availability(connection):
            raise Unusable("nothing offers the Secret Service on the session bus")
        if get_collection_by_alias(connection, "default").is_locked():
            raise Unusable("its default collection is locked, and unlocking it would need a prompt")
    except secretstorage.ItemNotFoundException:
        raise Unusable("it has no default collection, and making one would need a prompt") from None
    except secretstorage.SecretStorageException as error:
        raise Unusable(f"the session bus or its Secret Service failed: {type(error).__name__}") from None


def answer(request: dict[str, str]) -> object:
    """Do one request; `do` is "probe", "names", "get", "set" or "remove"."""
    ring, called = chosen()
    name = request.get("name", "")
    match request["do"]:
        case "probe":
            ring.get_password(SERVICE, _NAMES)
            return called
        case "names":
            return _names(ring)
        case "get":
            return ring.get_password(SERVICE, name)
        case "set":
            ring.set_password(SERVICE, name, request["value"])
            return _keep_names(ring, {name}, set())
        case "remove":
            if ring.get_password(SERVICE, name) is not None:
                ring.delete_password(SERVICE, name)
            return _keep_names(ring, set(), {name})
    raise Unusable(f"unknown request {request['do']}")


def _names(ring: _Keyring) -> list[str]:
    names: list[str] = json.loads(ring.get_password(SERVICE, _NAMES) or "[]")
    return names


def _keep_names(ring: _Keyring, added: set[str], removed: set[str]) -> bool:
    """Bring the list up to date; another program that does the same at the same time waits."""
    with open(sys.argv[1], "ab") as lock:  # noqa: PTH123 - pathlib is not needed otherwise
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _names(ring)
        names = sorted({*known, *added} - removed)
        if names != known:
            ring.set_password(SERVICE, _NAMES, json.dumps(names))
    return True


def main() -> None:
    """Answer until standard input ends; what libraries print goes to standard error."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # also when it hangs: it never outlives the program
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            said: dict[str, object] = {"ok": answer(json.loads(line))}
        except Unusable as reason:
            said = {"error": str(reason)}
        except Exception as error:  # noqa: BLE001 - its text may hold the value: only its kind is told
            said = {"error": f"it failed: {type(error).__name__}"}
        out.write(json.dumps(said) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
