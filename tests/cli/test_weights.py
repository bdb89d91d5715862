"""The weights of the catalog (D1) and the export for a training tool (D10) by command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.catalog.load import Files, load
from core.catalog.weights import Weights, weights_of
from core.errors import FileProblem, InvalidInput, NotAllowed, Refused
from core.files import installed
from core.files.installed import InstalledModel
from core.training.export import Recipe, recipe, write
from core.training.here import Here
from tests.cli.program import done, modelyard

SITE = """
replace: true
as_of: 2026-11-20
weights:
  - id: house-style
    name: House style
    family: flux
    type: image
    source: {source}
    size: 2 GB
    patterns: ['*.safetensors']
    licence: our own
  - {{id: house-adapter, name: House adapter, family: flux, type: adapter, source: 'hf:our/adapter', gated: auto}}
"""


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this machine, offered by the site's catalog."""
    folder = tmp_path / "shelf" / "house"
    folder.mkdir(parents=True)
    (folder / "style.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (folder / "notes.txt").write_text("for people")
    (tmp_path / "site.yaml").write_text(SITE.format(source=folder))
    monkeypatch.setenv("MODELYARD_CATALOG", str(tmp_path / "site.yaml"))
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))
    return folder


def place(models: Path, path: str, source: str, names: dict[str, bytes]) -> InstalledModel:
    """A model whose files lie there, told of as the worker tells of it."""
    files = []
    for name, content in names.items():
        (models / path / name).parent.mkdir(parents=True, exist_ok=True)
        (models / path / name).write_bytes(content)
        files.append({"path": f"{path}/{name}", "size": len(content), "sha256": ""})
    return installed.record(models, InstalledModel(path=path, title=path, source=source, files=tuple(files)))


def test_the_catalog_of_weights_is_listed_and_an_id_is_downloaded(offered: Path) -> None:
    """D1: list with sizes, gating and what is installed; look and start by id."""
    listed = done("download", "catalog", "--json").json()["weights"]
    assert [(one["id"], one["size"], one["gated"], one["installed"]) for one in listed] == [
        ("house-style", 2_000_000_000, "", ""),
        ("house-adapter", None, "auto", ""),
    ]
    shown = done("download", "catalog", "--search", "house", "--type", "adapter").out
    assert "house-adapter" in shown
    assert "token" in shown
    assert "house-style" not in shown
    looked = done("download", "look", "house-style", "--json").json()
    assert [file["path"] for file in looked["files"]] == ["style.safetensors"]
    done("download", "start", "catalog:house-style")
    (mark,) = [one["installed"] for one in done("download", "catalog", "--installed", "--json").json()["weights"]]
    assert mark.startswith("custom/house")
    refused = modelyard("download", "look", "hose-style", "--json")
    assert refused.code == 1
    assert "house-style" in refused.error()["remedy"]


def test_a_broken_site_catalog_is_told_and_the_rest_is_offered(offered: Path, tmp_path: Path) -> None:
    """D1: hostile names are left out and told harmlessly."""
    text = (tmp_path / "site.yaml").read_text()
    (tmp_path / "site.yaml").write_text(text + '  - {id: "x\\e]0;pwned\\a", name: X}\n')
    listed = done("download", "catalog")
    assert "house-style" in listed.out
    assert f"{tmp_path / 'site.yaml'}:14: id: " in listed.err
    assert "\x1b" not in listed.out + listed.err
    assert modelyard("catalog", "check").out.endswith("1 thing is wrong; 0 models and 2 weights hold.\n")


