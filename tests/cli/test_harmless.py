"""Text from outside can't steer the terminal of someone who looks at it."""

from __future__ import annotations

import unicodedata

import pytest

from core.text import clean_line
from tests.cli.program import done, modelyard
from tests.hostile import BIDI, SEQUENCES

CORPUS = {
    **SEQUENCES,
    "unterminated": "\x1b]0;owned",
    "controls": "\r\n\t\b\x7f\x0e\x05",
    "line separators": "\u2028\u2029\x85",
    "surrogate": "\udcff\udc9b",
}


def assert_harmless(text: str) -> None:
    for char in text:
        assert char == "\n" or unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"}, repr(text)
        assert char not in BIDI, repr(text)


def _as_argument(text: str) -> str:
    """Arguments are bytes: lone surrogates stand for bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("hostile", CORPUS.values(), ids=CORPUS)
def test_a_hostile_name_is_shown_as_its_harmless_self(hostile: str) -> None:
    name = _as_argument(f"a{hostile}b")
    ended = modelyard("models", "add", name, "--provider", "vllm", "--model-id", f"org/{name}")
    assert_harmless(ended.out + ended.err)
    if ended.code:
        assert ended.code == 2, "refused as a wrong value, if at all"
        return
    shown = done("models", "list")
    assert_harmless(shown.out)
    assert_harmless(done("models", "list", "--json").out)
    assert_harmless(done("models", "show", name).out)

    done("models", "delete", name, "--yes")
    plain = clean_line(name)
    done("models", "add", plain, "--provider", "vllm", "--model-id", f"org/{plain}")
    assert done("models", "list").out == shown.out


@pytest.mark.parametrize("hostile", CORPUS.values(), ids=CORPUS)
def test_errors_repeat_hostile_words_harmlessly(hostile: str) -> None:
    word = _as_argument(f"a{hostile}b")
    for words in (("models", "show", word), (word,), ("models", "list", "--provider", word), ("hosts", "add", word)):
        ended = modelyard(*words)
        assert ended.code in {1, 2, 4}
        assert_harmless(ended.out + ended.err)
        assert "does not know" not in ended.err


def test_printable_text_of_all_scripts_is_kept() -> None:
    name = "Übung 模型 модель 🙂 e\u0301"
    done("models", "add", name, "--provider", "vllm", "--model-id", "x")
    assert name in done("models", "list").out
    assert done("models", "list", "--json").json()["models"][0]["name"] == name


def test_wide_characters_keep_the_columns_in_line() -> None:
    for name in ("模型模型", "abcd"):
        done("models", "add", name, "--provider", "vllm", "--model-id", "x")
    lines = done("models", "list").out.splitlines()
    assert "abcd      vllm" in lines[1]
    assert "模型模型  vllm" in lines[2]


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_an_old_locale_does_not_break_the_output(locale: str) -> None:
    done("models", "add", "模型 é", "--provider", "vllm", "--model-id", "x")
    ended = modelyard("models", "list", env={"LC_ALL": locale, "PYTHONIOENCODING": "ascii"})
    assert ended.code == 0, ended.err
    assert "vllm" in ended.out
