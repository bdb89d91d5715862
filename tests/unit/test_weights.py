"""The weights that the catalog offers (D1): what is built in, a site's own in YAML, JSON or TOML, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalog.document import read_document
from core.catalog.load import Files, load
from core.catalog.reader import Unreadable, read_marked
from core.catalog.values import Catalog
from core.catalog.weight_fields import TYPES, size_of
from core.catalog.weights import Weights, choose, find, installed_as, weights_of
from core.downloads.sources.hub_address import parse
from core.errors import NotFound
from core.files.installed import InstalledModel
from core.text import clean_line

GIVEN = {  # GB and whether a token is needed, as D1 gives them
    "zimage-de-turbo": ("Z-Image De-Turbo v1 BF16", 6.8, False),
    "zimage-training-adapter": ("Z-Image Turbo Training Adapter", 2.5, False),
    "qwen2.5-vl-7b-q8": ("Qwen2.5-VL 7B Instruct Q8", 8.5, False),
    "qwen-image": ("Qwen Image Base", 15, False),
    "flux1-dev": ("Flux.1 Dev", 23.8, True),
    "flux1-schnell": ("Flux.1 Schnell", 23.8, False),
    "flux2-dev": ("Flux.2 Dev", 24.5, True),
    "flux-srpo": ("Flux SPRO", 24.1, True),
    "sdxl-base": ("SDXL 1.0 Base", 6.9, False),
    "sdxl-refiner": ("SDXL 1.0 Refiner", 6.1, False),
    "sdxl-turbo": ("SDXL Turbo", 6.9, False),
}
ONE = "weights:\n  - {id: w, name: W, family: f, type: text, source: 'hf:o/n'"


@pytest.fixture(scope="module")
def builtin() -> dict[str, Weights]:
    """What is offered without a site's catalog, by id."""
    return {one.id: one for one in weights_of(load(Files("/dev/null/none.yaml")))}


def site(folder: Path, text: str, name: str = "site.yaml") -> Catalog:
    """The catalog with this file as the site's."""
    (folder / name).write_text(text, encoding="utf-8")
    return load(Files(str(folder / name)))


def told(found: Catalog) -> list[tuple[int, str, str]]:
    return [(one.line, one.field, one.message) for one in found.problems]


@pytest.mark.parametrize(("weights_id", "given"), GIVEN.items(), ids=GIVEN)
def test_what_d1_names_is_offered(builtin: dict[str, Weights], weights_id: str, given: tuple[str, float, bool]) -> None:
    """D1: with the size and gating given there."""
    one = builtin[weights_id]
    assert (one.name, one.size, bool(one.gated)) == (given[0], round(given[1] * 10**9), given[2])
    assert one.licence
    assert one.as_of


def test_every_offer_can_be_asked_for(builtin: dict[str, Weights]) -> None:
    """D1: each names a repository, files in it, a type and the date of its facts; nothing in it obeys a terminal."""
    assert len(builtin) > 250
    for one in builtin.values():
        assert parse(one.source).repo
        assert one.type in TYPES
        assert (one.catalog, one.as_of >= "2026") == ("builtin", True)
        assert clean_line(one.text) == one.text
        assert one.size is None or one.size > 10**7, one.id
    families = {one.family for one in builtin.values()}
    assert families >= {
        "flux",
        "zimage",
        "sdxl",
        "qwen",
        "llama",
        "mistral",
        "gemma",
        "gpt-oss",
        "deepseek",
        "glm",
        "phi",
    }
    types = {one.type for one in builtin.values() if one.quantization}
    assert types >= {"text", "vision", "embedding", "reranker"}


def test_models_with_open_weights_are_offered_and_hosted_ones_not(builtin: dict[str, Weights]) -> None:
    """D1: the language models people deploy today, from the catalog of models, without saying them twice."""
    llama = builtin["meta-llama/llama-3.1-8b-instruct"]
    assert (llama.source, llama.family, llama.gated) == ("hf:meta-llama/Llama-3.1-8B-Instruct", "llama", "manual")
    assert llama.patterns == ("[!o]*",)
    assert builtin["qwen/qwen3-embedding-8b"].type == "embedding"
    assert builtin["qwen/qwen2.5-vl-7b-instruct"].type == "vision"
    assert not [one for one in builtin if one.startswith(("openai/gpt-5", "anthropic/"))]
    sources = [(one.source, one.patterns) for one in builtin.values()]
    assert len(sources) == len(set(sources))