def test_an_installed_model_is_exported_for_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D10: the base model is the installed path; nothing is written over unasked, nothing missing is exported."""
    models, out = tmp_path / "models", tmp_path / "train.yaml"
    monkeypatch.setenv("MODELS_DIR", str(models))
    source = "hf:stabilityai/stable-diffusion-xl-base-1.0@abc"
    place(models, "stabilityai/sdxl", source, {"sd_xl_base_1.0.safetensors": b"weights"})
    words = ("files", "export", "stabilityai/sdxl", "--for", "ai-toolkit", "--out", str(out))
    told = done(*words, "--dataset", "pictures", "--name", "my-style", "--json").json()
    process = yaml.safe_load(out.read_text())["config"]["process"][0]
    assert (
        process["model"]["name_or_path"] == told["base"] == str(models / "stabilityai/sdxl/sd_xl_base_1.0.safetensors")
    )
    assert (process["model"]["arch"], told["file"], told["family"]) == ("sdxl", str(out), "sdxl")
    assert process["datasets"][0]["folder_path"] == str(Path("pictures").absolute())
    before = out.read_text()
    refused = modelyard(*words, "--json")
    assert (refused.code, refused.error()["error"], out.read_text()) == (3, "Refused", before)
    done(*words, "--force")
    assert "my-style" not in out.read_text()
    assert yaml.safe_load(done("files", "export", "stabilityai/sdxl").out)["job"] == "extension"
    (models / "stabilityai/sdxl/sd_xl_base_1.0.safetensors").write_bytes(b"short")
    gone = modelyard("files", "export", "stabilityai/sdxl", "--out", str(tmp_path / "other.yaml"), "--json")
    assert (gone.code, gone.error()["error"]) == (1, "FileProblem")
    assert "sd_xl_base_1.0.safetensors" in gone.error()["message"]
    assert not (tmp_path / "other.yaml").exists()


@pytest.fixture(scope="module")
def offers() -> tuple[Weights, ...]:
    """The built-in ones."""
    return weights_of(load(Files("/dev/null/none.yaml")))


def made(models: Path, offers: tuple[Weights, ...], model: InstalledModel, **said: str) -> Recipe:
    sizes = {str(path): path.stat().st_size for path in models.rglob("*") if path.is_file()}
    here = Here(folder=models, installed=installed.read(models), offers=offers, sizes=sizes)
    return recipe(here, model, **said)


def config_of(found: Recipe) -> dict[str, Any]:
    """What stands under `model`, as the trainer reads it."""
    return dict(yaml.safe_load(found.text)["config"]["process"][0]["model"])


def test_each_family_has_its_own_flags(tmp_path: Path, offers: tuple[Weights, ...]) -> None:
    """D10: as AI Toolkit's examples have them; what is installed is taken instead of what would be fetched."""
    flux = place(tmp_path, "bfl/dev", "hf:black-forest-labs/FLUX.1-dev@1", {"flux1-dev.safetensors": b"x"})
    single = made(tmp_path, offers, flux)
    assert config_of(single) == {
        "name_or_path": str(tmp_path / "bfl/dev/flux1-dev.safetensors"),
        **{"arch": "flux", "is_flux": True, "quantize": True},
        "extras_name_or_path": "black-forest-labs/FLUX.1-dev",
    }
    assert "FLUX.1-dev" in single.notes[1]
    whole = {"transformer/a.safetensors": b"x", "text_encoder/b.safetensors": b"y", "model_index.json": b"{}"}
    place(tmp_path, "bfl/dev-whole", "hf:black-forest-labs/FLUX.1-dev@1", whole)
    again = made(tmp_path, offers, flux)
    assert config_of(again)["extras_name_or_path"] == str(tmp_path / "bfl/dev-whole")
    assert len(again.notes) == 1
    turbo = place(tmp_path, "z/turbo", "hf:Tongyi-MAI/Z-Image-Turbo@1", whole)
    assert config_of(made(tmp_path, offers, turbo))["assistant_lora_path"].startswith("ostris/zimage_turbo_training")
    adapter = {f"zimage_turbo_training_adapter_v{n}.safetensors": b"a" for n in (1, 2)}
    place(tmp_path, "z/adapter", "hf:ostris/zimage_turbo_training_adapter@1", adapter)
    with_adapter = config_of(made(tmp_path, offers, turbo))
    assert with_adapter["name_or_path"] == str(tmp_path / "z/turbo")
    assert with_adapter["assistant_lora_path"].endswith("/z/adapter/zimage_turbo_training_adapter_v2.safetensors")
    assert (with_adapter["arch"], "extras_name_or_path" in with_adapter) == ("zimage", False)
    de_turbo = {"z_image_de_turbo_v1_bf16.safetensors": b"z"}
    plain = config_of(made(tmp_path, offers, place(tmp_path, "z/de", "hf:ostris/Z-Image-De-Turbo@1", de_turbo)))
    assert (plain["extras_name_or_path"], "assistant_lora_path" in plain) == (str(tmp_path / "z/turbo"), False)
    qwen = config_of(made(tmp_path, offers, place(tmp_path, "q", "hf:Qwen/Qwen-Image@1", whole)))
    assert (qwen["arch"], qwen["name_or_path"]) == ("qwen_image", str(tmp_path / "q"))
    two = place(tmp_path, "bfl/two", "hf:black-forest-labs/FLUX.2-dev@1", {"flux2-dev.safetensors": b"2"})
    assert config_of(made(tmp_path, offers, two)) == {
        **{"name_or_path": str(tmp_path / "bfl/two"), "arch": "flux2", "quantize": True, "quantize_te": True},
        "vae_path": "black-forest-labs/FLUX.2-dev",
    }


