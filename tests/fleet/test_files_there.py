"""The model files of a real host, asked as those of this machine: counted, taken up, trained on, deleted."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.app import Modelyard
from core.errors import FileProblem, HostSilent, InvalidInput, ModelyardError, NotFound, Refused
from core.events import Progress
from core.files import installed
from core.files.installed import InstalledModel
from core.files.model_files import FileChecked, ModelFiles
from core.hosts import files_there, hashes_there, installed_there
from core.hosts.connection import Connection
from core.hosts.stream_copy import hash_there
from core.registry.jobs import Job
from core.registry.records import Server
from core.registry.values import LOCAL_HOST, ServerStatus
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.fleet.program import modelyard
from tests.unit.model_files import LLAMA, TENSORS, gguf
from tests.unit.pickles import running, zipped
from tests.unit.stores import ollama_store

CONTENT = bytes(range(256)) * 4096
ODD = "sub/a b'$(id);\"-.safetensors"  # of what a name may hold and still be said
GGUF = gguf(LLAMA, TENSORS)
UNSAID = (
    "new\nline.gguf",
    "esc\x1b[2J.gguf",
    "back\\slash.gguf",
    b"latin-\xe9.gguf".decode("utf-8", "surrogateescape"),
)


def write(folder: Path, place: str, content: bytes) -> dict[str, Any]:
    """The entry of a file that is put there."""
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"path": place, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.fixture
def models(idle: Modelyard, host: FleetHost) -> Path:
    """The models folder of the host with one model of three files, and one file that nobody told of."""
    folder = host.models_folder
    files = [write(folder, f"org/tuned/{name}", CONTENT + name.encode()) for name in ("a.json", ODD, "b.safetensors")]
    installed.record(folder, InstalledModel(path="org/tuned", title="tuned", source="hf:org/tuned", files=tuple(files)))
    write(folder, "custom/--by hand.gguf", GGUF)
    return folder


@pytest.fixture
async def files(idle: Modelyard, models: Path) -> ModelFiles:
    """What the program asks."""
    return await idle.files_of("gpu1")


def told(models: Path) -> list[str]:
    return [model.path for model in installed.read(models)]


async def taken(files: ModelFiles, folder: str = "") -> list[InstalledModel]:
    return [event async for event in files.adopt(folder) if isinstance(event, InstalledModel)]


async def test_what_is_there_is_told_in_two_round_trips(idle: Modelyard, files: ModelFiles, models: Path) -> None:
    """D7, D8: whatever names are there; what is hidden, or behind a link to a folder, is not looked at."""
    for name in UNSAID:
        write(models, f"custom/{name}", b"x" * 10)
    write(models, "custom/.hidden.gguf", b"x" * 100)
    (models / "custom" / "linked").symlink_to("/srv")
    (models / "custom" / "link.gguf").symlink_to("--by hand.gguf")
    (models / "custom" / "nowhere.gguf").symlink_to("gone")
    connection = idle.hosts.connection(await idle.registry.get_host("gpu1"))
    run, asked = connection.run, 0

    async def counted(*words: Any, **more: Any) -> Any:
        nonlocal asked
        asked += 1
        return await run(*words, **more)

    connection.run = counted  # type: ignore[method-assign]
    known = await files.installed()
    seen = await files.survey(known)
    assert asked == 2
    assert [(model.path, len(model.files)) for model in known] == [("org/tuned", 3)]
    found = [(found.path, found.size) for found in seen.unknown]
    assert found == [("custom/--by hand.gguf", len(GGUF)), ("custom/link.gguf", len(GGUF))]
    usage = seen.usage
    everything = sum(path.stat().st_size for path in models.rglob("*") if path.is_file() and not path.is_symlink())
    assert (usage.host, usage.total, usage.models["org/tuned"]) == ("gpu1", everything, known[0].size)
    assert 0 < usage.free <= 1 << 30


async def test_a_tool_box_without_gnu_tells_the_same(host: FleetHost, files: ModelFiles, models: Path) -> None:
    """D8: `find` there may not know -printf."""
    expected = await files.survey([])
    find = host.exec(["sh", "-c", "command -v find"]).strip()
    plain = models / "custom" / "find"
    plain.write_text(f'#!/bin/sh\nfor w; do [ "$w" = -printf ] && exit 1; done\nexec {find}.real "$@"\n')
    plain.chmod(0o755)
    host.exec(["sh", "-c", f"cp {find} /tmp/find.real && mount --bind {host.models_dir}/custom/find {find}"])
    try:
        plain.write_text(plain.read_text().replace(f"{find}.real", "/tmp/find.real"))
        seen = await files.survey([])
    finally:
        host.exec(["umount", find])
    assert seen.unknown == expected.unknown
    assert seen.usage.total == expected.usage.total + plain.stat().st_size


async def test_what_was_carried_in_is_taken_up(files: ModelFiles, models: Path, host: FleetHost) -> None:
    """D7: a folder at its own word, other files by what the host reads; pickles are marked, nothing is changed."""
    carried = write(models / "custom/stick", "org/m.gguf", CONTENT)
    stick = InstalledModel(path="org/m.gguf", title="m", source="hf:org/m", files=({**carried, "sha256": "a" * 64},))
    installed.record(models / "custom/stick", stick)
    write(models, "custom/evil.ckpt", zipped(running(models / "victim")))
    events = [event async for event in files.adopt("custom")]
    found = {event.path: event for event in events if isinstance(event, InstalledModel)}
    assert set(found) == {"custom/stick/org/m.gguf", "custom/--by hand.gguf", "custom/evil.ckpt"}
    assert found["custom/stick/org/m.gguf"].source == "hf:org/m"
    by_hand = found["custom/--by hand.gguf"]
    assert by_hand.files[0]["sha256"] == hashlib.sha256(GGUF).hexdigest()
    assert (by_hand.by_hand, by_hand.more["architecture"]) == (True, "llama")
    assert "posix.system" in found["custom/evil.ckpt"].warning
    assert any(isinstance(event, Progress) and event.total for event in events)
    assert set(told(models)) == {*found, "org/tuned"}
    [bad] = [
        event async for event in files.verify([found["custom/stick/org/m.gguf"]]) if isinstance(event, FileChecked)
    ]
    assert bad.condition == "changed"
    assert await taken(files) == []
    for place in ("../../etc", "/etc", f"{host.models_dir}/../x"):
        with pytest.raises(InvalidInput, match="not in the models folder"):
            await taken(files, place)


async def test_many_are_taken_up_together(files: ModelFiles, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D7: small ones in few questions; one that can't be read keeps none of the others from being told of."""
    wanted = {f"loras/{number:03}.gguf" for number in range(70)}
    for place in wanted:
        write(models, place, GGUF + place.encode())
    write(models, "loras/closed.gguf", GGUF)

    async def one_closed(connection: Connection, sizes: Any) -> AsyncGenerator[Any, None]:
        async for event in hashes_there.hash_files(connection, sizes):
            is_closed = getattr(event, "path", "").endswith("closed.gguf")
            yield hashes_there.Hashed(path=event.path, sha256="") if is_closed else event  # type: ignore[union-attr]

    monkeypatch.setattr(files_there, "hash_files", one_closed)
    found: list[InstalledModel] = []
    with pytest.raises(ModelyardError, match="closed"):
        async for event in files.adopt("loras"):
            if isinstance(event, InstalledModel):
                found.append(event)
    assert {model.path for model in found} == wanted == set(told(models)) - {"org/tuned"}
    assert {model.more["architecture"] for model in found} == {"llama"}
    for model in found:
        assert model.files[0]["sha256"] == hashlib.sha256(GGUF + model.path.encode()).hexdigest()


