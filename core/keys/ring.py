"""The keyring, reached through a process that is killed when it does not answer in time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from core.errors import KeyringTrouble

PROBE_S = 4.0
_ANSWER_S = 15.0
_CHILD = Path(__file__).with_name("ring_child.py")
_UNSAFE = ("null", "fail", "chainer", "plaintext", "keyrings.alt", "cryptfile")  # keep nothing, or in the open
_LIMIT = 1024 * 1024  # bytes of one answer


class Ring:
    """Keys in the user's keyring; the process is started with the first request, and again after it was killed."""

    def __init__(self, lock: Path, *, probe_s: float = PROBE_S, answer_s: float = _ANSWER_S) -> None:
        self._lock = lock  # a file: two programs don't change the list of names at once
        self._probe_s = probe_s
        self._answer_s = answer_s
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self.called = ""

    async def why_not(self) -> str:
        """Why there is no keyring that works; "" when there is one. Takes `probe_s` at most."""
        if reason := _certainly_none():
            return reason
        try:
            self.called = str(await self._ask({"do": "probe"}, self._probe_s))
        except KeyringTrouble as trouble:
            return trouble.cause
        return ""

    async def names(self) -> list[str]:
        """The names of all keys that this program has put there."""
        found = await self._ask({"do": "names"}, self._answer_s)
        return [str(name) for name in found] if isinstance(found, list) else []

    async def get(self, name: str) -> str | None:
        """The key of this name."""
        value = await self._ask({"do": "get", "name": name}, self._answer_s)
        return None if value is None else str(value)

    async def set(self, name: str, value: str) -> None:
        """Put a key there, in place of one of the same name."""
        await self._ask({"do": "set", "name": name, "value": value}, self._answer_s)

    async def remove(self, name: str) -> None:
        """Take a key away."""
        await self._ask({"do": "remove", "name": name}, self._answer_s)

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._end()

    async def _ask(self, request: dict[str, str], limit_s: float) -> object:
        """One request, over pipes: neither name nor value is ever an argument of a process.

        Raises:
            KeyringTrouble: it failed, or did not answer in time.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(limit_s):
                    line = await self._exchange(json.dumps(request).encode() + b"\n")
            except (TimeoutError, OSError) as error:
                await self._end()
                late = isinstance(error, TimeoutError)
                raise _trouble(f"it did not answer within {limit_s:.0f} s" if late else str(error)) from error
            except BaseException:
                await self._end()  # cancelled in the middle: the next answer would be this one's
                raise
        said = json.loads(line or b'{"error": "its process ended"}')
        if "error" in said:
            raise _trouble(str(said["error"]))
        answer: object = said["ok"]
        return answer

    async def _exchange(self, line: bytes) -> bytes:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line)
        await process.stdin.drain()
        return await process.stdout.readline()

    async def _start(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(_CHILD), str(self._lock)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=_environment(),
            limit=_LIMIT,
            start_new_session=True,  # no terminal: whatever asks for a passphrase fails at once
        )

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _certainly_none() -> str:
    """What can be told without starting anything: on most servers, that there is no session bus."""
    if named := os.environ.get("PYTHON_KEYRING_BACKEND", ""):
        unsafe = any(word in named.lower() for word in _UNSAFE)
        return f"PYTHON_KEYRING_BACKEND names {named}, which keeps nothing safe" if unsafe else ""
    return "" if _bus() else "this session has no D-Bus session bus"


def _bus() -> str:
    given = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    usual = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}") / "bus"
    return given or (f"unix:path={usual}" if usual.is_socket() else "")


def _environment() -> dict[str, str]:
    """Without a display no prompt can come up in front of the screens."""
    hidden = {"DISPLAY", "WAYLAND_DISPLAY"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "DBUS_SESSION_BUS_ADDRESS": _bus()} if _bus() else kept


def _trouble(cause: str) -> KeyringTrouble:
    return KeyringTrouble(
        "The keyring can't be used now.",
        cause=cause,
        remedy='Unlock it in your session, or set keys = "vault" in config.toml.',
    )
