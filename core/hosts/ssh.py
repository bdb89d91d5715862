"""A host behind SSH: everything goes through the one connection that `Master` holds."""

from __future__ import annotations

import asyncio
import posixpath
import shlex
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import Executor
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import CommandFailed, HostSilent, InvalidInput, LoginRefused
from core.hosts import copying, engine_socket, remote
from core.hosts.connection import Completed, CopyProgress, DiskUsage, FileStat
from core.hosts.master import Master
from core.hosts.process import Output, TooMuchOutput, execute, lines
from core.hosts.relay import Streams, relay
from core.hosts.sending import Pace, Part, send
from core.hosts.ssh_config import SshTarget, check_socket, check_target, session_command, ssh_env
from core.hosts.ssh_errors import cause_of
from core.text import clean_line

if TYPE_CHECKING:
    from core.registry.records import Host
    from core.settings import Settings

_SESSIONS = 8  # sshd allows 10 at once on a connection (MaxSessions)
_FILES_S = 30.0
_REFUSAL_HOLDS_S = 60.0
_NEVER_STARTED = ("UNKNOWN port 65535", "Control socket connect", "Session open refused")

# Runs "$@" with the first "$1" bytes of stdin as its own, and ends it when the connection to its starter ends:
# then stdin ends, and with it the left side's cat. The left side says its number first, to be ended in time.
_WATCHED = """
n=$1; shift; exec 3<&0
{ sh -c 'echo $PPID'; head -c "$n" <&3; exec >/dev/null; cat <&3; kill -TERM 0; } 2>/dev/null |
{ read -r w; "$@" 3<&-; s=$?; kill -PIPE $w; exit $s; }
"""