async def test_a_broken_line_is_no_end(files: ModelFiles, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D7: the reading goes on with the files that are left, and none is read twice."""
    monkeypatch.setattr(hashes_there, "_RETRY_S", 0.01)
    monkeypatch.setattr(hashes_there, "_SMALL", 0)
    write(models, "custom/z.gguf", GGUF)
    asked = []

    async def cut(connection: Connection, path: str) -> AsyncGenerator[int | str, None]:
        asked.append(path.rpartition("/")[2])
        if len(asked) == 2:
            yield 7
            raise HostSilent("The SSH connection broke.")
        async with aclosing(hash_there(connection, path)) as reports:
            async for report in reports:
                yield report

    monkeypatch.setattr(hashes_there, "hash_there", cut)
    found = {model.path: model.files[0]["sha256"] for model in await taken(files, "custom")}
    assert found == dict.fromkeys(("custom/--by hand.gguf", "custom/z.gguf"), hashlib.sha256(GGUF).hexdigest())
    assert asked == ["--by hand.gguf", "z.gguf", "z.gguf"]


async def test_every_kind_of_damage_is_named(files: ModelFiles, models: Path) -> None:
    """D9, D10: what `files export --verify` reads on the host."""
    (models / "org/tuned/a.json").unlink()
    write(models, f"org/tuned/{ODD}", b"short")
    [model] = await files.installed()
    seen = [event async for event in files.verify([model]) if isinstance(event, FileChecked)]
    assert {one.path.removeprefix("org/tuned/"): one.condition for one in seen} == {
        "a.json": "missing",
        ODD: "short",
        "b.safetensors": "fine",
    }


async def test_deleting_spares_the_rest(files: ModelFiles, models: Path) -> None:
    """L8: other files stay, and folders that held nothing else go."""
    write(models, "org/tuned/mine.txt", b"mine")
    assert (await files.to_delete("tuned")).path == "org/tuned"
    await files.delete("tuned")
    assert [path.name for path in (models / "org/tuned").iterdir()] == ["mine.txt"]
    assert told(models) == []
    with pytest.raises(NotFound, match="gpu1"):
        await files.delete("--by hand.gguf")
    await files.delete("custom/--by hand.gguf")
    assert not (models / "custom").exists()


async def test_what_was_put_there_by_hand_is_deleted_by_its_exact_path(files: ModelFiles, models: Path) -> None:
    """L8."""
    await taken(files)
    with pytest.raises(Refused, match="named exactly") as refused:
        await files.delete("--by hand.gguf")
    assert refused.value.remedy == "modelyard files delete custom/--by hand.gguf --host gpu1"
    await files.delete(str(files.folder / "custom/--by hand.gguf"))
    assert not (models / "custom").exists()


async def test_what_other_tools_keep_there_is_theirs(files: ModelFiles, host: FleetHost, models: Path) -> None:
    """L8, X8."""
    store = host.plan.folder / "root" / ".ollama"
    ollama_store(store / "models")
    try:
        with pytest.raises(Refused, match="another program"):
            await files.delete("llama3.2:1b")
        assert (await files.usage()).stores["ollama"] > 0
    finally:
        host.exec(["rm", "-rf", "/root/.ollama"])


async def test_files_that_a_server_there_has_loaded(idle: Modelyard, files: ModelFiles, models: Path) -> None:
    """L8: however its record writes the path; the same path on another host is no matter."""
    (models / "custom/link").symlink_to("../org/tuned")
    values = {"name": "m", "provider": "vllm", "model_id": "org/m", "path": "/x", "host": "gpu1"}
    model = await idle.registry.add_model(values)
    record = await idle.registry.get_host("gpu1")
    known: dict[str, Any] = {"user_id": "me", "model_id": model.id, "model_name": "m", "served_name": "m"}
    place: dict[str, Any] = {"host_id": record.id, "host_name": "gpu1", "status": ServerStatus.RUNNING}
    await idle.registry.add_server(Server(**known, server_type="vllm", runtime="docker", **place))
    for path in ("org/tuned", "custom/link", "org/tuned/b.safetensors"):
        await idle.registry.edit_model(model.id, {"path": f"{files.folder}/{path}"})
        with pytest.raises(Refused, match="m serves org/tuned now"):
            await files.delete("tuned")
    assert (models / "org/tuned/b.safetensors").exists()
    await idle.registry.edit_host("gpu2", {"models_dir": str(files.folder)})
    with pytest.raises(NotFound, match="gpu2"):
        await (await idle.files_of("gpu2")).delete("tuned")


async def test_files_that_a_container_of_somebody_else_has_loaded(
    clean_hosts: Fleet, busybox_image: str, idle: Modelyard, files: ModelFiles, models: Path
) -> None:
    """L8: no record tells of it; a mount of the whole folder counts only for the file that the command names."""
    host = clean_hosts.hosts[0]
    folder, sleep = host.models_dir, "sleep 600 # /models/custom/--by hand.gguf"
    host.docker("run", "-d", "--name", "theirs", "-v", f"{folder}/org/tuned:/model", busybox_image, "sleep", "600")
    with pytest.raises(Refused, match="container theirs runs with org/tuned") as refused:
        await files.delete("tuned")
    assert refused.value.remedy.endswith("docker stop theirs")
    host.docker("rm", "-f", "theirs")
    host.docker("run", "-d", "--name", "all", "-v", f"{folder}:/models", busybox_image, "sh", "-c", sleep)
    with pytest.raises(Refused, match="container all runs with custom/--by hand"):
        await files.delete("custom/--by hand.gguf")
    await files.delete("tuned")
    assert not (models / "org").exists()
    await idle.registry.edit_host("gpu1", {"docker_socket": "/run/no-engine.sock"})
    await (await idle.files_of("gpu1")).delete("custom/--by hand.gguf")
    assert not (models / "custom").exists()


async def test_files_that_a_container_of_this_machine_has_loaded(
    clean_hosts: Fleet, busybox_image: str, idle: Modelyard
) -> None:
    """L8: the same here; the engine is a test host's, which has a folder of the same name."""
    host, here = clean_hosts.hosts[0], await idle.files_of(LOCAL_HOST)
    file = Path(here.folder, "custom", "m.gguf")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"theirs")
    host.docker("run", "-d", "--name", "theirs", "-v", f"{file}:/model.gguf", busybox_image, "sleep", "600")
    await idle.registry.edit_host(LOCAL_HOST, {"docker_socket": str(host.docker_socket)})
    with pytest.raises(Refused, match="The container theirs runs with custom/m") as refused:
        await here.delete("custom/m.gguf")
    assert refused.value.remedy.endswith(": docker stop theirs")
    host.docker("rm", "-f", "theirs")
    await here.delete("custom/m.gguf")
    assert not file.exists()


