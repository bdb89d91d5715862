"""Text from outside can't reach the terminal as anything but text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.redaction import remember
from core.text import StreamCleaner, clean_block, clean_line, said_line
from tests.hostile import MARKUP, SEQUENCES

HOSTILE = {
    **{f"{name} before": f"{sequence}name" for name, sequence in SEQUENCES.items()},
    **{f"{name} behind": f"name{sequence}" for name, sequence in SEQUENCES.items()},
    **{f"{name} within": f"na{sequence}me" for name, sequence in SEQUENCES.items()},
    "charset": "\x1b(0name",
    "carriage return": "\rname\x08\x7f",
    "unterminated": "name\x1b]0;never ended",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_only_the_words_are_left(text: str) -> None:
    assert clean_line(text).strip() == "name"
    assert clean_block(text).strip() == "name"


@pytest.mark.parametrize("text", MARKUP)
def test_markup_is_text(text: str) -> None:
    assert clean_line(text) == clean_block(text) == text


def test_printable_unicode_and_markup_stay_as_they_are() -> None:
    for text in ("模型-7B", "modèle 🤖", "[/b] x", "[TODO]", "שלום", "a\u200db"):
        assert clean_line(text) == text


def test_a_block_keeps_its_lines() -> None:
    assert clean_block("one\r\n\ttwo\x1b[31m\nthree\x85") == "one\n    two\nthree"


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in clean_line(text))


@given(st.text(alphabet="ab\x1b]0;\x07[2J\\P\x9b\n"), st.integers(1, 5))
def test_a_stream_in_pieces_is_as_harmless_as_a_whole(text: str, size: int) -> None:
    cleaner = StreamCleaner()
    out = "".join(cleaner.feed(text[i : i + size]) for i in range(0, len(text), size)) + cleaner.finish()
    assert not any((ord(char) < 32 and char != "\n") or 0x7F <= ord(char) < 0xA0 for char in out)


def test_a_sequence_split_over_two_pieces_is_caught() -> None:
    cleaner = StreamCleaner()
    assert cleaner.feed("hello \x1b]0;ow") + cleaner.feed("ned\x07 world") + cleaner.finish() == "hello  world"


def test_what_others_say_repeats_no_key_whole_cut_or_disguised() -> None:
    """P8: a key at the end of what is shown, or with an escape sequence in it, is as secret as any."""
    remember("zq-planted-text-4711")
    assert said_line("no: zq-planted-text-4711") == "no: [secret]"
    assert said_line("no: zq-planted\x1b[0m-text-4711\n") == "no: [secret]"
    assert "zq" not in said_line(f"{'x' * 295}zq-planted-text-4711")
    assert len(said_line("y" * 400)) == 300


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
def test_a_sequence_split_anywhere_is_caught(sequence: str) -> None:
    text = f"a{sequence}b"
    for cut in range(len(text)):
        cleaner = StreamCleaner()
        assert cleaner.feed(text[:cut]) + cleaner.feed(text[cut:]) + cleaner.finish() == "ab"
