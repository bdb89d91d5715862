"""Writing past the page cache: whole blocks where the file system lets us, and never a wrong byte."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from core.files import uncached
from core.files.uncached import BLOCK, UncachedFile

CONTENT = random.Random(5).randbytes(3 * BLOCK + 100)


def filled() -> memoryview:
    piece = uncached.buffer(4 * BLOCK)
    piece[: len(CONTENT)] = CONTENT
    return piece[: len(CONTENT)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "part"
    path.write_bytes(bytes(8 * BLOCK))
    return path


def test_whole_blocks_go_past_the_cache_and_the_rest_is_left_to_the_caller(file: Path) -> None:
    writer = UncachedFile(file)
    written = writer.write(filled(), BLOCK)
    writer.close()
    if not written:
        pytest.skip("this file system has no such way")
    assert written == 3 * BLOCK
    assert file.read_bytes() == bytes(BLOCK) + CONTENT[:written] + bytes(4 * BLOCK)


@pytest.mark.parametrize(("length", "at"), [(BLOCK - 1, 0), (2 * BLOCK, 17), (0, 0)])
def test_what_is_no_whole_block_does_not_go(file: Path, length: int, at: int) -> None:
    writer = UncachedFile(file)
    assert writer.write(filled()[:length], at) == 0
    writer.close()
    assert file.read_bytes() == bytes(8 * BLOCK)


def test_a_file_system_that_refuses_is_asked_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuses(descriptor: int, piece: memoryview, at: int) -> int:
        asked.append(at)
        raise OSError(errno.EINVAL, "no such way")

    writer = UncachedFile(file)
    monkeypatch.setattr(os, "pwrite", refuses)
    assert [writer.write(filled(), at) for at in (0, BLOCK)] == [0, 0]
    assert len(asked) <= 1
    writer.close()


def test_a_full_disk_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_full(descriptor: int, piece: memoryview, at: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    writer = UncachedFile(file)
    monkeypatch.setattr(os, "pwrite", is_full)
    if writer._descriptor is not None:
        with pytest.raises(OSError, match="full"):
            writer.write(filled(), 0)
    writer.close()


def test_where_there_is_no_such_way_nothing_goes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_DIRECT", raising=False)
    writer = UncachedFile(file)
    assert writer.write(filled(), 0) == 0
    writer.close()


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    writer = UncachedFile(link)
    assert writer.write(filled(), 0) == 0
    assert file.read_bytes() == bytes(8 * BLOCK)
