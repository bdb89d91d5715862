"""Bytes to lines: however a log is cut into pieces, the same lines come out."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from core.runtimes.lines import MAX_LINE, FrameSplitter, LineSplitter

_LOG = st.lists(st.sampled_from([b"a", b"caf\xc3\xa9", b"\xff", b"\n", b"\r", b"\r\n", b" ", b"x" * 50]), max_size=40)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


def lines_of(parts: list[bytes]) -> list[bytes]:
    splitter = LineSplitter()
    return [line for part in parts for line in splitter.feed(part)] + splitter.finish()


@given(_LOG.map(b"".join), st.lists(st.integers(0, 3000), max_size=8))
def test_pieces_do_not_matter(data: bytes, cuts: list[int]) -> None:
    assert lines_of(pieces(data, cuts)) == lines_of([data])


def test_line_ends() -> None:
    assert lines_of([b"a\nb\r\nc\rd\r\r\n\ne"]) == [b"a", b"b", b"c", b"d", b"", b"", b"e"]


def test_progress_bar_shows_each_of_its_states() -> None:
    assert lines_of([b"\r 10%", b"\r 50%", b"\r100%\n"]) == [b" 10%", b" 50%", b"100%"]


@given(st.integers(1, 200_000))
def test_runaway_line_is_cut_and_the_next_is_whole(step: int) -> None:
    data = b"y" * (MAX_LINE + 500) + b"\nnext\n"
    parts = [data[start : start + max(step, 4000)] for start in range(0, len(data), max(step, 4000))]
    assert lines_of(parts) == [b"y" * MAX_LINE, b"next"]


def test_memory_stays_bounded_without_any_line_end() -> None:
    splitter = LineSplitter()
    found = [line for _ in range(200) for line in splitter.feed(b"z" * 10_000)]
    assert found == [b"z" * MAX_LINE]
    assert len(splitter._held) <= MAX_LINE + 10_000
    assert splitter.finish() == []


@given(st.lists(st.tuples(st.sampled_from([1, 2]), _LOG.map(b"".join)), max_size=12), st.lists(st.integers(0, 3000)))
def test_frames_in_any_pieces(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    splitter = FrameSplitter()
    data = b"".join(frame(stream, content) for stream, content in frames)
    found = [line for part in pieces(data, cuts) for line in splitter.feed(part)] + splitter.finish()
    for number, name in ((1, "stdout"), (2, "stderr")):
        whole = lines_of([b"".join(content for stream, content in frames if stream == number)])
        assert [line for stream, line in found if stream == name] == [line.decode(errors="replace") for line in whole]


def test_line_over_two_frames_and_streams_between() -> None:
    splitter = FrameSplitter()
    found = splitter.feed(frame(1, b"half ") + frame(2, b"err\n") + frame(1, b"line\n"))
    assert found == [("stderr", "err"), ("stdout", "half line")]


def test_output_without_frames_is_taken_as_it_is() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(b"plain terminal output\nmore") == [("stdout", "plain terminal output")]
    assert splitter.finish() == [("stdout", "more")]


def test_frame_that_claims_gigabytes_is_not_waited_for() -> None:
    splitter = FrameSplitter()
    found = splitter.feed(b"\x01\x00\x00\x00\xff\xff\xff\xffdata\n")
    assert len(found) == 1
    assert found[0][1].endswith("data")
