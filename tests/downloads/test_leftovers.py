"""What unfinished transfers leave (D6, D8, L8): told, counted, deleted only when nobody needs it and asked for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path, PurePosixPath

import pytest

from core.app import Modelyard
from core.downloads.http import Version
from core.downloads.partial import SMALL, Note, Partial
from core.downloads.tidying import TidyService
from core.files.leftovers import HiddenFile, Left, grouped, is_hidden_work
from core.hosts.files_there import FilesThere
from core.hosts.local import LocalConnection
from core.hosts.stream_copy import Place
from core.registry.jobs import Job
from core.registry.records import Host
from core.settings import Settings
from tests.cli.program import done, modelyard

ID = "0123456789ab"


def leave(folder: Path, name: str, size: int = 1000) -> Path:
    """What a download that was killed leaves of a file; its part."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = Partial(folder / name)
    partial.path.write_bytes(bytes(size))
    partial.write_note(Note(version=Version(size=size, tag="t"), done=((0, 10),)))
    return partial.path


def put(path: Path, *, size: int = 10, age_s: float = 3600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


@pytest.fixture
async def yard(settings: Settings) -> AsyncIterator[Modelyard]:
    async with Modelyard.open(settings) as yard:
        settings.models_dir.mkdir(parents=True, exist_ok=True)
        yield yard


def download(yard: Modelyard, folder: str, name: str, state: str) -> Job:
    place = yard.settings.models_dir / folder
    listing = {"source": "hf:org/x", "files": [{"path": name}]}
    spec = {"listing": listing, "models": str(yard.settings.models_dir)}
    return Job(user_id=yard.settings.user_id, title=folder, folder=str(place), spec=spec, state=state)


@pytest.mark.parametrize(
    "name",
    [
        "mine.part",
        ".part",
        ".x.parts",
        ".git/.x.part",
        f".modelyard-repair-{ID}",
        ".modelyard-repair-mine/x",
        ".y.json",
    ],
)
def test_other_names_are_none_of_ours(name: str) -> None:
    assert not is_hidden_work(name)


def test_files_that_belong_together_are_one() -> None:
    sent = f"org/.modelyard-{ID}-{ID}.part"
    names = ("org/.a.gguf.part", "org/.a.gguf.part.json", sent, f"{sent}.sum", f".modelyard-repair-{ID}/d/.b.part")
    found = grouped(HiddenFile(path=name, size=2, age_s=9 + at) for at, name in enumerate((*names, "org/a.gguf")))
    assert [(one.path, one.kind, len(one.files), one.size, one.age_s) for one in found] == [
        (f".modelyard-repair-{ID}", Left.REPAIR, 1, 2, 13),
        ("org/.a.gguf.part", Left.DOWNLOAD, 2, 4, 9),
        (sent, Left.SENT, 2, 4, 11),
    ]


@pytest.mark.parametrize("state", ["queued", "running", "paused", "failed", "cancelled"])
async def test_what_a_job_goes_on_from_is_kept(yard: Modelyard, state: str, tmp_path: Path) -> None:
    """D6: until the job is removed, though its folder is said by another way."""
    part = leave(yard.settings.models_dir / "org" / "m", "a.gguf")
    (tmp_path / "way").symlink_to(yard.settings.models_dir)
    job = download(yard, "org/m", "a.gguf", state)
    job.folder = str(tmp_path / "way" / "org" / "m")
    await yard.registry.add_job(job)
    [left] = await yard.leftovers.look()
    assert (left.path, left.kept) == ("org/m/.a.gguf.part", f"org/m is {state} (job {job.id})")
    assert await yard.leftovers.tidy([left.path]) == []
    assert part.exists()
    await yard.registry.remove_job(job.id)
    assert [one.path for one in await yard.leftovers.tidy([left.path])] == [left.path]
    assert list(yard.settings.models_dir.iterdir()) == []


async def test_what_is_not_surely_ours_or_is_written_is_kept(yard: Modelyard, tmp_path: Path) -> None:
    """L8: by name and by shape; a link leads nowhere."""
    models = yard.settings.models_dir
    kept: dict[str, Callable[[], object]] = {
        ".notes.txt.part": lambda: (models / ".notes.txt.part").write_text("mine"),
        ".plan.part": lambda: [(models / f".plan.part{end}").write_text('{"mine": 1}') for end in ("", ".json")],
        ".grown.part": lambda: leave(models, "grown").write_bytes(b"longer than its note"),
        f".modelyard-{ID}-{ID}.part": lambda: put(models / f".modelyard-{ID}-{ID}.part"),
    }
    for make in kept.values():
        make()
    partial = Partial(models / "busy.gguf")
    descriptor = partial.open(SMALL + 1)
    put(tmp_path / "elsewhere")
    (models / ".link.part").symlink_to(tmp_path / "elsewhere")
    found = {one.path: one.kept for one in await yard.leftovers.look()}
    assert found.keys() == {*kept, ".busy.gguf.part"}
    assert all(found.values()), found
    assert found[".busy.gguf.part"] == "somebody may be writing it"
    assert await yard.leftovers.tidy(found) == []
    os.close(descriptor)
    assert [one.path for one in await yard.leftovers.tidy(found)] == [".busy.gguf.part"]
    assert {path.name for path in models.iterdir()} >= {*kept, ".plan.part.json", ".link.part"}


def test_a_part_that_goes_while_it_is_opened_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written to has a name."""
    partial, take = Partial(tmp_path / "a.gguf"), Partial._take
    partial.path.write_bytes(b"left")
    goes = [partial.path]

    def go(self: Partial, descriptor: int) -> None:
        for path in goes:
            path.unlink()
        goes.clear()
        take(self, descriptor)

    monkeypatch.setattr(Partial, "_take", go)
    descriptor = partial.open(SMALL + 1)
    assert os.fstat(descriptor).st_ino == partial.path.stat().st_ino
    os.close(descriptor)


async def test_a_repair_that_nobody_goes_on_with(yard: Modelyard) -> None:
    models = yard.settings.models_dir
    put(models / f".modelyard-repair-{ID}" / "sub" / "a.gguf")
    leave(models / f".modelyard-repair-{ID}", "b.gguf")
    job = download(yard, "org/m", "a.gguf", "failed")
    job.id, job.spec = ID, {**job.spec, "repair": True}
    await yard.registry.add_job(job)
    assert "is failed" in (await yard.leftovers.look())[0].kept
    await yard.registry.remove_job(ID)
    [gone] = await yard.leftovers.tidy([f".modelyard-repair-{ID}"])
    assert (len(gone.files), list(models.iterdir())) == (3, [])


async def test_on_a_host_what_is_quiet_and_nobodys_may_go(yard: Modelyard, tmp_path: Path) -> None:
    """D6, L9: a copy's and a host's own parts; what goes on there for another machine stays."""
    host = Host(name="gpu1", target="gpu1", models_dir=str(tmp_path))
    files = FilesThere(host, LocalConnection(host, yard.settings), yard.registry)

    async def files_of(name: str) -> FilesThere:
        assert name == "gpu1"
        return files

    tidying = TidyService(yard.registry, files_of)  # type: ignore[arg-type]
    names = {end: f".modelyard-{end * 12}-{ID}.part" for end in "abc"}
    put(tmp_path / "org" / names["a"], size=70)
    put(tmp_path / "org" / f"{names['a']}.sum", size=64)
    put(tmp_path / names["b"], age_s=5)
    put(tmp_path / names["c"])
    busy, over = (tmp_path / ".modelyard-direct" / one for one in ("aaaaaaaaaaaa", "bbbbbbbbbbbb"))
    put(busy / "log")
    (busy / "pid").write_text(f"{os.getpid()} 1\n")
    (busy / "plan").write_text(f"1\t-\t{names['c']}\thttp://x\ta.gguf\n")
    put(over / "log")
    put(over / "pid").write_text("999999999 1\n")
    os.utime(over / "pid", (0, 0))
    copied = {"path": "/x/m.gguf", "place": "org/m.gguf", "size": 5, "mtime_ns": 6}
    hidden = Place.of(str(tmp_path / "org" / "m.gguf"), size=5, mtime_ns=6).hidden
    put(Path(hidden))
    spec = {"root": str(tmp_path), "place": "org", "files": [copied]}
    await yard.registry.add_job(Job(user_id="a", kind="copy", title="m", host="gpu1", spec=spec, state="paused"))
    leave(tmp_path, "theirs.gguf")

    found = {one.path: one.kept for one in await tidying.look("gpu1")}
    free = {path for path, kept in found.items() if not kept}
    assert free == {f"org/{names['a']}", ".modelyard-direct/bbbbbbbbbbbb"}
    assert found[names["c"]] == found[".modelyard-direct/aaaaaaaaaaaa"] == "the host is downloading it"
    assert found[names["b"]].startswith("it changed a moment ago")
    assert found[str(PurePosixPath(hidden).relative_to(tmp_path))].startswith("m is paused (job ")
    usage = await files.usage()
    assert (usage.unfinished_count, usage.unfinished >= 70 + 64 + 1000) == (len(found), True)
    assert {one.path for one in await tidying.tidy(found, "gpu1")} == free
    assert {one.path for one in await tidying.look("gpu1")} == found.keys() - free
    assert (over.exists(), busy.exists(), Path(hidden).exists()) == (False, True, True)


async def test_a_hosts_models_tell_what_is_gone_of_them(yard: Modelyard, tmp_path: Path) -> None:
    """D9: in one look; what lies behind a link to another disk is there."""
    disk, models = tmp_path / "disk", tmp_path / "models"
    for path in (disk / "c.gguf", models / "org" / "config.json"):
        put(path)
    (models / "far").symlink_to(disk)
    files = [{"path": path, "size": 10, "sha256": ""} for path in ("org/config.json", "org/b.gguf", "far/c.gguf")]
    told = {"models": [{"path": "org", "title": "org", "source": "", "files": files}]}
    (models / "installed-models.json").write_text(json.dumps(told))
    host = Host(name="gpu1", target="gpu1", models_dir=str(models))
    there = FilesThere(host, LocalConnection(host, yard.settings), yard.registry)
    assert dict((await there.survey(await there.installed())).gone) == {"org": ["org/b.gguf"]}


def test_by_command(settings: Settings) -> None:
    """D6, D8: usage tells it on a line of its own; it is deleted after a yes."""
    models = settings.models_dir
    assert done("files", "tidy", "--json").json() == {"host": "local", "deleted": [], "kept": []}
    leave(models / "org", "a.gguf", 3 << 20)
    (models / ".mine.part").write_text("mine")
    usage = done("files", "usage", "--json").json()
    assert (usage["unfinished_count"], usage["unfinished"] > 3 << 20) == (2, True)
    assert "Of that unfinished downloads: 2, 3.0 MiB (modelyard files tidy)" in done("files", "usage").out
    refused = modelyard("files", "tidy", "--json")
    assert (refused.code, refused.error()["error"]) == (3, "NeedsConfirmation")
    assert (models / "org" / ".a.gguf.part").exists()
    ended = done("files", "tidy", "--yes")
    assert "Deleted 1: 3.0 MiB are free again on the disk." in ended.out
    assert "nothing beside it tells" in ended.out
    assert [path.name for path in models.iterdir() if path.name != "installed-models.json"] == [".mine.part"]
    [kept] = done("files", "tidy", "-y", "--json").json()["kept"]
    assert kept["path"] == ".mine.part"


async def test_forgetting_a_download_says_how_to_tidy_up_after_it(yard: Modelyard) -> None:
    """D6: what it left is nobody's then."""
    jobs = [download(yard, "org/m", "a.gguf", state) for state in ("done", "cancelled")]
    for job in jobs:
        await yard.registry.add_job(job)
    said = [done("download", "remove", job.id).out.strip() for job in jobs]
    assert said[0] == "org/m is forgotten; files stay."
    assert said[1] == "org/m is forgotten; files stay, unfinished ones until modelyard files tidy."