class SshConnection:
    """One host over the user's own ssh; see `Connection` for what each method promises."""

    def __init__(self, host: Host, settings: Settings) -> None:
        self.name = host.name
        self.target = SshTarget(
            name=host.name,
            target=check_target(host.target),
            config=host.ssh_config,
            connect_timeout_s=settings.connect_timeout_s,
        )
        self._socket = check_socket(host.docker_socket)
        self._master = Master(self.target, settings.runtime_dir)
        self._slots = asyncio.Semaphore(_SESSIONS)
        self._refusal: tuple[float, LoginRefused] | None = None

    async def connect(self) -> None:
        if self._refusal and asyncio.get_running_loop().time() < self._refusal[0]:
            raise self._refusal[1]
        try:
            await self._master.ready()
        except LoginRefused as error:
            # Whoever polls must not make the host ban this address.
            self._refusal = (asyncio.get_running_loop().time() + _REFUSAL_HOLDS_S, error)
            raise

    def forget_refusal(self) -> None:
        """Let the next use log in at once, because the user asks for it."""
        self._refusal = None

    async def close(self) -> None:
        self._master.drop()

    async def end(self) -> None:
        """End the connection for all programs that share it, at once."""
        await self._master.exit()

    async def run(
        self, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 60.0, check: bool = True
    ) -> Completed:
        try:
            output = await self._session(argv, stdin=stdin, timeout_s=timeout_s)
        except TooMuchOutput as error:
            raise CommandFailed(
                f"{self.name}: {remote.shown_command(argv)} wrote too much.", cause=str(error)
            ) from error
        done = Completed(
            argv=tuple(argv),
            code=output.code,
            stdout=output.stdout.decode("utf-8", "replace"),
            stderr=output.errors,
        )
        if check and done.code != 0:
            raise self._failed(argv, output)
        return done

    async def stream(self, argv: Sequence[str], *, stdin: bytes | None = None) -> AsyncGenerator[str, None]:
        watched = remote.script(_WATCHED, str(len(stdin or b"")), *argv)
        async with self._slots:
            await self.connect()
            command = [*session_command(self._master.control), "--", "modelyard", shlex.join(watched)]
            source = lines(command, stdin=stdin, env=ssh_env(), hold_stdin=True)
            async with aclosing(source):
                async for item in source:
                    if isinstance(item, str):
                        yield item
                    elif item.code != 0:
                        await self._raise_when_lost(item)
                        raise self._failed(argv, item)

    async def read(self, path: str, *, offset: int = 0, length: int) -> bytes:
        output = await self._files(remote.read_argv(path, offset, length), limit=length + 1)
        remote.check(output, host=self.name, path=path, doing="read")
        if len(output.stdout) < length and output.stderr:
            raise CommandFailed(f"{self.name}: can't read {clean_line(path)}.", cause=cause_of(output.errors))
        return output.stdout

    async def stat(self, path: str) -> FileStat | None:
        output = await self._files(remote.stat_argv(path))
        if output.code == remote.MISSING:
            return None
        remote.check(output, host=self.name, path=path, doing="look at")
        return remote.parse_stat(path, output)

    async def listdir(self, path: str) -> list[FileStat]:
        output = await self._files(remote.list_argv(path))
        remote.check(output, host=self.name, path=path, doing="list")
        return remote.parse_list(path, output.stdout)

    async def disk(self, path: str) -> DiskUsage:
        output = await self._files(remote.disk_argv(path))
        remote.check(output, host=self.name, path=path, doing="measure the disk of")
        return remote.parse_disk(path, output.stdout)

    async def docker_socket(self) -> Path:
        await self.connect()
        local = await self._master.forward(".eng", self._socket)
        problem = await engine_socket.answers(local)
        if not problem:
            return local
        seen = await engine_socket.look(self._files, self._socket)
        if seen.stale_login:
            await self._master.exit()
            await self.connect()
            local = await self._master.forward(".eng", self._socket)
            problem = await engine_socket.answers(local)
            if not problem:
                return local
        raise engine_socket.explain(seen, host=self.name, path=self._socket, problem=problem)

    async def tunnel(self, port: int) -> Path:
        if not 0 < port < 65536:
            raise InvalidInput({"port": f"{port} is not a port"})
        await self.connect()
        return await self._master.forward(f".{port}", f"127.0.0.1:{port}")

    @asynccontextmanager
    async def open_port(self, port: int, *, local_port: int = 0) -> AsyncIterator[int]:
        async def dial() -> Streams:
            return await asyncio.open_unix_connection(str(await self.tunnel(port)))

        await self.tunnel(port)
        async with relay(dial, local_port=local_port) as listening:
            yield listening

    async def copy_to(self, source: Path, target: str) -> AsyncGenerator[CopyProgress, None]:
        measured = await asyncio.to_thread(copying.measure, source)
        await self._prepare(measured, target)
        async with self._slots:
            await self.connect()
            argv = copying.rsync_argv(measured, target, shell=session_command(self._master.control))
            async with aclosing(copying.rsync(argv, total=measured.total)) as reports:
                async for item in reports:
                    if isinstance(item, CopyProgress):
                        yield item
                    elif item.code != 0:
                        await self._raise_when_lost()
                        raise copying.explain_failure(item.code, item.errors, host=self.name, target=target)
        yield CopyProgress(done=measured.total, total=measured.total, eta_s=0.0)

    async def send(
        self, argv: Sequence[str], part: Part, *, pool: Executor, pace: Pace | None = None
    ) -> AsyncGenerator[int, None]:
        """Feed a part of a file to a command; bytes given so far, as it goes. Waits in a thread of `pool`."""
        async with self._slots:
            await self.connect()
            command = [*session_command(self._master.control), "--", "modelyard", shlex.join(argv)]
            async with aclosing(send(command, part, pool=pool, env=ssh_env(), pace=pace)) as reports:
                async for item in reports:
                    if isinstance(item, int):
                        yield item
                    elif item.code != 0:
                        await self._raise_when_lost(item)
                        raise self._failed(argv, item)

    async def _prepare(self, source: copying.Source, target: str) -> None:
        there = await self.stat(target)
        if there is not None and there.is_dir != source.is_dir:
            raise copying.other_kind(self.name, there)
        parent = target if source.is_dir else posixpath.dirname(target)
        await self.run(["mkdir", "-p", "--", remote.safe(parent or ".")], timeout_s=_FILES_S)

    async def _files(self, argv: Sequence[str], *, limit: int | None = None) -> Output:
        return await self._session(argv, timeout_s=_FILES_S, limit=limit)

    async def _session(
        self, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float, limit: int | None = None
    ) -> Output:
        """Run over the connection; a command that surely did not start is tried again, others never."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            await self.connect()
            output = await self._attempt(argv, stdin, deadline, limit)
            if output.code != 255:
                return output
            text = output.errors
            if not any(word in text for word in _NEVER_STARTED):
                await self._raise_when_lost(output)
                return output
            if asyncio.get_running_loop().time() > deadline:
                raise self._busy(text)
            await self._master.check()
            await asyncio.sleep(0.2)

    async def _attempt(self, argv: Sequence[str], stdin: bytes | None, deadline: float, limit: int | None) -> Output:
        command = [*session_command(self._master.control), "--", "modelyard", shlex.join(argv)]
        async with self._slots:
            left = max(1.0, deadline - asyncio.get_running_loop().time())
            try:
                bound = {} if limit is None else {"limit": limit}
                return await execute(command, stdin=stdin, timeout_s=left, env=ssh_env(), **bound)
            except TimeoutError as error:
                await self._raise_when_lost()
                raise CommandFailed(
                    f"{self.name}: {remote.shown_command(argv)} did not end in time.",
                    remedy="The host may be overloaded; try again, or run the command there by hand.",
                ) from error

    async def _raise_when_lost(self, output: Output | None = None) -> None:
        if (output is None or output.code == 255) and not await self._master.check():
            raise HostSilent(
                f"The SSH connection to {self.name} broke.",
                cause=self._master.last_words() or (cause_of(output.errors) if output else ""),
                remedy="It is made again with the next command; see whether the host and the network are up.",
            )

    def _busy(self, text: str) -> CommandFailed:
        return CommandFailed(
            f"{self.name} opens no more sessions on this connection.",
            cause=cause_of(text),
            remedy="Wait for running copies and commands, or raise MaxSessions in the host's sshd_config.",
        )

    def _failed(self, argv: Sequence[str], output: Output) -> CommandFailed:
        return remote.failed(self.name, argv, output, cause=cause_of(output.errors))