TOML = """
as_of = 2026-11-20
hide = ["sdxl-turbo", "openai/gpt-4o"]
[defaults]
type = "image"
licence = "our own"

[[weights]]
id = "flux1-dev"
source = "https://mirror.example/flux1-dev.safetensors"

[[weights]]
id = "house/style"
name = "House style"
family = "flux"
source = "/srv/weights/house"
patterns = ["*.safetensors"]
size = "1.5 GB"
gated = true
"""
AS_JSON = {
    "as_of": "2026-11-20",
    "hide": ["sdxl-turbo", "openai/gpt-4o"],
    "defaults": {"type": "image", "licence": "our own"},
    "weights": [
        {"id": "flux1-dev", "source": "https://mirror.example/flux1-dev.safetensors"},
        {
            **{"id": "house/style", "name": "House style", "family": "flux", "source": "/srv/weights/house"},
            **{"patterns": ["*.safetensors"], "size": 1_500_000_000, "gated": "manual"},
        },
    ],
}


@pytest.mark.parametrize("name", ["site.toml", "site.json", "site.yaml"])
def test_a_site_adds_overrides_and_hides_in_any_form(tmp_path: Path, name: str) -> None:
    """D1, P7: TOML as well as JSON and YAML, for weights and models in one file."""
    found = site(tmp_path, TOML if name.endswith(".toml") else json.dumps(AS_JSON), name)
    assert told(found) == []
    offers = {one.id: one for one in weights_of(found)}
    assert "sdxl-turbo" not in offers
    assert "openai/gpt-4o" not in {entry.id for entry in found.entries}
    dev = offers["flux1-dev"]
    assert (dev.source, dev.name, dev.gated) == ("https://mirror.example/flux1-dev.safetensors", "Flux.1 Dev", "auto")
    house = offers["house/style"]
    assert (house.type, house.licence, house.size, house.gated) == ("image", "our own", 1_500_000_000, "manual")
    assert (house.patterns, house.as_of, house.catalog) == (("*.safetensors",), "2026-11-20", str(tmp_path / name))


def test_a_site_replaces_one_list_or_both(tmp_path: Path) -> None:
    only = site(tmp_path, f"replace: weights\n{ONE}}}\n")
    assert [one.id for one in only.weights] == ["w"]
    assert len(only.entries) > 200
    both = site(tmp_path, f"replace: true\n{ONE}}}\n")
    assert ([one.id for one in weights_of(both)], both.entries) == (["w"], ())
    assert len(site(tmp_path, "replace: models\n").weights) > 50


FAULTS = [
    (f"{ONE}, size: 0}}\n", "size", "such as 23.8 GB"),
    (f"{ONE}, size: 1.2.3 GB}}\n", "size", "such as 23.8 GB"),
    (f"{ONE}, size: true}}\n", "size", "such as 23.8 GB"),
    (f"{ONE}, gated: perhaps}}\n", "gated", "auto or manual"),
    (f"{ONE}, license: mit}}\n", "license", "licence"),
    (f"{ONE}, patern: ['*']}}\n", "patern", "Did you mean patterns?"),
    (f"{ONE}, patterns: []}}\n", "patterns", "a list of 1 to"),
    (f"{ONE}, patterns: [../x]}}\n", "patterns", "inside the model's folder"),
    (f"{ONE}, files: [/etc/passwd]}}\n", "files", "inside the model's folder"),
    (f"{ONE}, files: ['a\\b']}}\n", "files", "inside the model's folder"),
    (f'{ONE}, notes: "\\e]0;x\\a"}}\n', "notes", "control characters"),
    (f'{ONE}, licence: "a\\u202Eb"}}\n', "licence", "control characters"),
    ("weights:\n  - {id: w, name: ' ', family: f, type: text, source: 'hf:o/n'}\n", "name", "empty"),
    ("weights:\n  - {id: w, name: W, family: f, type: song, source: 'hf:o/n'}\n", "type", "one of text"),
    ("weights:\n  - {id: w, name: W, family: f, type: text, source: o/n}\n", "source", "Must begin with"),
    ("weights:\n  - {id: w, name: W, family: f, type: text, source: 'hf:o/..'}\n", "source", "hf:org/name"),
    ("weights:\n  - {id: w, name: W, family: f, type: text, source: 'hf:o/n:Q4'}\n", "source", "patterns name"),
    ("weights:\n  - {id: w, name: W, family: f, type: text, source: 'http://h/x'}\n", "source", "Must begin with"),
    ("weights:\n  - {id: w, name: W, family: f, type: text, source: 'https://u:p@h/x'}\n", "source", "password"),
    ("weights:\n  - {id: w, name: W, family: f, type: text, source: '/a/../b'}\n", "source", "Must begin with"),
    ("weights:\n  - {id: w, name: W, family: f, type: text}\n", "source", "Required"),
    ("weights:\n  - {id: ../../etc, name: W}\n", "id", "lower-case"),
    ("weights:\n  - {id: --json, name: W}\n", "id", "lower-case"),
    ("weights:\n  - {id: flux1-dev}\n  - {id: flux1-dev}\n", "id", "stands in"),
    ("replace: everything\nweights: []\n", "replace", "models, weights"),
    ("defaults: {size: much}\nweights: []\n", "size", "such as 23.8 GB"),
    ("hide: [no-such]\n", "hide", "no entry no-such"),
]


