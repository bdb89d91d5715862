"""The one SSH connection to a host, shared by all programs of this user that need it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

from core.errors import HostSilent, HostUnreachable
from core.hosts.host_keys import unknown_key
from core.hosts.lease import Lease
from core.hosts.process import end, execute
from core.hosts.runtime_dir import ensure_private, locked
from core.hosts.ssh_config import SshTarget, escape, master_command, resolve, session_command, ssh_env
from core.hosts.ssh_errors import cause_of, explain, is_unknown_key

PERSIST_S = 60
_LAYOUT = 1  # part of the name: programs with other options don't share a master


class Master:
    """Starts or joins the master of one target, and has it forward sockets."""

    def __init__(self, target: SshTarget, folder: Path) -> None:
        self.target = target
        self._folder = folder
        self._lease: Lease | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._forwards: dict[Path, str] = {}
        config = str(Path(target.config).expanduser().absolute()) if target.config else ""
        key = f"{_LAYOUT}\0{target.target}\0{config}\0{Path.home()}"
        self._stem = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:10]

    @property
    def control(self) -> Path:
        """The control socket."""
        return self._path(".ctl")

    @property
    def alive(self) -> bool:
        """Whether a master is held now."""
        return self._lease is not None and self._lease.alive

    def _path(self, suffix: str) -> Path:
        return self._folder / f"{self._stem}{suffix}"

    async def ready(self) -> None:
        """Hold a living master, with all forwards made; callers at the same time share one attempt.

        Raises:
            HostUnreachable: a subclass says why.
        """
        if self.alive:
            return
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._establish())
        await asyncio.shield(self._attempt)

    async def check(self) -> bool:
        """Ask the master; False when it is gone."""
        return self._lease is not None and await self._lease.check()

    def drop(self) -> None:
        """Let go of the master; it exits by itself when nobody holds it."""
        if self._attempt is not None:
            self._attempt.cancel()
        if self._lease is not None:
            self._lease.drop()
            self._lease = None

    async def exit(self) -> None:
        """End the master for all; the next use logs in afresh, with the rights the user has by then."""
        await self._control("exit")
        self.drop()
        self._attempt = None

    async def forward(self, suffix: str, remote: str) -> Path:
        """A Unix socket here that reaches `remote`, a socket's path or an address and port, over there.

        Raises:
            HostUnreachable: the line is gone, or ssh refused.
        """
        await self.ready()
        local = self._path(suffix)
        if self._forwards.get(local) != remote or not local.exists():
            await self._make_forward(local, remote)
            self._forwards[local] = remote
        return local

    async def _make_forward(self, local: Path, remote: str) -> None:
        code, errors = await self._control("forward", "-L", f"{_word(str(local))}:{_word(remote)}")
        if code != 0:
            raise HostUnreachable(
                f"{self.target.name}: the SSH connection could not forward {remote}.",
                cause=cause_of(errors),
                remedy="On the host, sshd needs AllowStreamLocalForwarding and AllowTcpForwarding (default: yes).",
            )

    async def _control(self, order: str, *words: str) -> tuple[int, str]:
        argv = [*session_command(self.control), "-O", order, *words, "--", "modelyard"]
        try:
            output = await execute(argv, timeout_s=10, env=ssh_env())
        except TimeoutError:
            return 255, "the ssh master did not answer within 10 s"
        return output.code, output.errors

    async def _establish(self) -> None:
        if self._lease is not None:
            self._lease.drop()
            self._lease = None
        ensure_private(self._folder)
        try:
            async with locked(self._path(".lock"), timeout_s=2 * self.target.patience_s):
                lease = await Lease.take(self.control) or await self._start()
        except TimeoutError as error:
            raise HostSilent(
                f"{self.target.name}: another program tries to log in there and does not finish.",
                remedy=f"Try again, or see whether {self.target.login} works by hand.",
            ) from error
        self._lease = lease
        for local, remote in self._forwards.items():
            await self._make_forward(local, remote)

    async def _start(self) -> Lease:
        resolved = await resolve(self.target)
        log = self._path(".log")
        for stale in (self.control, log):
            stale.unlink(missing_ok=True)
        command = master_command(self.target, resolved, self.control, persist_s=PERSIST_S, log=log)
        code = await self._login(command, log)
        lease = await Lease.take(self.control) if code == 0 else None
        if lease is None:
            raise await self._failure(_text(log))
        return lease

    async def _login(self, command: list[str], log: Path) -> int:
        # The jump host's ssh does not know -E; both write into the same file.
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=sink,
                env=ssh_env(),
                start_new_session=True,
            )
        try:
            return await asyncio.wait_for(process.wait(), self.target.patience_s)
        except TimeoutError:
            seconds = round(self.target.patience_s)
            raise HostSilent(
                f"{self.target.name} answered, and the login was not done after {seconds} s.",
                cause=cause_of(_text(log)),
                remedy=f"The host may be overloaded, or a key waits for a touch. Try {self.target.login}",
            ) from None
        finally:
            await end(process)

    async def _failure(self, stderr: str) -> HostUnreachable:
        if is_unknown_key(stderr):
            return await unknown_key(self.target, stderr)
        return explain(stderr, self.target)

    def last_words(self) -> str:
        """What the master wrote when the line broke, as one harmless line."""
        return cause_of(_text(self._path(".log"))[-2000:])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _word(part: str) -> str:
    """One side of a forward; ports' colons stay, those of paths are hidden from ssh."""
    if not part.startswith("/"):
        return part
    return escape(part.replace("\\", "\\\\").replace(":", "\\:"))