async def test_files_that_a_job_there_works_on(idle: Modelyard, files: ModelFiles, models: Path) -> None:
    """L8: a copy to it, its own download, a check."""
    root, place = str(files.folder), "org/tuned/b.safetensors"
    specs: dict[str, dict[str, Any]] = {
        "copy": {"root": root, "files": [{"path": "/here/x", "place": place}]},
        "direct": {"listing": {"files": [{"path": "b.safetensors"}]}},
        "verify": {"files": [{"path": place}]},
    }
    for kind, spec in specs.items():
        folder = root if kind == "verify" else f"{root}/org/tuned"
        job = Job(user_id="me", title="x", kind=kind, folder=folder, host="gpu1", spec=spec, state="paused")
        await idle.registry.add_job(job)
        with pytest.raises(Refused, match="needs org/tuned"):
            await files.delete("tuned")
        await idle.registry.edit_job(job.id, {"state": "done"})
    await idle.registry.add_job(Job(user_id="me", title="x", kind="copy", folder=root, host="gpu2", spec=specs["copy"]))
    await files.delete("tuned")
    assert not (models / "org").exists()


async def test_files_behind_a_link_stay(files: ModelFiles, models: Path, host: FleetHost) -> None:
    """L8: a folder that is a link out of the models folder, found before anything is deleted."""
    outside = host.plan.folder / "srv" / "elsewhere"
    file = write(outside, "x.gguf", GGUF)
    (models / "custom/out").symlink_to("/srv/elsewhere")
    inside = write(models, "custom/y.gguf", GGUF)
    model = InstalledModel(path="custom", title="x", files=(inside, {**file, "path": "custom/out/x.gguf"}))
    installed.record(models, model)
    with pytest.raises(Refused, match="behind a link, in /srv/elsewhere"):
        await files.delete("custom")
    assert (outside / "x.gguf").exists()
    assert (models / "custom/y.gguf").exists()


