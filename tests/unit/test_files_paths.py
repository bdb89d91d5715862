"""Names from a repository, an archive or a manifest: no name leads out of its folder, on no system."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.downloads.sources.base import Listing, SourceFile
from core.errors import InvalidInput
from core.files.paths import key_of, problem_of, refuse_clashes, safe_path, stays_inside

OUT = ("", "/etc/passwd", "..", "../x", "a/../../b", "a//b", "./a", "a/.", "a/", "a\0b", "//host/share")
ELSEWHERE = (
    *("a\\b", "..\\x", "C:x", "a.gguf:stream", "a\x1b[2J", "a\nb", "a\u202eb", "a\u200bb", "a\ud800b"),
    *("CON", "con.gguf", "x/NUL", "aux.tar.gz", "COM1", "lpt9.txt", "COM\u00b9", "conin$", "nul .txt"),
    *("a.", "a ", " a", "x/a./b", "x/. /y"),
    *(
        "\uff0e\uff0e/x",
        "a\uff0fb",
        "a\uff3cb",
        "a\uff1ab",
        "\u2024\u2024/x",
        "\u2025/x",
        "\uff23\uff2f\uff2e",
        "a\u2215b",
    ),
    *("\u2100.gguf", "a\u2044b", "a" * 241, "a/" * 600 + "b", "\u00e9" * 121),
)
FINE = (
    "model.safetensors",
    "a/b c/d.gguf",
    "模型/权重.gguf",
    "été.txt",
    "console.gguf",
    "com10.bin",
    ".gitattributes",
    "x..y",
)


@pytest.mark.parametrize("path", OUT + ELSEWHERE)
def test_what_leads_out_anywhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        safe_path(path)
    assert "\x1b" not in raised.value.message
    with pytest.raises(InvalidInput):
        SourceFile(path=path)


@pytest.mark.parametrize("path", FINE)
def test_plain_names_of_any_language_are_taken(path: str) -> None:
    assert safe_path(path) == path
    assert stays_inside(path)


@pytest.mark.parametrize("path", OUT)
def test_a_path_of_a_manifest_stays_inside(path: str) -> None:
    assert not stays_inside(path)


@pytest.mark.parametrize(
    "pair",
    [
        ("a.gguf", "a.gguf"),
        ("Model.bin", "model.BIN"),
        ("é.bin", "e\u0301.bin"),
        ("straße", "STRASSE"),
        ("a", "a/b"),
        ("A/x", "a"),
    ],
)
def test_names_that_are_one_somewhere_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(InvalidInput):
        refuse_clashes(pair)
    with pytest.raises(InvalidInput):
        Listing(source="x", title="x", folder="x", files=tuple(SourceFile(path=path) for path in pair))


_parts = st.text(alphabet=st.sampled_from("ab./\\: \uff0e\uff0f\u2024\u0301é~$CONul1\0\x1b"), max_size=12) | st.text(
    max_size=12
)


@given(st.lists(_parts, min_size=1, max_size=4).map("/".join))
def test_no_accepted_path_leaves_its_folder(path: str) -> None:
    if problem_of(path):
        return
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        text = unicodedata.normalize(form, path)
        folder = Path("/models/org/name")
        assert folder in Path(folder, text).parents
        assert ".." not in Path(text).parts
        seen = PureWindowsPath(text)
        assert not (seen.drive or seen.root or seen.is_reserved())
        assert ".." not in seen.parts


@given(st.text(max_size=8), st.text(max_size=8))
def test_two_accepted_files_of_a_listing_have_two_places(one: str, other: str) -> None:
    try:
        refuse_clashes((one, other))
    except InvalidInput:
        return
    assert one.casefold() != other.casefold()
    assert unicodedata.normalize("NFC", one) != unicodedata.normalize("NFC", other)
    assert key_of(one) != key_of(other)
