"""Sixty small files of one download, and a server that has them."""

from __future__ import annotations

import hashlib
import random
import ssl
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from core.downloads.bandwidth import Bandwidth
from core.downloads.run import DownloadRun
from core.downloads.sources.base import Listing, SourceFile
from core.downloads.values import Limits
from core.files.digest import git_sha1_of
from tests.downloads.server import FileServer, Served

MANY = 60
RANDOM = random.Random(5)
CONTENTS = {f"part-{number % 3}/{number}.json": RANDOM.randbytes(number * 400) for number in range(MANY)}
QUICK = Limits(first_wait_s=0.01, longest_wait_s=0.05, silence_s=20.0, connect_s=10.0, tries=3)
TOKEN = "hf_thisIsSecret"
ODD = "part-1/40.json"  # the one that goes wrong


def serving(address: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None) -> AbstractContextManager[FileServer]:
    server = FileServer(address, tls=tls)
    server.files |= {name: Served(content=content) for name, content in CONTENTS.items()}
    return server.running()


def run_of(
    server: FileServer,
    folder: Path,
    *,
    names: Iterable[str] = CONTENTS,
    limits: Limits = QUICK,
    bandwidth: Bandwidth | None = None,
) -> DownloadRun:
    files = tuple(_told(server, number, name) for number, name in enumerate(names))
    listing = Listing(source="hf:org/model@main", title="org/model", folder="org/model", files=files)
    return DownloadRun(listing, folder, known={}, token=TOKEN, limits=limits, bandwidth=bandwidth)


def _told(server: FileServer, number: int, name: str) -> SourceFile:
    """Half of them with the hash that git has, as the Hub tells small files."""
    content = CONTENTS[name]
    hashes = {"sha256": hashlib.sha256(content).hexdigest()} if number % 2 else {"git_sha1": git_sha1_of(content)}
    return SourceFile(path=name, size=len(content), url=server.url(name), **hashes)


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def assert_all_there(folder: Path) -> None:
    assert names_in(folder) == set(CONTENTS)
    assert {name: (folder / name).read_bytes() for name in CONTENTS} == CONTENTS


def asked(server: FileServer, name: str) -> int:
    return sum(request.path.strip("/") == name for request in server.requests)
