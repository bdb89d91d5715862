"""Model files copied to real hosts: right on each, resumed after a cut, nothing half under a final name."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from core.app import Modelyard
from core.downloads.copies import CopyEvent
from core.downloads.copy_events import CopyDone, CopyFailed, CopyProgress
from core.errors import FileProblem, InvalidInput, LoginRefused, NotAllowed, NotFound
from core.files import installed
from core.files.installed import InstalledModel
from core.hosts.ssh import SshConnection
from core.registry.jobs import Job
from tests.downloads.inline import working
from tests.downloads.test_jobs import end_all, workers
from tests.fleet.fleet import Fleet
from tests.fleet.host import Fault, FleetHost
from tests.fleet.program import modelyard, start
from tests.fleet.test_direct import state_of

MB = 1_000_000


def write(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    block = os.urandom(min(size, MB))
    with path.open("wb") as file:
        for at in range(0, size, MB):
            file.write(at.to_bytes(8, "big") + block[8 : min(MB, size - at)])
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def note(yard: Modelyard, place: str) -> None:
    """Tell of a file of the models folder, as a download does."""
    path = yard.files.folder / place
    file = {"path": place, "size": path.stat().st_size, "sha256": sha256(path)}
    installed.record(yard.files.folder, InstalledModel(path=place, title=path.name, files=(file,)))


async def copy(
    yard: Modelyard,
    ref: str,
    hosts: Sequence[str],
    *,
    heard: Callable[[CopyProgress], None] = lambda event: None,
    **more: object,
) -> dict[str, CopyDone | CopyFailed]:
    """How it ended on each host."""
    ends: dict[str, CopyDone | CopyFailed] = {}
    async with aclosing(yard.copies.copy(ref, hosts, **more)) as events:  # type: ignore[arg-type]
        async for event in events:
            if isinstance(event, CopyProgress):
                heard(event)
            else:
                ends[event.host] = event
    return ends


def done(event: CopyEvent) -> CopyDone:
    assert isinstance(event, CopyDone), event
    return event


def failed(event: CopyEvent | Job) -> CopyFailed:
    assert isinstance(event, CopyFailed), event
    assert event.remedy
    return event


def hidden(host: FleetHost) -> list[Path]:
    return [path for path in host.models_folder.rglob(".modelyard-*") if path.is_file()]


async def test_a_folder_to_two_hosts_at_once(yard: Modelyard, fleet: Fleet) -> None:
    """The same place on each host, the hashes equal; a second copy sends nothing."""
    folder = yard.files.folder / "org" / "name"
    files = [write(folder / "model-00001.safetensors", 5 * MB + 17), write(folder / "sub" / "a b'$(id);.json", 9)]
    (folder / "empty").touch()
    states: set[tuple[str, str]] = set()
    ends = await copy(yard, str(folder), ["gpu1", "gpu2"], heard=lambda event: states.add((event.host, event.state)))
    for host in fleet.hosts:
        there = host.models_folder / "org" / "name"
        assert [sha256(there / file.relative_to(folder)) for file in files] == [sha256(file) for file in files]
        assert (there / "empty").read_bytes() == b""
        assert done(ends[host.name]).sent == sum(file.stat().st_size for file in files)
        assert hidden(host) == []
        assert {state for name, state in states if name == host.name} & {"sending", "verifying"}
    again = await copy(yard, str(folder), ["gpu1", "gpu2"])
    assert [done(end).sent for end in again.values()] == [0, 0]


async def test_copies_keep_the_limit_together(idle: Modelyard, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6: to both hosts, small files with large ones, no faster than `download_bandwidth`."""
    folder = idle.files.folder / "org" / "name"
    files = [write(folder / "m.gguf", 3 * MB), *(write(folder / f"{number}.json", 100_000) for number in range(30))]
    limited = replace(idle, settings=replace(idle.settings, download_bandwidth=2 * MB))
    async with working(limited, monkeypatch):
        began = time.monotonic()
        ends = await copy(idle, str(folder), ["gpu1", "gpu2"])
        assert time.monotonic() - began >= 12 / 2 - 1.1  # a second's worth may pass at once
    assert [done(end).sent for end in ends.values()] == [6 * MB, 6 * MB]
    for host in fleet.hosts:
        there = host.models_folder / "org" / "name"
        assert [sha256(there / file.name) for file in files] == [sha256(file) for file in files]


