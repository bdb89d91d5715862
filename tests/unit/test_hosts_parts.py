"""The parts of a connection that need no host: folders, keys, answers, programs."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.errors import CommandFailed, InvalidInput, NotAllowed
from core.hosts import copying, engine_socket, remote
from core.hosts.engine_socket import Look
from core.hosts.host_keys import parse_line
from core.hosts.lease import Lease
from core.hosts.process import Output, TooMuchOutput, execute, lines
from core.hosts.runtime_dir import ensure_private, locked
from core.hosts.ssh import _WATCHED
from core.hosts.ssh_config import Resolved, SshTarget, check_socket, master_command, session_command

# the private folder


def test_the_folder_is_made_private(short_folder: Path) -> None:
    made = ensure_private(short_folder / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    assert ensure_private(made) == made


def test_a_folder_open_to_others_is_refused(short_folder: Path) -> None:
    folder = short_folder / "open"
    folder.mkdir(mode=0o755)
    with pytest.raises(NotAllowed, match="open to other users"):
        ensure_private(folder)


def test_a_folder_that_is_a_link_is_refused(short_folder: Path) -> None:
    (short_folder / "real").mkdir(mode=0o700)
    (short_folder / "link").symlink_to(short_folder / "real")
    with pytest.raises(NotAllowed, match="not a folder of yours"):
        ensure_private(short_folder / "link")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give a folder away")
def test_a_folder_of_someone_else_is_refused(short_folder: Path) -> None:
    folder = short_folder / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(NotAllowed, match="not a folder of yours"):
        ensure_private(folder)


def test_a_path_too_long_for_sockets_is_refused(short_folder: Path) -> None:
    with pytest.raises(NotAllowed, match="too long"):
        ensure_private(short_folder / ("x" * 80))


async def test_only_one_holds_the_lock(short_folder: Path) -> None:
    async with locked(short_folder / "lock", timeout_s=1):
        with pytest.raises(TimeoutError):
            async with locked(short_folder / "lock", timeout_s=0.2):
                pass
    async with locked(short_folder / "lock", timeout_s=1):
        pass


# the hold on a master


async def test_no_master_no_lease(short_folder: Path) -> None:
    assert await Lease.take(short_folder / "none") is None
    (short_folder / "file").touch()
    assert await Lease.take(short_folder / "file") is None


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 400 no\r\n\r\n", b"\xff\xff\xff\xff", b"\0\0\0\0"])
async def test_what_is_no_master_gives_no_lease(short_folder: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        if answer:
            await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(short_folder / "sock"))
    assert await Lease.take(short_folder / "sock", timeout_s=1) is None
    server.close()


async def test_a_stopped_master_is_not_waited_for(short_folder: Path) -> None:
    server = await asyncio.start_unix_server(lambda reader, writer: None, str(short_folder / "sock"))
    started = asyncio.get_running_loop().time()
    assert await Lease.take(short_folder / "sock", timeout_s=0.3) is None
    assert asyncio.get_running_loop().time() - started < 2
    server.close()


# ssh's words

RESOLVED = Resolved(hostname="h", port=22, user="u", known_hosts=(), all_known_hosts=())


def command(resolved: Resolved = RESOLVED, target: str = "op@gpu1") -> str:
    made = master_command(
        SshTarget(name="x", target=target), resolved, Path("/run/c.ctl"), persist_s=60, log=Path("/run/100% c.log")
    )
    return " ".join(made)


def test_the_login_asks_nothing_and_checks_the_key() -> None:
    words = command()
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", "ForwardAgent=no", "ConnectTimeout=10"):
        assert option in words
    assert words.endswith("-- op@gpu1")


def test_the_fast_cipher_is_preferred_only_where_the_user_allows_it() -> None:
    fast = Resolved(**{**vars(RESOLVED), "ciphers": ("aes256-ctr", "aes128-gcm@openssh.com")})
    assert "Ciphers=aes128-gcm@openssh.com,aes256-ctr" in command(fast)
    slow = Resolved(**{**vars(RESOLVED), "ciphers": ("aes256-gcm@openssh.com",)})
    assert "Ciphers" not in command(slow)


def test_jump_hosts_are_strict_and_heard() -> None:
    words = command(Resolved(**{**vars(RESOLVED), "jump": "first,me@second:2222"}))
    assert "ProxyCommand=ssh " in words
    proxy = words.partition("ProxyCommand=")[2]
    assert "-J first -W '[%h]:%p' -- ssh://me@second:2222 2>>'/run/100%% c.log'" in proxy
    assert "BatchMode=yes" in proxy
    assert "StrictHostKeyChecking=yes" in proxy


def test_known_names() -> None:
    assert RESOLVED.known_as == "h"
    assert Resolved(**{**vars(RESOLVED), "port": 2222}).known_as == "[h]:2222"
    assert Resolved(**{**vars(RESOLVED), "port": 2222, "key_alias": "a"}).known_as == "a"


def test_a_session_never_connects_by_itself() -> None:
    words = session_command(Path("/run/50%/c.ctl"))
    assert words[:3] == ["ssh", "-F", "/dev/null"]
    assert "ControlPath=/run/50%%/c.ctl" in words
    assert "ProxyCommand=false" in words


@pytest.mark.parametrize("path", ["", "docker.sock", "/a:b", "/a b", "/a%h", "/$HOME/x", "/a\nb"])
def test_sockets_that_ssh_would_read_otherwise(path: str) -> None:
    with pytest.raises(InvalidInput):
        check_socket(path)


def test_lines_of_known_hosts(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    public = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    shown = subprocess.run(["ssh-keygen", "-lf", tmp_path / "key.pub"], check=True, capture_output=True, text=True)
    key = parse_line(f"[gpu1]:2222 {public}")
    assert key is not None
    assert key.fingerprint == shown.stdout.split()[1]
    assert str(key).endswith("(ED25519)")


@pytest.mark.parametrize("line", ["", "# c", "@revoked h ssh-ed25519 AAAA", "h ssh-ed25519", "h ssh-ed25519 !!"])
def test_lines_that_are_no_keys(line: str) -> None:
    assert parse_line(line) is None


# answers of hosts


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_scripts_work_in_every_shell(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    (tmp_path / "a\nb").write_bytes(b"0123456789")
    (tmp_path / ".c").mkdir()
    words = ["busybox", "sh"] if shell == "busybox" else [shell]

    def ask(argv: list[str]) -> Output:
        done = subprocess.run([*words, *argv[1:]], check=False, capture_output=True)
        return Output(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    path = f"{tmp_path}/a\nb"
    assert ask(remote.read_argv(path, 2, 3)).stdout == b"234"
    assert remote.parse_stat(path, ask(remote.stat_argv(path))).size == 10
    listed = remote.parse_list(str(tmp_path), ask(remote.list_argv(str(tmp_path))).stdout)
    assert [(one.path, one.is_dir) for one in listed] == [(f"{tmp_path}/.c", True), (path, False)]
    assert remote.parse_disk(path, ask(remote.disk_argv(f"{path}/x/y")).stdout).total > 0
    assert ask(remote.read_argv(f"{tmp_path}/none", 0, 1)).code == remote.MISSING
    assert ask(remote.list_argv(f"{tmp_path}/none")).code == remote.MISSING


def test_a_find_without_printf_gives_the_same(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "find").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "find").chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("plain", "new\nline", ".hidden", "-dash", "\udcff"):
        (folder / name).write_bytes(b"xyz")
    (folder / "broken").symlink_to("/nowhere")
    argv = remote.list_argv(str(folder))
    usual = subprocess.run(argv, check=True, capture_output=True).stdout
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    other = subprocess.run(argv, check=True, capture_output=True, env={"PATH": path}).stdout
    one, two = (remote.parse_list(str(folder), answer) for answer in (usual, other))
    assert [(a.path, a.size, a.readable) for a in one] == [(b.path, b.size, b.readable) for b in two]
    assert len(one) == 6


def test_all_folders_above() -> None:
    assert remote.ancestors("/a/b/../c") == ["/a/c", "/a", "/"]
    assert remote.ancestors("a") == ["./a", "."]


# copies


def test_progress_of_rsync() -> None:
    report = copying.parse_progress(b"     52428800  50%  110.50MB/s    0:01:09 (xfr#1, to-chk=0/1)", total=104857600)
    assert report is not None
    assert (report.done, report.total, report.eta_s) == (52428800, 104857600, 69.0)
    assert round(report.rate) == round(110.5 * (1 << 20))
    assert copying.parse_progress(b"sending incremental file list", total=1) is None


@pytest.mark.parametrize(
    ("code", "stderr", "word"),
    [
        (127, "bash: line 1: rsync: command not found", "apt install rsync"),
        (12, "sh: 1: rsync: not found\nrsync: connection unexpectedly closed", "apt install rsync"),
        (11, 'rsync: write failed on "/x": No space left on device (28)', "Free space"),
        (3, "rsync: change_dir failed: Permission denied (13)", "ls -ld"),
        (23, "rsync error: some files", "goes on where it stopped"),
    ],
)
def test_failures_of_rsync(code: int, stderr: str, word: str) -> None:
    error = copying.explain_failure(code, stderr, host="gpu1", target="/srv/\x1b[2Jx")
    assert isinstance(error, CommandFailed)
    assert word in error.remedy
    assert "\x1b" not in error.message + error.remedy


# the engine's socket


@pytest.mark.parametrize(
    ("seen", "kind", "remedy"),
    [
        (Look(), "EngineMissing", "apt install docker.io"),
        (Look(program="dockerd"), "EngineMissing", "enable --now docker"),
        (Look(program="podman"), "EngineMissing", "podman.socket"),
        (Look(kind="other"), "EngineMissing", "right socket"),
        (Look(kind="socket", group="docker", user="op"), "SocketDenied", "usermod -aG docker op"),
        (Look(kind="socket", allowed=True), "EngineMissing", "restart docker"),
        (Look(kind="socket", allowed=True, answers_there=True), "EngineUnavailable", "AllowStreamLocalForwarding"),
    ],
)
def test_why_an_engine_does_not_answer(seen: Look, kind: str, remedy: str) -> None:
    error = engine_socket.explain(seen, host="gpu1", path="/run/docker.sock", problem="refused")
    assert error.code == kind
    assert remedy in error.remedy


def test_rights_that_count_from_the_next_login_on() -> None:
    seen = Look(kind="socket", group="docker", groups_now=frozenset({"op"}))
    assert replace(seen, groups_at_next_login=frozenset({"op", "docker"})).stale_login
    assert not seen.stale_login


# programs


async def test_all_that_a_program_started_is_ended() -> None:
    script = "sleep 71.5 & echo $!; sleep 71.5"
    seen: list[int] = []
    source = lines(["sh", "-c", script])
    async for line in source:
        seen.append(int(str(line)))
        break
    await source.aclose()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(seen[0]) and psutil.Process(seen[0]).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_program_that_ignores_the_request_is_killed() -> None:
    with pytest.raises(TimeoutError):
        await execute(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], timeout_s=0.3)


async def test_too_much_output() -> None:
    with pytest.raises(TooMuchOutput):
        await execute(["cat", "/dev/zero"], timeout_s=20, limit=1000)


async def test_a_line_without_end_comes_in_parts() -> None:
    source = lines(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"])
    found = [item async for item in source if isinstance(item, str)]
    assert len(found) > 1
    assert "".join(found) == "x" * 3_000_000


@pytest.mark.parametrize("shell", [["dash"], ["bash"], ["busybox", "sh"]], ids=lambda words: str(words[0]))
@pytest.mark.parametrize(
    ("data", "argv", "expected", "code"),
    [
        (b"b\na\n", ["sort"], ["a", "b"], 0),
        (b"", ["cat"], [], 0),
        (b"", ["sh", "-c", "exit 7"], [], 7),
        (b"x" * 300_000, ["wc", "-c"], ["300000"], 0),
    ],
)
async def test_the_watch_over_a_remote_command(
    shell: list[str], data: bytes, argv: list[str], expected: list[str], code: int
) -> None:
    if not shutil.which(shell[0]):
        pytest.skip(f"no {shell[0]}")
    words = [*shell, "-c", _WATCHED, "sh", str(len(data)), *argv]
    async with asyncio.timeout(20):
        found = [item async for item in lines(words, stdin=data, hold_stdin=True)]
    *text, last = found
    assert text == expected
    assert isinstance(last, Output)
    assert (last.code, last.stderr) == (code, b"")