async def test_a_folder_that_becomes_a_link_while_it_is_deleted(
    files: ModelFiles, models: Path, host: FleetHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L8: what was seen before is seen again by the program that deletes."""
    outside = host.plan.folder / "srv" / "elsewhere"
    write(outside, "b.safetensors", b"not ours")
    check = files.to_delete

    async def then_swapped(ref: str) -> InstalledModel:
        model = await check(ref)
        (models / "org/tuned").rename(models / "custom/moved")
        (models / "org/tuned").symlink_to("/srv/elsewhere")
        return model

    monkeypatch.setattr(files, "to_delete", then_swapped)
    with pytest.raises(ModelyardError, match="link meanwhile"):
        await files.delete("tuned")
    assert (outside / "b.safetensors").read_bytes() == b"not ours"
    assert told(models) == ["org/tuned"]


async def test_a_folder_that_may_not_be_changed(files: ModelFiles, models: Path, host: FleetHost) -> None:
    """L8: nothing is begun, so that no half of a model is left; the hint says where to look."""
    for place in (f"{host.models_dir}/org/tuned", host.models_dir):
        host.exec(["sh", "-c", f"mount --bind {place} {place} && mount -o remount,ro,bind {place}"])
        try:
            with pytest.raises(FileProblem, match="can't be deleted; nothing was") as failed:
                await files.delete("tuned")
            assert failed.value.remedy == f"See who may write there: ls -ld {place}"
        finally:
            host.exec(["umount", place])
    assert len(list((models / "org/tuned").rglob("*.safetensors"))) == 2
    assert told(models) == ["org/tuned"]


async def test_two_programs_change_the_list_at_once(idle: Modelyard, files: ModelFiles, models: Path) -> None:
    """D7: ten models are noted while one is deleted; nobody's change is lost."""
    connection = idle.hosts.connection(await idle.registry.get_host("gpu1"))

    async def noted(number: int) -> None:
        await installed_there.note(connection, str(files.folder), [InstalledModel(path=f"m{number}", title="m")])

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(noted(number))
        group.create_task(files.delete("tuned"))
    assert told(models) == [f"m{number}" for number in range(4)]


async def test_a_damaged_list_is_told_and_kept(files: ModelFiles, models: Path) -> None:
    (models / installed.NAME).write_text("{")
    for asked in (files.usage(), files.delete("tuned"), taken(files)):
        with pytest.raises(FileProblem, match=r"gpu1:.*damaged"):
            await asked
    assert (models / installed.NAME).read_text() == "{"


async def test_a_host_without_a_folder_yet(idle: Modelyard, host: FleetHost) -> None:
    """D8: nothing is there, and the disk is that of the folder above; what can't be read is told."""
    await idle.registry.edit_host("gpu1", {"models_dir": f"{host.models_dir}/later/models"})
    usage = await (await idle.files_of("gpu1")).usage()
    assert (usage.total, usage.models) == (0, {})
    assert usage.free > 0
    await idle.registry.edit_host("gpu1", {"models_dir": f"{host.models_dir}/custom"})
    write(host.models_folder, "custom", b"a file")
    with pytest.raises(ModelyardError):
        await (await idle.files_of("gpu1")).delete("x")


async def test_the_commands_of_a_host(files: ModelFiles, models: Path, host: FleetHost, tmp_path: Path) -> None:
    """D7, D8, D9, D10, L8: each is told of its host, and does there what it does here."""
    on = ("--host", "gpu1")
    told_of = modelyard("files", "list", *on, "--json").document
    assert told_of["unknown"] == [f"{host.models_dir}/custom/--by hand.gguf"]
    assert "modelyard files adopt --host gpu1 takes it up" in modelyard("files", "list", *on).stdout
    usage = modelyard("files", "usage", *on, "--json").document
    assert (usage["host"], usage["families"]["org"]) == ("gpu1", told_of["models"][0]["size"])
    adopted = modelyard("files", "adopt", *on, "custom", "--json").document["adopted"]
    assert [model["path"] for model in adopted] == ["custom/--by hand.gguf"]
    asked = modelyard("files", "delete", "tuned", *on, code=3)
    assert "of org/tuned from the disk of gpu1, for good?" in asked.stderr
    assert (models / "org/tuned/b.safetensors").exists()
    gone = modelyard("files", "delete", "tuned", *on, "-y", "--json").document
    assert (gone["host"], gone["deleted"], told(models)) == ("gpu1", True, ["custom/--by hand.gguf"])
    assert modelyard("files", "delete", "tuned", *on, "-y", "--json", code=1).problem["error"] == "NotFound"


async def test_what_a_copy_left_there_is_tidied_up(files: ModelFiles, models: Path, host: FleetHost) -> None:
    """D6, D8, L9: what is the user's own there, quiet and nobody's; what is recent may be another machine's."""
    quiet, recent, other = (models / "org" / f".modelyard-{digit * 12}-{'f' * 12}.part" for digit in "abc")
    for part in (quiet, recent, other):
        part.write_bytes(b"x" * 5000)
        os.chown(part, models.stat().st_uid + (part == other), -1)
    os.utime(quiet, (0, 0))
    os.utime(other, (0, 0))
    usage = modelyard("files", "usage", "--host", "gpu1", "--json").document
    assert (usage["unfinished_count"], usage["unfinished"]) == (2, 10_000)
    assert modelyard("files", "tidy", "--host", "gpu1", "--json", code=3).problem["error"] == "NeedsConfirmation"
    told_of = modelyard("files", "tidy", "--host", "gpu1", "-y", "--json").document
    assert [one["path"] for one in told_of["deleted"]] == [f"org/{quiet.name}"]
    assert [one["kept"][:23] for one in told_of["kept"]] == ["it changed a moment ago"]
    assert [part.exists() for part in (quiet, recent, other)] == [False, True, True]


async def test_a_config_for_training_there(files: ModelFiles, models: Path, host: FleetHost, tmp_path: Path) -> None:
    """D10: paths of that host, files that are whole there; it is written here."""
    place = "org/FLUX.1-dev/flux1-dev.safetensors"
    file = write(models, place, CONTENT)
    installed.record(models, InstalledModel(path="org/FLUX.1-dev", title="flux", source="hf:org/f", files=(file,)))
    out = tmp_path / "flux.yaml"
    words = ("files", "export", "flux", "--host", "gpu1", "--dataset", "/data/mine", "--out", str(out))
    modelyard(*words, "--verify")
    [process] = yaml.safe_load(out.read_text())["config"]["process"]
    assert process["model"]["name_or_path"] == f"{host.models_dir}/{place}"
    assert process["datasets"][0]["folder_path"] == "/data/mine"
    (models / place).write_bytes(CONTENT[:-1] + b"x")
    bad = modelyard(*words, "--verify", "--force", "--json", code=1).problem
    assert (bad["message"], bad["remedy"]) == (
        f"{place} is changed.",
        "modelyard files verify --repair org/FLUX.1-dev --host gpu1",
    )
    (models / place).write_bytes(b"")
    assert "missing or not whole" in modelyard(*words, "--force", "--json", code=1).problem["message"]
    assert modelyard(*words[:4], "gpu1", "--dataset", "mine", "--json", code=2).problem["fields"].keys() == {"dataset"}


async def test_usage_of_all_hosts_names_those_that_are_silent(fleet: Fleet, files: ModelFiles, models: Path) -> None:
    """D8: in total, without the one that can't be reached."""
    with fleet.hosts[1].take_down_sshd():
        told_of = modelyard("files", "usage", "--all", "--json").document
        hosts = {one["host"]: one for one in told_of["hosts"]}
        assert set(hosts) == {"local", "gpu1", "gpu2"}
        assert (hosts["gpu2"]["error"], hosts["gpu1"]["folder"]) == ("HostSilent", str(files.folder))
        assert told_of["total"]["total"] == hosts["gpu1"]["total"] + hosts["local"]["total"]
        shown = modelyard("files", "usage", "--all").stdout
        assert "gpu2" in shown
        for asked in (("usage",), ("adopt",), ("delete", "x", "-y"), ("export", "x")):
            assert modelyard("files", *asked, "--host", "gpu2", "--json", code=4).problem["error"] == "HostSilent"
    assert modelyard("files", "usage", "--all", "--host", "gpu1", code=2).stderr
