"""What every host can do for the rest of the core, whether it is this machine or one behind SSH."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Completed:
    """How a command ended; output is decoded as UTF-8 with replacement and not made harmless."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, kw_only=True)
class FileStat:
    """A path on a host: size in bytes, whether it is a folder, modification time in epoch seconds."""

    path: str
    size: int
    is_dir: bool
    mtime: float
    readable: bool = True


@dataclass(frozen=True, kw_only=True)
class DiskUsage:
    """Of the file system that holds `path`; bytes."""

    path: str
    total: int
    free: int


@dataclass(frozen=True, kw_only=True)
class CopyProgress:
    """A copy under way; bytes of all files together, bytes per second, seconds left (None: unknown)."""

    done: int
    total: int
    rate: float = 0.0
    eta_s: float | None = None


class Connection(Protocol):
    """One connection to one host. All methods raise `HostUnreachable` subclasses when the host can't be reached."""

    name: str

    async def connect(self) -> None:
        """Be ready for use; cheap when it is already."""

    async def close(self) -> None:
        """Close what this process opened; nothing on the host is stopped."""

    async def run(
        self, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 60.0, check: bool = True
    ) -> Completed:
        """Run a command on the host without a shell of the caller's making: `argv` is quoted here.

        Raises:
            CommandFailed: `check` is set and the exit status is not 0, or the time ran out.
        """

    def stream(self, argv: Sequence[str], *, stdin: bytes | None = None) -> AsyncGenerator[str, None]:
        """Lines of a long-lived command; ending the iteration ends the command."""

    async def read(self, path: str, *, offset: int = 0, length: int) -> bytes:
        """Up to `length` bytes of a file from `offset`.

        Raises:
            NotFound: no such file. CommandFailed: it can't be read.
        """

    async def stat(self, path: str) -> FileStat | None:
        """None when there is no such path; symbolic links are followed."""

    async def listdir(self, path: str) -> list[FileStat]:
        """The entries of a folder, by name.

        Raises:
            NotFound: no such folder.
        """

    async def disk(self, path: str) -> DiskUsage:
        """Of the nearest existing parent of `path`."""

    async def docker_socket(self) -> Path:
        """A Unix socket on this machine that speaks to the host's container engine.

        Raises:
            EngineMissing: there is no socket. SocketDenied: there is one, without rights for this user.
        """

    async def tunnel(self, port: int) -> Path:
        """A Unix socket on this machine that reaches TCP `port` on the host's loopback, for httpx's `uds`.

        On the local host an empty path: connect to 127.0.0.1 directly.
        """

    def open_port(self, port: int, *, local_port: int = 0) -> AbstractAsyncContextManager[int]:
        """A TCP port on this machine's loopback that reaches `port` on the host's, while the context lasts."""

    def copy_to(self, source: Path, target: str) -> AsyncGenerator[CopyProgress, None]:
        """Copy a file or folder here to `target` there; resumes what an earlier copy left."""