def test_what_can_not_be_trained_on_is_refused(tmp_path: Path, offers: tuple[Weights, ...]) -> None:
    """D10: adapters, language models, GGUF, unknown names."""
    adapter = place(tmp_path, "a", "hf:ostris/zimage_turbo_training_adapter", {
        "zimage_turbo_training_adapter_v1.safetensors": b"1", "zimage_turbo_training_adapter_v2.safetensors": b"2",
    })  # fmt: skip
    with pytest.raises(NotAllowed, match="an adapter"):
        made(tmp_path, offers, adapter, family="zimage")
    language = place(tmp_path, "l", "hf:Qwen/Qwen3-8B", {"model.safetensors": b"1"})
    with pytest.raises(NotAllowed, match="not a model for images"):
        made(tmp_path, offers, language)
    with pytest.raises(NotAllowed, match="no safetensors"):
        made(tmp_path, offers, place(tmp_path, "g", "hf:city96/FLUX.1-dev-gguf", {"flux1-dev-Q8_0.gguf": b"1"}))
    nameless = place(tmp_path, "n", "found", {"mine.safetensors": b"1"})
    with pytest.raises(InvalidInput, match="can't be told"):
        made(tmp_path, offers, nameless)
    assert config_of(made(tmp_path, offers, nameless, family="sdxl"))["is_xl"] is True
    with pytest.raises(InvalidInput, match="one of"):
        made(tmp_path, offers, nameless, family="../x")
    with pytest.raises(InvalidInput, match="make a name"):
        made(tmp_path, offers, nameless, family="sdxl", name="a/b: c")


def test_hostile_names_stay_text_in_the_config(tmp_path: Path, offers: tuple[Weights, ...]) -> None:
    """D10: YAML's signs in a path are quoted, and come back as they were."""
    name = "sdxl: {x} #'\"%.safetensors"
    model = place(tmp_path, "h: *a", "found", {name: b"1"})
    found = made(tmp_path, offers, model, dataset="/pictures: [&x]")
    assert config_of(found)["name_or_path"] == str(tmp_path / "h: *a" / name)
    assert yaml.safe_load(found.text)["config"]["process"][0]["datasets"][0]["folder_path"] == "/pictures: [&x]"
    assert json.loads(json.dumps(found.as_dict()))["base"] == found.base


def test_a_config_is_written_whole_or_not_at_all(tmp_path: Path, offers: tuple[Weights, ...]) -> None:
    found = made(tmp_path, offers, place(tmp_path, "s", "found", {"sdxl.safetensors": b"1"}))
    with pytest.raises(FileProblem, match="can't be written"):
        write(found, tmp_path / "no" / "such" / "x.yaml")
    (tmp_path / "there.yaml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refused, match="is there already"):
        write(found, tmp_path / "there.yaml")
    write(found, tmp_path / "there.yaml", force=True)
    assert (tmp_path / "there.yaml").read_text() == found.text
    assert not list(tmp_path.glob(".*.new"))
