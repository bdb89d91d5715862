"""The rooms of the transfer engine: spans that add up, a hash whatever the order, notes that outlive a machine."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.downloads import partial
from core.downloads.hashing import Buffers, Hashing
from core.downloads.http import Version
from core.downloads.partial import Note, Partial
from core.downloads.parts import Part, Parts, joined
from core.downloads.settling import Settling
from core.errors import FileProblem
from core.files import digest
from core.files.verify import Checked, Condition, Verification

CONTENT = random.Random(3).randbytes(40_000)


@given(seed=st.integers(0, 10_000), least=st.sampled_from([500, 4_000, 50_000]))
@settings(max_examples=60, deadline=None)
def test_every_byte_is_fetched_once(seed: int, least: int) -> None:
    chance, seen = random.Random(seed), bytearray(len(CONTENT))
    parts = Parts(len(CONTENT), todo=[(0, len(CONTENT))], least=least, edge=64)
    held: list[Part] = []
    while not parts.is_whole:
        if (not held or chance.random() < 0.3) and (part := parts.take()) is not None:
            held.append(part)
        part = chance.choice(held)
        count = min(chance.randrange(1, 700), part.end - part.at, least)
        for at in range(part.at, part.at + count):
            seen[at] += 1
        parts.advance(part, count)
        if part.at == part.end or chance.random() < 0.05:  # the line broke, and somebody else goes on
            parts.put_back(part)
            held.remove(part)
        assert parts.have == sum(end - begin for begin, end in parts.spans()) == seen.count(1)
    assert set(seen) == {1}


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_the_hash_is_right_in_whatever_order_bytes_come(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    chance = random.Random(seed)
    descriptor = os.open(tmp_path_factory.mktemp("hash") / "f", os.O_RDWR | os.O_CREAT)
    parts = Parts(len(CONTENT), todo=[(0, len(CONTENT))], least=1_000)
    hashing = Hashing(descriptor, front=parts.front)
    thread = threading.Thread(target=hashing.run)
    thread.start()
    held = [part for _ in range(4) if (part := parts.take())]
    homes = {id(part): Buffers(2_000) for part in held}
    while held:
        part = chance.choice(held)
        home, at, count = homes[id(part)], part.at, min(2_000, part.end - part.at)
        buffer = home.get()
        buffer[:count] = CONTENT[at : at + count]
        os.pwrite(descriptor, buffer[:count], at)
        parts.advance(part, count)
        hashing.offer(at, buffer, count, home)
        if part.at == part.end:
            parts.put_back(part)
            hashing.look()
            held.remove(part)
    hashing.end()
    thread.join(10)
    os.close(descriptor)
    assert hashing.hexdigest() == hashlib.sha256(CONTENT).hexdigest()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=8))
def test_spans_are_joined(told: list[tuple[int, int]]) -> None:
    spans = [(begin, begin + length) for begin, length in told]
    found = joined(spans)
    assert {at for span in found for at in range(*span)} == {at for span in spans for at in range(*span)}
    assert all(before[1] < after[0] for before, after in pairwise(found))


def test_what_was_only_with_the_kernel_is_forgotten_by_a_machine_that_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Partial(tmp_path / "model.gguf")
    os.truncate(os.open(one.path, os.O_RDWR | os.O_CREAT), 1000)
    one.write_note(Note(version=Version(size=1000, tag="t"), done=((0, 900),), safe=((0, 300),)))
    note = one.read_note()
    assert note is not None
    assert note.done == ((0, 900),)
    for boot in ("another", ""):
        monkeypatch.setattr(partial, "_boot", lambda boot=boot: boot)
        note = one.read_note()
        assert note is not None
        assert note.missing == [(300, 1000)]


def test_a_name_that_was_taken_meanwhile(tmp_path: Path) -> None:
    settling, placed = Settling(tmp_path), list[str]()
    for name in ("a", "b", "c"):
        (tmp_path / f".{name}.part").write_text("ours")
    settling.add(Partial(tmp_path / "a"), lambda: placed.append("a"))
    settling.settle()
    settling.add(Partial(tmp_path / "b"), lambda: placed.append("b"))
    (tmp_path / "b").write_text("mine")
    with pytest.raises(FileProblem):
        settling.settle()
    assert (placed, (tmp_path / "b").read_text()) == (["a"], "mine")
    assert (tmp_path / "a").read_text() == "ours"


@pytest.mark.parametrize("size", [0, 1, digest.PIECE, digest.PIECE + 1])
def test_hashes_of_files(tmp_path: Path, size: int) -> None:
    content, seen = random.Random(size).randbytes(size), bytearray()
    (tmp_path / "f").write_bytes(content)
    assert digest.sha256(tmp_path / "f", each=seen.extend) == hashlib.sha256(content).hexdigest()
    assert bytes(seen) == content
    git = hashlib.sha1(b"blob %d\0" % size + content).hexdigest()
    assert digest.git_sha1(tmp_path / "f") == git


def test_files_are_told_as_they_are_checked(tmp_path: Path) -> None:
    """D9."""
    files = []
    for number in range(20):
        content = CONTENT[: number * 50]
        (tmp_path / str(number)).write_bytes(content)
        files.append({"path": str(number), "size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    (tmp_path / "7").write_bytes(bytes(350))
    check, told = Verification(tmp_path, files), list[Checked]()
    assert check.run(told.append) == sorted(told, key=lambda one: one.path)
    assert [one.path for one in told if one.condition is not Condition.FINE] == ["7"]
    assert check.done == check.total
    stopped = Verification(tmp_path, files)
    stopped.cancel()
    assert (stopped.run(), stopped.done) == ([], 0)


def test_a_hash_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(3 * digest.PIECE))
    seen: list[int] = []

    def each(piece: memoryview) -> None:
        seen.append(len(piece))
        raise InterruptedError

    with pytest.raises(InterruptedError):
        digest.sha256(tmp_path / "f", each=each)
    assert seen == [digest.PIECE]