async def test_the_models_folder_of_a_host_explains_itself(yard: Modelyard, host: FleetHost) -> None:
    """What is copied is told there as it is here; other entries stay, and so does a file that is damaged."""
    write(yard.files.folder / "org" / "name" / "a.gguf", 30)
    write(yard.files.folder / "org" / "name" / "extra.json", 10)
    place = "org/name/a.gguf"
    file = {"path": place, "size": 30, "sha256": sha256(yard.files.folder / place)}
    known = InstalledModel(path="org/name", title="n", source="hf:org/name@1", licence="mit", files=(file,))
    installed.record(yard.files.folder, known)
    there = host.models_folder / installed.NAME
    there.write_text(installed.text_of([InstalledModel(path="old", title="old", more={"new": 1})]))
    done((await copy(yard, "org/name", ["gpu1"]))["gpu1"])
    done((await copy(yard, str(yard.files.folder / "org" / "name" / "extra.json"), ["gpu1"]))["gpu1"])
    models = {model.path: model for model in installed.parse(there.read_text(), "there")}
    assert (models["org/name"].source, models["org/name"].licence, models["org/name"].files) == (
        "hf:org/name@1",
        "mit",
        (file,),
    )
    assert models["org/name/extra.json"].source == "copy"
    assert models["old"].more == {"new": 1}
    there.write_text("{damaged")
    end = done((await copy(yard, "org/name", ["gpu1"]))["gpu1"])
    assert "it is damaged" in end.note
    assert there.read_text() == "{damaged"


async def test_a_host_reads_what_it_has_and_gets_what_is_bad(yard: Modelyard, host: FleetHost) -> None:
    """D9 on a host, by command: missing, short and changed files are named and sent again, nothing else."""
    names = ["good.safetensors", "changed.safetensors", "short.json", "missing.json"]
    files = [write(yard.files.folder / "org" / "name" / name, 2 * MB if name[0] in "gc" else 100) for name in names]
    noted = [{"path": f"org/name/{one.name}", "size": one.stat().st_size, "sha256": sha256(one)} for one in files]
    installed.record(yard.files.folder, InstalledModel(path="org/name", title="name", files=tuple(noted)))
    done((await copy(yard, "org/name", ["gpu1"]))["gpu1"])
    there = host.models_folder / "org" / "name"
    with (there / names[1]).open("r+b") as file:
        file.write(b"\x00\x01")
    (there / names[2]).write_bytes(b"{}")
    (there / names[3]).unlink()
    words = ("files", "verify", "--host", "gpu1", "--repair", "--json")
    ran = await asyncio.to_thread(modelyard, *words)
    found = {Path(str(event["path"])).name: event["condition"] for event in ran.events if "condition" in event}
    assert found == dict(zip(names, ("fine", "changed", "short", "missing"), strict=True))
    [repaired] = [event for event in ran.events if event["event"] == "Repaired"]
    assert (repaired["kind"], len(repaired["files"])) == ("copy", 3)
    assert [sha256(there / one.name) for one in files] == [sha256(one) for one in files]
    assert hidden(host) == []


