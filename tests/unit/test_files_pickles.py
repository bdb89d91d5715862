"""Pickles are scanned in a process with limits, marked, and never loaded (D5)."""

from __future__ import annotations

import io
import os
import time
import zipfile
from pathlib import Path

import pytest

from core.files import installed, pickle_fetch, pickles
from core.files.inspect import inspect_model
from core.files.installed import InstalledModel
from core.files.pickles import Level, PickleScan, scan
from tests.unit.model_files import FolderSource
from tests.unit.pickles import importing, legacy, running, tensors, zipped


def _files(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def test_what_a_pickle_imports_is_told_and_never_run(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    evil = running(victim)
    contents = {
        "plain.pkl": tensors(),
        "zip.pt": zipped(tensors()),
        "old.pth": legacy(tensors()),
        "evil.pkl": evil,
        "evil.CKPT": zipped(evil, compressed=True),
        "evil.bin": legacy(evil),
        "odd.pt": zipped(importing("my.module", "Thing")),
        "cut.pkl": evil[:-8],
        "none.bin": os.urandom(4096),
        "empty.pt": b"",
    }
    scans = dict(zip(contents, scan(_files(tmp_path, contents)), strict=True))
    levels = {name: one.level for name, one in scans.items()}
    assert not victim.exists()
    assert [levels[name] for name in ("plain.pkl", "zip.pt", "old.pth")] == [Level.KNOWN] * 3
    assert {levels[name] for name in levels if name.startswith("evil") or name == "cut.pkl"} == {Level.DANGEROUS}
    assert "posix.system" in scans["evil.CKPT"].text
    assert levels["odd.pt"] == Level.SUSPICIOUS
    assert {levels["none.bin"], levels["empty.pt"]} == {Level.UNREAD}
    assert all(one.scanner.startswith("picklescan 1.") for one in scans.values())
    assert not any("safe" in one.text for one in scans.values())


def test_a_file_made_to_exhaust_the_scanner_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bombs of time and memory, a pipe without an end, and a file after them that is scanned all the same."""
    monkeypatch.setattr(pickles, "SECONDS", 0.5)
    bomb = zipped(b"\x80\x02" + b"(" * (48 << 20), compressed=True)
    [large, slow] = _files(tmp_path, {"memory.pkl": b"I" + b"1" * (1 << 20), "bomb.pt": bomb})
    os.truncate(large, 4 << 30)
    os.mkfifo(tmp_path / "pipe.pkl")
    [last] = _files(tmp_path, {"last.pkl": tensors()})
    started = time.monotonic()
    scans = scan([large, slow, tmp_path / "pipe.pkl", tmp_path / "gone.pkl", last])
    assert [one.level for one in scans] == [Level.UNREAD] * 4 + [Level.KNOWN]
    assert all(one.cause for one in scans[:4])
    assert time.monotonic() - started < 15


def test_a_scanner_that_is_killed_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pickles, "_batch", lambda paths: [] if paths[0].name == "a.pkl" else [PickleScan(level="known")]
    )
    scans = scan([Path("a.pkl"), Path("b.pkl")])
    assert [one.level for one in scans] == [Level.UNREAD, Level.KNOWN]


def test_what_is_installed_is_marked(tmp_path: Path) -> None:
    """D5: the mark is kept in installed-models.json, and a file that is not a pickle has none."""
    _files(tmp_path, {"evil.pt": zipped(running(tmp_path / "victim")), "b.json": b"{}"})
    files = [{"path": name, "size": 1, "sha256": ""} for name in ("evil.pt", "b.json")]
    installed.record(tmp_path, InstalledModel(path="evil.pt", title="evil", files=tuple(files)))
    [model] = installed.read(tmp_path)
    assert [bool(file.get("pickle")) for file in model.files] == [False, True]
    assert model.pickle is not None
    assert model.pickle.level == Level.DANGEROUS
    assert "posix.system" in model.warning


def test_a_pickle_that_nobody_scanned_is_told_of() -> None:
    """D5: in another tool's store, or on a host."""
    file = {"path": "/h/blobs/pytorch_model.BIN", "size": 1, "sha256": ""}
    model = InstalledModel(path="/h", title="m", files=(file,), store="huggingface")
    assert model.pickle is None
    assert model.warning == "pytorch_model.BIN can run code when it is loaded; modelyard files inspect scans it."
    assert InstalledModel(path="x", title="x").warning == ""


@pytest.mark.parametrize("odd", [None, 3, {}, {"level": "fine"}, {"level": "known", "found": 3}])
def test_a_mark_of_somebody_else_is_no_mark(odd: object) -> None:
    found = PickleScan.from_dict(odd)
    assert found is None or found.found == ()


async def test_of_a_large_file_on_a_host_only_its_pickles_are_read(tmp_path: Path) -> None:
    """D5, L9: an archive's directory and its pickles; of older formats the beginning."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/data/0", bytes(9 << 20))
        archive.writestr("a/data.pkl", running(tmp_path / "victim"))
        archive.writestr("a/data/1", bytes(9 << 20))
    contents = {"new.pt": out.getvalue(), "old.pth": legacy(tensors()) + bytes(9 << 20), "small.bin": zipped(tensors())}
    contents["cut.pt"] = contents["new.pt"][: 10 << 20]
    paths = _files(tmp_path, contents)
    source = FolderSource()
    scans = await pickle_fetch.scan(source, [(str(path), path.stat().st_size) for path in paths])
    levels = [one.level for one in scans]
    assert levels == [Level.DANGEROUS, Level.KNOWN, Level.KNOWN, Level.UNREAD]
    assert source.bytes < 20 << 20
    info = await inspect_model(source, str(paths[0]), scan=True)
    assert "posix.system" in info.warnings[1]
    assert not (tmp_path / "victim").exists()
