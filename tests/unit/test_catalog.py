"""The catalog's files: all of them hold, broken ones are told by file, line and field, and nothing crashes (P7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalog.document import read_document
from core.catalog.fields import MODELS
from core.catalog.load import DATA, Files, load
from core.catalog.service import record_id
from core.catalog.values import Catalog
from core.catalog.weight_fields import WEIGHTS
from core.registry.forms import check_model
from core.registry.values import DEPLOYABLE, Provider
from core.settings import Settings
from core.text import clean_line

BUILTIN = sorted(DATA.rglob("*.yaml"))


def site(folder: Path, text: str, name: str = "site.yaml") -> Catalog:
    """The catalog with this file as the site's."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load(Files(str(path)))


def told(found: Catalog) -> list[tuple[int, str, str]]:
    return [(one.line, one.field, one.message) for one in found.problems]


@pytest.mark.parametrize("path", BUILTIN, ids=lambda path: path.stem)
def test_every_built_in_file_holds_and_is_dated(path: Path) -> None:
    """P7: the built-in catalog is data, each file with the date of its facts."""
    document = read_document(path.read_bytes(), path.name, trusted=True)
    assert [one.text for one in document.problems] == []
    assert document.as_of >= "2026-11"
    entries = document.section(MODELS).entries or document.section(WEIGHTS).entries
    assert entries
    untrusted = read_document(path.read_bytes(), path.name)
    assert untrusted == document


def test_the_whole_built_in_catalog_holds_and_every_record_would_pass_the_form() -> None:
    found = load(Files(""))
    assert found.problems == ()
    assert len(found.entries) > 200
    for entry in found.entries:
        columns = {name: value for name, value in entry.columns().items() if name != "catalog"}
        assert check_model(columns) == {}, entry.id
        assert columns["extra"]["facts_as_of"]
        if columns["provider"] in DEPLOYABLE:
            assert "/" in columns["model_id"], entry.id
    assert {str(entry.values["provider"]) for entry in found.entries} >= {"openai", "anthropic", "google", "vllm"}
    families = {str(entry.values["family"]) for entry in found.entries}
    assert families >= {
        "Llama",
        "Qwen",
        "Mistral",
        "DeepSeek",
        "Gemma",
        "gpt-oss",
        "GLM",
        "Kimi",
        "embedding",
        "rerank",
    }
    assert len({record_id(entry.id) for entry in found.entries}) == len(found.entries)


def test_ids_of_records_never_change() -> None:
    assert record_id("openai/gpt-5") == "5b279b47590e"


def test_a_site_adds_overrides_and_hides(tmp_path: Path) -> None:
    """P7: a site's file extends the built-in catalog, entry by entry and field by field."""
    found = site(
        tmp_path,
        """
as_of: 2026-11-20
hide: [openai/gpt-4o]
defaults: {provider: vllm, region: eu}
models:
  - {id: openai/gpt-5, max_output_tokens: 5}
  - {id: our/house-llm, name: House LLM, model_id: our/house-llm, tags: [house]}
""",
    )
    assert told(found) == []
    by_id = {entry.id: entry for entry in found.entries}
    assert "openai/gpt-4o" not in by_id
    overridden = by_id["openai/gpt-5"]
    assert (overridden.values["name"], overridden.values["max_output_tokens"]) == ("GPT-5", 5)
    assert overridden.values["provider"] == "openai"
    assert overridden.catalog == str(tmp_path / "site.yaml")
    house = by_id["our/house-llm"].columns()
    assert (house["provider"], house["region"], house["tags"]) == ("vllm", "eu", ["house"])


def test_a_site_replaces(tmp_path: Path) -> None:
    found = site(tmp_path, "replace: true\nmodels: [{id: a/b, name: AB, provider: openai, model_id: ab}]\n")
    assert [entry.id for entry in found.entries] == ["a/b"]