async def test_a_check_waits_for_the_line(yard: Modelyard, host: FleetHost) -> None:
    """D9: what was read before the line broke is not read again."""
    source = write(yard.files.folder / "org" / "m.gguf", MB)
    done((await copy(yard, str(source), ["gpu1"]))["gpu1"])
    checked = await state_of(yard, (await yard.verifications.start(host="gpu1")).id, "done")
    spec = {"files": [*checked.spec["files"], {"path": "org/gone.gguf", "size": 7, "sha256": "", "model": "x"}]}
    with host.take_down_sshd():
        fresh = Job(user_id="me", kind="verify", title="m", host="gpu1", folder=checked.folder, bytes_total=MB + 7)
        fresh.spec, fresh.files = spec, checked.files
        again = await yard.downloads.queue(fresh)
        async with asyncio.timeout(60):
            while "waiting for the line" not in (await yard.registry.get_job(again.id)).doing:
                await asyncio.sleep(0.05)
        (host.models_folder / "org" / "m.gguf").write_bytes(b"changed by now")
    ended = await state_of(yard, again.id, "done")
    assert {file["path"]: file["condition"] for file in ended.files} == {
        "org/m.gguf": "fine",
        "org/gone.gguf": "missing",
    }


async def test_many_small_files_go_together(yard: Modelyard, host: FleetHost) -> None:
    """In a few sessions, each right and under its own name; those that are there are not sent again."""
    names = [f"part {number} 'x'.json" for number in range(120)]
    files = [
        write(yard.files.folder / "org" / "name" / ("a" if name[5] == "1" else "b") / name, 3000) for name in names
    ]
    end = done((await copy(yard, str(yard.files.folder / "org"), ["gpu1"]))["gpu1"])
    assert (end.files, end.sent) == (120, 360_000)
    here = yard.files.folder
    assert all(sha256(host.models_folder / one.relative_to(here)) == sha256(one) for one in files)
    (host.models_folder / files[7].relative_to(here)).unlink()
    assert done((await copy(yard, str(here / "org"), ["gpu1"]))["gpu1"]).sent == 3000
    assert hidden(host) == []


async def test_one_host_fails_and_the_other_does_not(yard: Modelyard, fleet: Fleet) -> None:
    write(yard.files.folder / "org" / "m.gguf", MB)
    write(fleet.hosts[1].models_folder / "org" / "m.gguf", MB + 1)
    before = sha256(fleet.hosts[1].models_folder / "org" / "m.gguf")
    ends = await copy(yard, str(yard.files.folder / "org" / "m.gguf"), ["gpu1", "gpu2"])
    assert done(ends["gpu1"]).path == "/srv/models/org/m.gguf"
    assert "left as it is" in failed(ends["gpu2"]).message
    assert sha256(fleet.hosts[1].models_folder / "org" / "m.gguf") == before


async def test_another_content_of_the_same_size_is_never_touched(yard: Modelyard, host: FleetHost) -> None:
    source = write(yard.files.folder / "org" / "m.gguf", MB)
    other = write(host.models_folder / "org" / "m.gguf", MB)
    before = sha256(other)
    assert before != sha256(source)
    end = failed((await copy(yard, str(source), ["gpu1"]))["gpu1"])
    assert (end.error, sha256(other)) == ("NotAllowed", before)


async def test_a_line_that_is_cut_goes_on_where_it_was(yard: Modelyard, host: FleetHost) -> None:
    """The copy itself waits for the line; no byte that arrived is sent again."""
    size = 300 * MB
    source = write(yard.files.folder / "org" / "big.gguf", size)
    states: list[str] = []
    cut: list[Fault] = []
    told: list[int] = []  # while it waits: what has come is not said to be lost

    def pull_the_cable(event: CopyProgress) -> None:
        states.append(event.state)
        if event.state == "waiting":
            told.append(event.done)
        if event.sent > 10 * MB and not cut:
            cut.append(host.cut())

    running = asyncio.create_task(copy(yard, str(source), ["gpu1"], heard=pull_the_cable))
    async with asyncio.timeout(60):
        while "waiting" not in states:
            await asyncio.sleep(0.1)
    assert not (host.models_folder / "org" / "big.gguf").exists()
    (kept,) = hidden(host)
    assert 0 < kept.stat().st_size < size
    host.restore()
    end = done((await running)["gpu1"])
    assert sha256(host.models_folder / "org" / "big.gguf") == sha256(source)
    assert min(told) > 5 * MB
    assert size <= end.sent < size + 60 * MB, "what was on its way when the line broke is all that is sent twice"


