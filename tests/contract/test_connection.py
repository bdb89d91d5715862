"""What every connection promises, asked of this machine and of a real host behind SSH."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.errors import CommandFailed, InvalidInput, NotAllowed, NotFound
from core.hosts.connection import Connection, CopyProgress, FileStat
from core.hosts.local import LocalConnection
from core.hosts.ssh import SshConnection
from core.registry.records import Host
from core.settings import Settings
from tests.fleet.fleet import Fleet

HOSTILE = (
    *("-rf", "new\nline", "esc\x1b]0;x\x07", "sp ace 'q' \"d\" $HOME `id`"),
    *("größe-模型", "\udcff\udcfe", "a\ttab", "..x"),
)


@dataclass(frozen=True, kw_only=True)
class Side:
    """A connection and an empty folder on its host."""

    connection: Connection
    folder: str


@pytest.fixture(params=["local", "ssh", "ssh-user"])
async def side(request: pytest.FixtureRequest, settings: Settings, short_folder: Path) -> AsyncIterator[Side]:
    if request.param == "local":
        connection: Connection = LocalConnection(Host(name="local", kind="local"), settings)
        folder = str(short_folder / "here")
        Path(folder).mkdir()
    else:
        fleet: Fleet = request.getfixturevalue("fleet")
        alias = "gpu1" if request.param == "ssh" else "gpu1-deployer"
        host = Host(name="gpu1", target=alias, ssh_config=str(fleet.hosts[0].ssh_config))
        connection = SshConnection(host, settings)
        folder = (await connection.run(["mktemp", "-d", "/srv/models/test.XXXXXX"])).stdout.strip()
    yield Side(connection=connection, folder=folder)
    await connection.run(["rm", "-rf", "--", folder])
    await connection.close()


def base(entry: FileStat) -> str:
    return entry.path.rpartition("/")[2]


async def put(side: Side, name: str, content: bytes = b"") -> str:
    path = f"{side.folder}/{name}"
    await side.connection.run(["sh", "-c", 'cat > "$1"', "sh", path], stdin=content)
    return path


async def test_arguments_arrive_as_they_are(side: Side) -> None:
    words = ["", "a b", "*", "$HOME", "'", '"', "\\", "new\nline", "é", "-n", "!!", "~", ";id"]
    done = await side.connection.run(["printf", "%s|", *words])
    assert done.stdout == "|".join(words) + "|"


async def test_a_failure_tells_its_words(side: Side) -> None:
    with pytest.raises(CommandFailed) as failure:
        await side.connection.run(["sh", "-c", "echo broken >&2; exit 3"])
    assert "ended with 3" in failure.value.message
    assert failure.value.cause == "broken"
    done = await side.connection.run(["sh", "-c", "echo out; exit 3"], check=False)
    assert (done.code, done.stdout) == (3, "out\n")


async def test_exit_255_of_a_command_is_no_broken_line(side: Side) -> None:
    assert (await side.connection.run(["sh", "-c", "exit 255"], check=False)).code == 255


async def test_a_missing_program(side: Side) -> None:
    done = await side.connection.run(["modelyard-no-such-program"], check=False)
    assert done.code == 127
    with pytest.raises(CommandFailed, match="127"):
        await side.connection.run(["modelyard-no-such-program"])


async def test_stdin_is_binary_safe_and_may_be_ignored(side: Side) -> None:
    data = bytes(range(256)) * 4096
    assert (await side.connection.run(["wc", "-c"], stdin=data)).stdout.split()[0] == str(len(data))
    assert (await side.connection.run(["true"], stdin=data)).code == 0


async def test_a_command_that_hangs_is_ended(side: Side) -> None:
    loop = asyncio.get_running_loop()
    await side.connection.connect()
    started = loop.time()
    with pytest.raises(CommandFailed, match="did not end"):
        await side.connection.run(["sleep", "60"], timeout_s=1)
    assert loop.time() - started < 5


async def test_endless_output_is_ended(side: Side) -> None:
    with pytest.raises(CommandFailed, match="too much"):
        await side.connection.run(["cat", "/dev/zero"])


async def test_many_commands_at_once(side: Side) -> None:
    done = await asyncio.gather(*(side.connection.run(["sh", "-c", f"sleep 0.1; echo {n}"]) for n in range(30)))
    assert [one.stdout for one in done] == [f"{n}\n" for n in range(30)]


async def test_lines_come_as_they_are_written(side: Side) -> None:
    async with aclosing(side.connection.stream(["sh", "-c", "echo one; echo two; sleep 60"])) as stream:
        assert [await anext(stream), await anext(stream)] == ["one", "two"]


async def test_a_stream_takes_input_and_ends(side: Side) -> None:
    assert [line async for line in side.connection.stream(["sort"], stdin=b"b\na\n")] == ["a", "b"]


async def test_a_stream_tells_how_it_failed(side: Side) -> None:
    with pytest.raises(CommandFailed) as failure:
        async for _ in side.connection.stream(["sh", "-c", "echo x; echo why >&2; exit 4"]):
            pass
    assert failure.value.cause == "why"


async def test_ending_a_stream_ends_its_command(side: Side) -> None:
    mark = f"{os.getpid()}.{id(side)}"
    async with aclosing(side.connection.stream(["sh", "-c", f"echo up; exec sleep 7{mark}"])) as stream:
        assert await anext(stream) == "up"
        assert await _is_running(side, mark)
    await _until(lambda: _has_ended(side, mark))


async def _is_running(side: Side, mark: str) -> bool:
    pattern = f"sleep 7{mark[:-1]}[{mark[-1]}]"
    found = await side.connection.run(["pgrep", "-f", pattern], check=False)
    return found.code == 0


async def _has_ended(side: Side, mark: str) -> bool:
    return not await _is_running(side, mark)


async def test_parts_of_a_file(side: Side) -> None:
    data = bytes(range(256)) * 1000
    path = await put(side, "data", data)
    assert await side.connection.read(path, length=10**6) == data
    assert await side.connection.read(path, offset=255, length=3) == data[255:258]
    assert await side.connection.read(path, offset=len(data) - 2, length=50) == data[-2:]
    assert await side.connection.read(path, offset=len(data) + 5, length=50) == b""
    assert await side.connection.read(path, length=0) == b""


async def test_kernel_files_can_be_read(side: Side) -> None:
    assert b"sl  local_address" in await side.connection.read("/proc/net/tcp", length=10**6)


async def test_what_can_not_be_read(side: Side) -> None:
    with pytest.raises(NotFound):
        await side.connection.read(f"{side.folder}/none", length=1)
    with pytest.raises(CommandFailed):
        await side.connection.read(side.folder, length=1)


async def test_stat(side: Side) -> None:
    path = await put(side, "file", b"12345")
    found = await side.connection.stat(path)
    assert found is not None
    assert (found.path, found.size, found.is_dir, found.readable) == (path, 5, False, True)
    assert found.mtime > 1.7e9
    folder = await side.connection.stat(side.folder)
    assert folder is not None
    assert folder.is_dir
    assert await side.connection.stat(f"{side.folder}/none") is None
    assert await side.connection.stat(f"{path}/below-a-file") is None


async def test_links_are_followed_and_broken_ones_listed(side: Side) -> None:
    path = await put(side, "file", b"12345")
    await side.connection.run(["ln", "-s", path, f"{side.folder}/link"])
    await side.connection.run(["ln", "-s", "/nowhere", f"{side.folder}/broken"])
    found = await side.connection.stat(f"{side.folder}/link")
    assert found is not None
    assert found.size == 5
    assert await side.connection.stat(f"{side.folder}/broken") is None
    names = {base(entry): entry for entry in await side.connection.listdir(side.folder)}
    assert set(names) == {"file", "link", "broken"}
    assert names["link"].size == 5
    assert not names["broken"].readable


async def test_hostile_names_survive(side: Side) -> None:
    for name in HOSTILE:
        await put(side, name, name.encode("utf-8", "surrogateescape"))
    listed = await side.connection.listdir(side.folder)
    assert {base(entry) for entry in listed} == set(HOSTILE)
    for name in HOSTILE:
        path = f"{side.folder}/{name}"
        content = name.encode("utf-8", "surrogateescape")
        assert await side.connection.read(path, length=100) == content
        found = await side.connection.stat(path)
        assert found is not None
        assert (found.path, found.size) == (path, len(content))


async def test_a_folder_is_listed_by_name(side: Side) -> None:
    for name in ("b", "a", ".hidden"):
        await put(side, name, b"x")
    await side.connection.run(["mkdir", f"{side.folder}/c"])
    listed = await side.connection.listdir(side.folder)
    assert [base(entry) for entry in listed] == [".hidden", "a", "b", "c"]
    assert [entry.is_dir for entry in listed] == [False, False, False, True]
    with pytest.raises(NotFound):
        await side.connection.listdir(f"{side.folder}/none")


async def test_disk_of_what_is_not_there_yet(side: Side) -> None:
    usage = await side.connection.disk(f"{side.folder}/not/yet")
    assert usage.path == f"{side.folder}/not/yet"
    assert 0 < usage.free <= usage.total


async def test_a_port_of_the_host(side: Side) -> None:
    server = "import socket\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\n"
    server += "while True:\n c,_=s.accept(); c.sendall(b'hello '+c.recv(9)); c.close()\n"
    stream = side.connection.stream(["python3", "-c", server])
    async with aclosing(stream):
        port = int(await anext(stream))
        async with side.connection.open_port(port) as here:
            assert await _greet(here) == b"hello you"
            with pytest.raises(NotAllowed, match=str(here)):
                async with side.connection.open_port(port, local_port=here):
                    pass
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", here)
    with pytest.raises(InvalidInput):
        await side.connection.tunnel(0)


async def _greet(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"you")
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def copied(side: Side, source: Path, target: str) -> list[CopyProgress]:
    return [report async for report in side.connection.copy_to(source, target)]


async def test_a_file_is_copied_under_its_new_name(side: Side, short_folder: Path) -> None:
    data = os.urandom(3_000_000)
    source = short_folder / "-odd name\n.gguf"
    source.write_bytes(data)
    target = f"{side.folder}/new folder/-odd 'name'.gguf"
    reports = await copied(side, source, target)
    assert (reports[-1].done, reports[-1].total) == (len(data), len(data))
    assert await side.connection.read(target, length=4_000_000) == data
    listed = await side.connection.listdir(f"{side.folder}/new folder")
    assert [entry.path for entry in listed] == [target]


async def test_a_folder_is_copied_and_nothing_is_deleted(side: Side, short_folder: Path) -> None:
    source = short_folder / "model"
    (source / "sub").mkdir(parents=True)
    (source / "config.json").write_bytes(b"{}")
    (source / "sub" / "weights").write_bytes(b"w" * 100_000)
    (source / "link").symlink_to(source / "config.json")
    target = f"{side.folder}/model"
    await side.connection.run(["mkdir", target])
    await put(side, "model/kept", b"here before")
    reports = await copied(side, source, target)
    assert reports[-1].done == reports[-1].total == 100_004
    assert await side.connection.read(f"{target}/sub/weights", length=10**6) == b"w" * 100_000
    assert await side.connection.read(f"{target}/link", length=9) == b"{}"
    assert await side.connection.read(f"{target}/kept", length=20) == b"here before"
    assert (await copied(side, source, target))[-1].done == 100_004


async def test_a_copy_does_not_take_the_place_of_another_kind(side: Side, short_folder: Path) -> None:
    source = short_folder / "file"
    source.write_bytes(b"x")
    with pytest.raises(NotAllowed, match="folder"):
        await copied(side, source, side.folder)
    with pytest.raises(NotFound):
        await copied(side, short_folder / "none", f"{side.folder}/x")


async def test_a_stopped_copy_is_resumed(side: Side, short_folder: Path) -> None:
    source = short_folder / "big"
    with source.open("wb") as file:
        for _ in range(256):
            file.write(os.urandom(1 << 20))
    target = f"{side.folder}/big"
    copying = asyncio.create_task(copied(side, source, target))
    await _until(lambda: _written(side, at_least=8_000_000))
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert await side.connection.stat(target) is None, "a name always means a whole file"
    await _until(lambda: _has(side, ".modelyard-partial/big"))
    await copied(side, source, target)
    check = await side.connection.run(["sh", "-c", f"sha256sum < {shlex.quote(target)}"])
    assert check.stdout.split()[0] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert not await _has(side, ".modelyard-partial")


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


async def _written(side: Side, *, at_least: int) -> bool:
    used = await side.connection.run(["du", "-s", "--block-size=1", side.folder], check=False)
    return int(used.stdout.split()[0]) >= at_least


async def _has(side: Side, name: str) -> bool:
    return await side.connection.stat(f"{side.folder}/{name}") is not None