def test_a_folder_is_read_in_the_order_of_names_and_its_ids_stand_once(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml"):
        (tmp_path / name).write_text("models: [{id: x/y, name: XY, provider: vllm, model_id: x/y}]\n")
    (tmp_path / "c.json").write_text('{"models": [{"id": "x/z", "name": "XZ", "provider": "vllm", "model_id": "x/z"}]}')
    (tmp_path / "notes.txt").write_text("not a catalog")
    found = load(Files(str(tmp_path)))
    assert [Path(one.file).name for one in found.problems] == ["b.yaml"]
    assert "stands in" in found.problems[0].message
    assert {entry.id for entry in found.entries} >= {"x/y", "x/z"}


FAULTS = [
    ("models:\n  - id: a/b\n    name: AB\n    provider: nobody\n    model_id: x\n", 4, "provider", "Must be one of"),
    ("models:\n  - id: a/b\n    provider: vllm\n    model_id: x\n", 2, "name", "Required"),
    ("models:\n  - name: AB\n", 2, "id", "Required"),
    ("models:\n  - id: A B\n", 2, "id", "lower-case"),
    ("models:\n  - {id: openai/gpt-5, contxt_length: 5}\n", 2, "contxt_length", "Did you mean context_length?"),
    ("models:\n  - {id: openai/gpt-5, context_length: 0}\n", 2, "context_length", "1 or more"),
    ("models:\n  - {id: openai/gpt-5, context_length: many}\n", 2, "context_length", "whole number"),
    ("models:\n  - {id: openai/gpt-5, default_temperature: 2.5}\n", 2, "default_temperature", "0 and 2"),
    ("models:\n  - {id: openai/gpt-5, api_key: sk-1}\n", 2, "api_key", "Keys never stand in a catalog"),
    ("models:\n  - {id: openai/gpt-5, gated: maybe}\n", 2, "gated", "true or false"),
    ("models:\n  - {id: openai/gpt-5, capabilities: [flying]}\n", 2, "capabilities", "streaming, tools, vision"),
    ("models:\n  - {id: openai/gpt-5, files: [{name: ../x}]}\n", 2, "files", "inside the model's folder"),
    ("models:\n  - {id: openai/gpt-5, name: GPT-4o}\n", 2, "name", "GPT-4o is the name of"),
    ("models:\n  - {id: openai/gpt-5, name: a, name: b}\n", 2, "name", "twice"),
    ("models: {}\n", 1, "models", "Must be a list"),
    ("models:\n  - 5\n", 2, "models", "mapping with an id"),
    ("hide: [no/such]\n", 1, "hide", "There is no entry no/such"),
    ("replace: maybe\n", 1, "replace", "true or false"),
    ("modles: []\n", 1, "modles", "Did you mean models?"),
    ("as_of: today\n", 1, "as_of", "a date"),
    ("- a\n", 1, "", "Must be a mapping"),
    ("models:\n  - id: [\n", 3, "", "Is not YAML"),
    ("models: \x00\n", 1, "", "Is not YAML"),
    ("models:\n  - &a [*a]\n", 2, "", "nested too deeply"),
    ("models:\n  - {id: openai/gpt-5, released: !!python/object:os.system x}\n", 2, "", "no value that YAML knows"),
]


@pytest.mark.parametrize(("text", "line", "field", "words"), FAULTS, ids=[fault[3] for fault in FAULTS])
def test_what_is_wrong_is_named_by_file_line_and_field(
    tmp_path: Path, text: str, line: int, field: str, words: str
) -> None:
    """P7: and everything else of the catalog still holds."""
    found = site(tmp_path, text)
    assert len(found.problems) == 1
    problem = found.problems[0]
    assert (problem.file, problem.line, problem.field) == (str(tmp_path / "site.yaml"), line, field)
    assert words in problem.message
    assert problem.text.startswith(f"{tmp_path / 'site.yaml'}:{line}: ")
    assert len(found.entries) > 200


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    assert "No such file" in load(Files(str(tmp_path / "none.yaml"))).problems[0].text
    assert "Must end in" in site(tmp_path, "models = []", "site.ini").problems[0].text
    (tmp_path / "latin.yaml").write_bytes(b"models: []\n# \xe9\n")
    assert told(load(Files(str(tmp_path / "latin.yaml")))) == [(2, "", "Must be UTF-8.")]
    (tmp_path / "big.yaml").write_bytes(b"#" * (5 << 20))
    assert "at most" in load(Files(str(tmp_path / "big.yaml"))).problems[0].text
    deep = site(tmp_path, "models: " + "[" * 5000, "deep.yaml")
    assert "deeply" in deep.problems[0].text or "Is not YAML" in deep.problems[0].text


def test_a_file_that_anyone_can_change_is_left_out(tmp_path: Path) -> None:
    """P7, P8: its endpoints would be sent this user's keys."""
    text = "models: [{id: openai/gpt-5, endpoint: 'https://example.org/v1'}]\n"
    assert site(tmp_path, text).problems == ()
    (tmp_path / "site.yaml").chmod(0o666)
    found = site(tmp_path, text)
    assert "chmod o-w" in found.problems[0].text
    assert "endpoint" not in next(entry for entry in found.entries if entry.id == "openai/gpt-5").values
    (tmp_path / "site.yaml").chmod(0o644)
    tmp_path.chmod(0o777)
    assert len(site(tmp_path, text).problems) == 1
    tmp_path.chmod(0o1777)
    assert site(tmp_path, text).problems == ()


def test_the_environment_goes_before_the_configuration(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short_folder / "config" / "modelyard").mkdir(mode=0o700)
    text = 'catalog = "/srv/catalog.yaml"\nmodels_dir = "/srv/models"\n'
    (short_folder / "config" / "modelyard" / "config.toml").write_text(text)
    monkeypatch.setenv("MODELS_DIR", "/elsewhere")
    assert Settings.load().catalog == "none"  # of every test
    assert Settings.load().models_dir == Path("/elsewhere")
    monkeypatch.delenv("MODELYARD_CATALOG")
    assert Settings.load().catalog == "/srv/catalog.yaml"


def test_text_of_a_file_is_harmless_where_it_is_told(tmp_path: Path) -> None:
    found = site(tmp_path, 'models: [{id: openai/gpt-5, "\\e]0;x\\a": 1}, {id: openai/o3, name: "a\\u202Eb"}]\n')
    assert [one.field for one in found.problems][1] == "name"
    assert all(clean_line(one.text) == one.text for one in found.problems)


def test_nested_references_do_not_explode(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{c}: &{c} [{', '.join([f'*{b}'] * 9)}]" for b, c in zip("abcdefgh", "bcdefghi", strict=True)]
    assert "too many values" in site(tmp_path, "\n".join(lines)).problems[0].message


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(
    ["id", "name", "provider", "model_id", "context_length", "capabilities", "files", "tags", "flags", "released", "?"]
)
entries = st.dictionaries(fields, values | st.just("a/b") | st.sampled_from(list(map(str, Provider))), max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["models", "hide", "defaults", "family", "as_of", "replace"]),
        values | st.lists(entries, max_size=3),
        max_size=5,
    )
)
def test_any_document_is_read_or_told(document: dict[str, object]) -> None:
    """P7: a broken site catalog never stops the program, and what is taken from it would pass the form."""
    import yaml

    read = read_document(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "replace"), "any.yaml")
    for problem in read.problems:
        assert problem.file == "any.yaml"
        assert clean_line(problem.text) == problem.text


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="[]{}&*!|>-:?,'\"# \nab1\t", max_size=80).map(str.encode))
def test_any_bytes_are_read_or_told(content: bytes) -> None:
    read = read_document(content, "any.yaml")
    assert all(clean_line(problem.text) == problem.text for problem in read.problems)


def test_the_fingerprint_knows_every_change(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    seen = {Files("none").fingerprint(), Files(str(path)).fingerprint()}
    for text in ("", "models: []", "models:  []"):
        path.write_text(text)
        seen.add(Files(str(path)).fingerprint())
    assert len(seen) == 5
    assert Files(str(path)).fingerprint() == Files(str(path)).fingerprint()