async def test_a_copy_is_paused_and_goes_on(yard: Modelyard, host: FleetHost) -> None:
    """Copies are jobs: who follows may go, pause keeps what came, the same copy asked for again goes on."""
    size = 200 * MB
    source = write(yard.files.folder / "org" / "big.gguf", size)
    async with aclosing(yard.copies.copy(str(source), ["gpu1"])) as events:
        async for event in events:
            if isinstance(event, CopyProgress) and event.sent > 10 * MB:
                break
    [job] = await yard.downloads.all()
    await yard.downloads.pause(job.id)
    await state_of(yard, job.id, "paused")
    kept = max(hidden(host), key=lambda path: path.stat().st_size)
    left = kept.stat().st_size
    assert 0 < left < size
    assert done((await copy(yard, str(source), ["gpu1"]))["gpu1"]).sent <= size - left + (1 << 20)
    assert [one.id for one in await yard.downloads.all()] == [job.id]
    assert sha256(host.models_folder / "org" / "big.gguf") == sha256(source)


async def test_a_copy_is_cancelled_and_tried_again(yard: Modelyard, host: FleetHost) -> None:
    source = write(yard.files.folder / "org" / "big.gguf", 150 * MB)
    [job] = await yard.copies.start(str(source), ["gpu1"])
    assert not isinstance(job, CopyFailed)
    async with asyncio.timeout(60):
        while not any(path.stat().st_size > 5 * MB for path in hidden(host)):
            await asyncio.sleep(0.01)
    os.utime(source, (1, 1))
    [other] = await yard.copies.start(str(source), ["gpu1"])
    assert failed(other).error == "Refused", "two versions of a file are not sent to one place"
    await yard.downloads.cancel(job.id)
    await state_of(yard, job.id, "cancelled")
    assert not (host.models_folder / "org" / "big.gguf").exists()
    await yard.downloads.resume(job.id)
    ended = await state_of(yard, job.id, "failed")
    assert (ended.error_code, "changed while it was copied" in ended.error) == ("WrongBytes", True)


async def test_a_worker_can_not_ask(yard: Modelyard, host: FleetHost) -> None:
    """Without a connection of a program with a terminal, a refused login says how to make one."""
    source = write(yard.files.folder / "org" / "big.gguf", 60 * MB)
    [job] = await yard.copies.start(str(source), ["gpu1"])
    assert isinstance(job, Job)
    await yard.downloads.pause(job.id)
    await state_of(yard, job.id, "paused")
    with host.refuse_key():
        connection = yard.hosts.connection(await yard.registry.get_host("gpu1"))
        assert isinstance(connection, SshConnection)
        await connection.end()
        with pytest.raises(LoginRefused):
            await yard.downloads.resume(job.id)
        connection.forget_refusal()
        await yard.registry.edit_job(job.id, {"wanted": "run"})
        ended = await state_of(yard, job.id, "failed")
    assert (ended.error_code, "modelyard hosts check gpu1" in ended.remedy) == ("LoginRefused", True)
    connection.forget_refusal()
    await yard.downloads.resume(job.id)
    await state_of(yard, job.id, "done")


async def test_a_disk_without_room_is_told_before_anything_is_sent(yard: Modelyard, host: FleetHost) -> None:
    source = write(yard.files.folder / "org" / "m.gguf", 20 * MB)
    with host.fill_disk(leave=10 * MB):
        end = failed((await copy(yard, str(source), ["gpu1"]))["gpu1"])
    assert end.error == "DiskFull"
    assert "19.1 MiB are needed" in end.message
    assert not (host.models_folder / "org").exists()