@pytest.mark.parametrize(("text", "field", "words"), FAULTS, ids=[fault[0][-36:-1] for fault in FAULTS])
def test_what_is_wrong_is_named_and_the_rest_holds(tmp_path: Path, text: str, field: str, words: str) -> None:
    """D1: by file, line and field, hostile names too; the wrong entry is left out and the built-in ones stay."""
    found = site(tmp_path, text)
    assert len(found.problems) == 1
    problem = found.problems[0]
    assert (problem.file, problem.field) == (str(tmp_path / "site.yaml"), field)
    assert problem.line == len(text.splitlines()) - ("weights: []" in text)
    assert words in problem.message
    assert clean_line(problem.text) == problem.text
    assert "w" not in {one.id for one in found.weights}
    assert len(found.weights) > 60


TOML_FAULTS = [
    ("[[weights]]\nid = 'w'\nname = 'W'\nfamily='f'\ntype='text'\nsource='hf:o/n'\nsize = 'x'\n", 7, "size", "23.8 GB"),
    ("[[models]]\nid = 'a/b'\n\n[[models]]\nid = 'a/c'\ncontext_length = 0\n", 6, "context_length", "1 or more"),
    ("[[models]]\nid = 'a/b'\n", 1, "name", "Required"),
    ("models = [\n  5,\n]\n", 2, "models", "mapping with an id"),
    ("hide = [\n  # none\n  'A B',\n]\n", 3, "hide", "lower-case"),
    ("as_of = 12:00:00\n", 1, "as_of", "a date"),
    ("[weights]\nid = 'w'\n", 1, "weights", "Must be a list"),
    ("weights = [\n", 1, "", "Is not TOML"),
    ("a = 1\na = 2\n", 2, "", "Is not TOML"),
    ("\n\nx = = 1\n", 3, "", "Is not TOML"),
    (f"x = {'[' * 5000}", 0, "", "deeply"),
    (f"x = {'9' * 5000}", 0, "", "Is not TOML"),
    (f"{'a.' * 2000}a = 1\n", 1, "", "too many dots"),
    (f"{'a.' * 30}a = 1\n", 1, "", "too deeply"),
]


@pytest.mark.parametrize(("text", "line", "field", "words"), TOML_FAULTS, ids=[str(n) for n in range(len(TOML_FAULTS))])
def test_toml_is_named_by_line_too(tmp_path: Path, text: str, line: int, field: str, words: str) -> None:
    """P7: the standard library's reader tells no lines; ours do."""
    problem = site(tmp_path, text, "site.toml").problems[0]
    assert (problem.line, problem.field) == (line, field)
    assert words in problem.message


keys = st.text(max_size=6)
plain = st.recursive(
    st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.text(max_size=12)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def as_toml(value: object) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key, ensure_ascii=False)} = {as_toml(inner)}" for key, inner in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[\n" + ", # one\n".join(map(as_toml, value)) + "\n]"
    if isinstance(value, float):
        return repr(value) if "." in repr(value) else repr(value).replace("e", ".0e")
    return json.dumps(value, ensure_ascii=False)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(keys, plain, max_size=4))