async def test_a_disk_that_fills_meanwhile(yard: Modelyard, host: FleetHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear error, nothing half under the final name, and it goes on when there is room."""
    source = write(yard.files.folder / "org" / "m.gguf", 40 * MB)
    with host.fill_disk(leave=15 * MB), monkeypatch.context() as patch:
        patch.setattr("core.downloads.copying.HostCopy._check_room", _no_look)
        end = failed((await copy(yard, str(source), ["gpu1"]))["gpu1"])
        assert end.error == "DiskFull"
        assert not (host.models_folder / "org" / "m.gguf").exists()
    assert done((await copy(yard, str(source), ["gpu1"]))["gpu1"]).sent < 40 * MB
    assert sha256(host.models_folder / "org" / "m.gguf") == sha256(source)


@pytest.mark.parametrize("is_noted", [True, False])
async def test_what_was_kept_and_is_damaged_is_found_and_sent_again(
    yard: Modelyard, host: FleetHost, is_noted: bool
) -> None:
    """A byte of the partial file is flipped on the host."""
    source = write(yard.files.folder / "org" / "m.gguf", 30 * MB)
    if is_noted:
        note(yard, "org/m.gguf")
    with host.fill_disk(leave=15 * MB), pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.downloads.copying.HostCopy._check_room", _no_look)
        failed((await copy(yard, str(source), ["gpu1"]))["gpu1"])
    (kept,) = hidden(host)
    with kept.open("r+b") as file:
        file.seek(MB)
        byte = file.read(1)
        file.seek(MB)
        file.write(bytes([byte[0] ^ 1]))
    end = done((await copy(yard, str(source), ["gpu1"]))["gpu1"])
    assert end.sent > 30 * MB, "the rest, and then all of it"
    assert sha256(host.models_folder / "org" / "m.gguf") == sha256(source)


async def _no_look(*_: object) -> None:
    """In place of a look at the disk."""


async def test_bytes_that_are_wrong_on_the_host_never_get_the_name(
    yard: Modelyard, host: FleetHost, fleet: Fleet
) -> None:
    """A host whose `dd` writes something else."""
    source = write(yard.files.folder / "org" / "m.gguf", MB)
    bashrc = host.plan.folder / "home" / "deployer" / ".bashrc"
    liar = '#!/bin/sh\nfor word; do case $word in of=*) /usr/bin/dd of="${word#of=}" conv=notrunc;; esac; done\n'
    liar = liar.replace("/usr/bin/dd", "tr '\\000-\\377' '\\001-\\377\\000' | /usr/bin/dd")
    host.exec(["sh", "-c", "mkdir -p /tmp/liar && cat > /tmp/liar/dd && chmod 755 /tmp/liar/dd"], stdin=liar)
    await yard.hosts.add("liar", target="gpu1-deployer", ssh_config=str(fleet.ssh_config), models_dir="/home/deployer")
    bashrc.write_text("PATH=/tmp/liar:$PATH\n")
    try:
        end = failed((await copy(yard, str(source), ["liar"]))["liar"])
    finally:
        bashrc.write_text("")
    assert (end.error, sha256(source) in end.cause) == ("WrongBytes", True)
    assert host.exec(["find", "/home/deployer/org", "-type", "f"]) == ""


async def test_a_file_that_is_not_what_was_installed_is_named(yard: Modelyard, host: FleetHost) -> None:
    source = write(yard.files.folder / "org" / "m.gguf", MB)
    note(yard, "org/m.gguf")
    with source.open("r+b") as file:
        file.write(b"another")
    end = failed((await copy(yard, str(source), ["gpu1"]))["gpu1"])
    assert end.message.startswith(f"{source} is not what was installed")
    assert not (host.models_folder / "org" / "m.gguf").exists()


async def test_a_file_that_changes_while_it_is_copied_is_named(yard: Modelyard, host: FleetHost) -> None:
    source = write(yard.files.folder / "org" / "m.gguf", 100 * MB)
    await yard.downloads.limit(rate="60MB/s")  # so that it is seen on its way

    def change(event: CopyProgress) -> None:
        if event.state == "sending" and event.sent < 100 * MB:
            os.utime(source, (1, 1))

    end = failed((await copy(yard, str(source), ["gpu1"], heard=change))["gpu1"])
    assert (end.error, "changed while it was copied" in end.message) == ("WrongBytes", True)
    assert not (host.models_folder / "org" / "m.gguf").exists()


@pytest.mark.parametrize("name", ["a\nb.gguf", "a\x1b]0;x\x07.gguf", "a\\b.gguf"])
async def test_hostile_names_are_refused(yard: Modelyard, host: FleetHost, name: str) -> None:
    write(yard.files.folder / "org" / name, 10)
    with pytest.raises(FileProblem) as failure:
        await copy(yard, str(yard.files.folder / "org"), ["gpu1"])
    assert failure.value.message.isprintable()
    assert not (host.models_folder / "org").exists()


async def test_the_longest_name_has_room_for_its_hidden_one(yard: Modelyard, host: FleetHost) -> None:
    name = "x" * 250 + ".gguf"
    done((await copy(yard, str(write(yard.files.folder / "org" / name, 10)), ["gpu1"]))["gpu1"])
    assert (host.models_folder / "org" / name).stat().st_size == 10


@pytest.mark.parametrize("folder", ["../up", "/etc/../..", "a/../../b", "a\\b", "a\nb"])
async def test_folders_that_lead_out(yard: Modelyard, tmp_path: Path, folder: str) -> None:
    with pytest.raises(InvalidInput):
        await copy(yard, str(write(tmp_path / "m.gguf", 1)), ["gpu1"], folder=folder)


async def test_a_link_that_was_planted_is_not_followed(yard: Modelyard, host: FleetHost) -> None:
    source = write(yard.files.folder / "org" / "m.gguf", 10)
    host.exec(["sh", "-c", "mkdir /srv/models/org && ln -s /root/planted /srv/models/org/m.gguf"])
    assert failed((await copy(yard, str(source), ["gpu1"]))["gpu1"]).error == "NotAllowed"
    assert host.exec(["sh", "-c", "ls /root/planted 2>/dev/null || echo none"]).strip() == "none"


async def test_all_parts_of_a_split_model_go_with_it(yard: Modelyard, host: FleetHost) -> None:
    for number in (1, 2):
        write(yard.files.folder / "org" / f"m-0000{number}-of-00002.gguf", 10 * number)
    end = done((await copy(yard, str(yard.files.folder / "org" / "m-00001-of-00002.gguf"), ["gpu1"]))["gpu1"])
    assert (end.files, end.size) == (2, 30)


async def test_a_link_of_a_cache_arrives_as_its_file(yard: Modelyard, host: FleetHost, tmp_path: Path) -> None:
    blob = write(tmp_path / "blobs" / "abc", 100)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "m.gguf").symlink_to(blob)
    (tmp_path / "org" / "circle").symlink_to(tmp_path / "org")
    done((await copy(yard, str(tmp_path / "org"), ["gpu1"]))["gpu1"])
    assert sha256(host.models_folder / "org" / "m.gguf") == sha256(blob)
    assert not (host.models_folder / "org" / "m.gguf").is_symlink()


async def test_the_record_tells_the_place(yard: Modelyard, host: FleetHost, tmp_path: Path) -> None:
    """`--register` changes a record only where a deploy to the host would not find the copy."""
    source = write(yard.files.folder / "org" / "m.gguf", 10)
    await yard.registry.add_model({"name": "inside", "provider": "local", "path": str(source)})
    assert done((await copy(yard, "inside", ["gpu1", "gpu2"], register=True))["gpu1"]).path == "/srv/models/org/m.gguf"
    model = await yard.registry.get_model("inside")
    assert (model.path, model.host) == ("org/m.gguf", "local")
    other = write(tmp_path / "x.gguf", 10)
    await yard.registry.add_model({"name": "outside", "provider": "local", "path": str(other)})
    assert done((await copy(yard, "outside", ["gpu1"], folder="org/deep", register=True))["gpu1"]).registered
    model = await yard.registry.get_model("outside")
    assert (model.path, model.host) == ("/srv/models/org/deep/x.gguf", "gpu1")
    with pytest.raises(NotAllowed, match="on gpu1, not on this machine"):
        await copy(yard, "outside", ["gpu2"])


async def test_what_is_nothing_to_copy(yard: Modelyard, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await copy(yard, "no-such-model", ["gpu1"])
    with pytest.raises(NotFound):
        await copy(yard, str(write(tmp_path / "m.gguf", 1)), ["no-such-host"])
    with pytest.raises(NotAllowed):
        await copy(yard, str(tmp_path / "m.gguf"), ["local"])
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "pipe")
    with pytest.raises(FileProblem):
        await copy(yard, str(tmp_path / "pipes"), ["gpu1"])


# by command


async def test_the_command(yard: Modelyard, fleet: Fleet) -> None:
    """By command: events for programs, a line for people, the exit code of the worst host."""
    source = write(yard.files.folder / "org" / "m.gguf", 3 * MB)
    ran = await asyncio.to_thread(modelyard, "hosts", "copy", str(source), "--to", "gpu1", "--to", "gpu2", "--json")
    ends = {event["host"]: event for event in ran.events if event["event"] == "CopyDone"}
    assert {host: end["sent"] for host, end in ends.items()} == {"gpu1": 3 * MB, "gpu2": 3 * MB}
    assert sha256(fleet.hosts[1].models_folder / "org" / "m.gguf") == sha256(source)
    (fleet.hosts[1].models_folder / "org" / "m.gguf").write_bytes(b"mine")
    ran = await asyncio.to_thread(modelyard, "hosts", "copy", str(source), "--to", "gpu1", "--to", "gpu2", code=3)
    assert ran.stdout == "gpu1: /srv/models/org/m.gguf is there and right (1 file, 2.9 MiB; nothing had to be sent).\n"
    assert "error: gpu2: there is another /srv/models/org/m.gguf already; it is left as it is." in ran.stderr
    assert "remedy: " in ran.stderr


async def test_the_command_is_interrupted_and_the_copy_goes_on(yard: Modelyard, host: FleetHost) -> None:
    """By command: Ctrl-C stops following, and tells how to watch and how to stop."""
    source = write(yard.files.folder / "org" / "big.gguf", 200 * MB)
    running = start("hosts", "copy", str(source), "--to", "gpu1")
    async with asyncio.timeout(60):
        while not any(path.stat().st_size > 5 * MB for path in hidden(host)):
            await asyncio.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, told = await asyncio.to_thread(running.communicate, timeout=20)
    [job] = await yard.downloads.all()
    assert (running.returncode, f"modelyard download cancel {job.id}" in told) == (130, True), told
    await state_of(yard, job.id, "done")
    assert sha256(host.models_folder / "org" / "big.gguf") == sha256(source)


async def test_a_worker_that_is_killed_is_replaced(idle: Modelyard, host: FleetHost, short_folder: Path) -> None:
    """By command: a detached copy survives kill -9 of its worker; what came is not sent again."""
    size = 200 * MB
    source = write(idle.files.folder / "org" / "big.gguf", size)
    ran = await asyncio.to_thread(modelyard, "hosts", "copy", str(source), "--to", "gpu1", "--detach", "--json")
    [queued] = ran.document["jobs"]
    assert (queued["kind"], queued["host"]) == ("copy", "gpu1")
    async with asyncio.timeout(60):
        while not any(path.stat().st_size > 5 * MB for path in hidden(host)):
            await asyncio.sleep(0.01)
    [worker] = workers(short_folder)
    worker.kill()
    worker.wait(10)
    try:
        await asyncio.to_thread(modelyard, "download", "list")
        ended = await state_of(idle, queued["id"], "done")
    finally:
        end_all(short_folder)
    assert ended.result is not None
    assert ended.result["sent"] < size
    assert sha256(host.models_folder / "org" / "big.gguf") == sha256(source)