def test_any_toml_is_read_as_it_stands(document: dict[str, object]) -> None:
    """P7: values are the standard library's, and each key of the top has the line that it stands on."""
    text = "".join(f"{as_toml(key)} = {as_toml(value)}\n" for key, value in document.items())
    text = text.replace("\x7f", "\\u007f")
    marked = read_marked(text.encode("utf-8", "surrogatepass"), "any.toml")
    assert marked.plain == document
    line = 1
    for key, value in document.items():
        assert marked.value[key].line == line
        line += as_toml(value).count("\n") + 1


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="[]{}='\"#.,\\ \nab1-", max_size=60) | st.binary(max_size=80))
def test_any_bytes_named_toml_are_read_or_told(content: str | bytes) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    try:
        read_marked(raw, "any.toml")
    except Unreadable as error:
        assert clean_line(error.problem.text) == error.problem.text
    assert all(clean_line(one.text) == one.text for one in read_document(raw, "any.toml").problems)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["id", "name", "family", "type", "source", "patterns", "files", "size", "gated", "notes"]),
        plain | st.sampled_from(["w", "text", "hf:o/n", "23 GB", "auto"]) | st.lists(st.text(max_size=5), max_size=2),
    )
)
def test_whatever_holds_can_be_offered(entry: dict[str, object]) -> None:
    """D1: what passes the rules is a whole offer with harmless text; the rest is told."""
    document = read_document(json.dumps({"weights": [entry]}).encode(), "any.json")
    for raw in document.sections["weights"].entries:
        fields = {name: marked.plain for name, marked in raw.fields.items()}
        assert all(clean_line(value) == value for value in fields.values() if isinstance(value, str))
        assert "size" not in fields or size_of(fields["size"])
    assert bool(document.problems) != bool(document.sections["weights"].entries)


def test_an_id_is_found_and_other_text_is_left_to_the_sources(builtin: dict[str, Weights]) -> None:
    """D1: `download start flux1-dev`."""
    offers = tuple(builtin.values())
    for text in ("flux1-dev", "catalog:flux1-dev", "Flux1-Dev"):
        assert find(offers, text) == builtin["flux1-dev"]
    assert find(offers, "Qwen/Qwen3-8B") == builtin["qwen/qwen3-8b"]
    for text in ("hf:o/n", "https://h/x", "./flux1-dev", "/flux1-dev", "~/x", "local:x"):
        assert find(offers, text) is None
    with pytest.raises(NotFound) as refused:
        find(offers, "flux1-dve")
    assert "flux1-dev" in refused.value.remedy
    with pytest.raises(NotFound, match="offers no"):
        find(offers, "catalog:\x1b[31m")


def test_what_is_installed_is_known(builtin: dict[str, Weights]) -> None:
    """D1: by source and files; another file of the same repository is another model, another revision is not."""
    repository = "hf:black-forest-labs/FLUX.1-dev@abc"
    files = ({"path": "black-forest-labs/FLUX.1-dev/flux1-dev.safetensors", "size": 1},)
    model = InstalledModel(path="black-forest-labs/FLUX.1-dev", title="x", source=repository, files=files)
    assert installed_as(builtin["flux1-dev"], [model]) is model
    assert installed_as(builtin["flux1-dev-diffusers"], [model]) is None
    assert installed_as(builtin["flux1-schnell"], [model]) is None
    assert installed_as(builtin["qwen-image"], [InstalledModel(path="x", title="x", source="hf:Qwen/Qwen-Image@1")])


def test_offers_are_chosen_by_words_family_and_type(builtin: dict[str, Weights]) -> None:
    offers = tuple(builtin.values())
    assert {one.id for one in choose(offers, family="sdxl", kind="image")} == {
        "sdxl-base",
        "sdxl-refiner",
        "sdxl-turbo",
    }
    assert [one.id for one in choose(offers, search="TURBO adapter z-image")] == ["zimage-training-adapter"]


def test_the_name_of_a_repository_alone_is_told_its_form() -> None:
    """D1, D2: what people copy from the Hub's pages."""
    with pytest.raises(NotFound) as raised:
        find((), "org/Name")
    assert raised.value.remedy.startswith("Did you mean hf:org/Name?")
