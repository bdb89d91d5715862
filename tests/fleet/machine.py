"""One test host: namespaces of its own around the machine's files, and in them an sshd and a dockerd."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from docker import DockerClient
from docker.errors import APIError, DockerException

from tests.fleet import users
from tests.fleet.shell import FleetError, attempt, run, wait_until

BOOT = Path(__file__).with_name("boot.sh")
MODELS_DIR = "/srv/models"
OTHER_PORT = 2222


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """What a host is made of; sizes in bytes."""

    name: str
    address: str
    netns: str
    cable: str  # the other end of the host's cable
    folder: Path
    identity: Path
    ssh_config: Path
    known_hosts: Path
    models_size: int = 1 << 30
    has_docker: bool = True
    jump: str = ""  # the host that it is reached through; it has the other end then
    jump_netns: str = ""


@dataclass(kw_only=True)
class Machine:
    """A host that can be booted, entered and shut down."""

    plan: Blueprint
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _box: subprocess.Popen[bytes] | None = None
    _init: int = 0

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def address(self) -> str:
        return self.plan.address

    @property
    def port(self) -> int:
        return 22

    @property
    def ssh_config(self) -> Path:
        return self.plan.ssh_config

    @property
    def identity(self) -> Path:
        """The client's private key."""
        return self.plan.identity

    @property
    def models_dir(self) -> str:
        """The models folder as this host sees it; the same on all."""
        return MODELS_DIR

    @property
    def models_folder(self) -> Path:
        """The models folder as the tests see it."""
        return self.plan.folder / "srv" / "models"

    def here(self, path: str) -> Path:
        """What this host sees at a path of its models folder, as the tests see it."""
        return self.models_folder / Path(path).relative_to(self.models_dir)

    @property
    def docker_socket(self) -> Path:
        """The host's /run/docker.sock as the tests see it."""
        return self.plan.folder / "run" / "docker.sock"

    @property
    def fingerprint(self) -> str:
        """Of the current host key, as `SHA256:...`."""
        return run("ssh-keygen", "-lf", self.host_key.with_suffix(".pub")).split()[1]

    @property
    def host_key(self) -> Path:
        return self.plan.folder / "keys" / "ssh_host_ed25519_key"

    @property
    def is_up(self) -> bool:
        return self._box is not None and self._box.poll() is None

    def log(self, daemon: str) -> Path:
        """What `sshd`, `dockerd` or `boot` wrote."""
        return self.plan.folder / f"{daemon}.log"

    def prepare(self) -> None:
        """Make the host's folders, disk, users and keys."""
        for folder in ("run", "root", "home", "srv/docker", "srv/models", "etc", "tmp", "keys"):
            (self.plan.folder / folder).mkdir(parents=True, exist_ok=True)
        (self.plan.folder / "root").chmod(0o700)
        (self.plan.folder / "tmp").chmod(0o1777)
        (self.plan.folder / "daemon.json").write_text('{"max-download-attempts": 1}')
        run("mount", "-t", "tmpfs", "-o", f"size={self.plan.models_size},mode=0777", "models", self.models_folder)
        users.write_users(self.plan.folder, hostname=self.name)
        self.new_host_key()
        self.write_authorized_keys(self.identity.with_suffix(".pub").read_text())
        self._write_sshd_config()

    def boot(self) -> None:
        """Start the host and its daemons and wait until they answer."""
        for stale in (self.plan.folder / "run").iterdir():
            shutil.rmtree(stale) if stale.is_dir() and not stale.is_symlink() else stale.unlink()
        with self.log("boot").open("ab") as log:
            self._box = subprocess.Popen(
                [
                    *("nsenter", f"--net=/run/netns/{self.plan.netns}"),
                    *("unshare", "-m", "-u", "-i", "-p", "-f", "--mount-proc", "--kill-child"),
                    *("sh", str(BOOT), str(self.plan.folder), self.name),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._has_booted, what=f"{self.name} boots", details=self.log("boot"), timeout_s=20)
        self._init = psutil.Process(self._box.pid).children()[0].pid
        self.start_sshd()
        if self.plan.has_docker:
            self.start_dockerd()

    def power_off(self) -> None:
        """End every process of the host at once, as when its power fails."""
        if self._box is None:
            return
        if self.is_up and self._init:
            os.kill(self._init, signal.SIGKILL)
        else:
            self._box.kill()
        for process in (self._box, *self._daemons.values()):
            process.wait(timeout=30)
        self._daemons.clear()
        self._box, self._init = None, 0

    def shut_down(self) -> None:
        """Stop the daemons in their own time, then power off."""
        if self.is_up and "dockerd" in self._daemons:
            self.stop_dockerd()
        self.power_off()

    def exec(self, argv: Sequence[str], *, stdin: str | None = None, timeout_s: float = 60.0) -> str:
        """Standard output of a program that runs on the host as root, not by SSH.

        Raises:
            FleetError: it ended with another status than 0.
        """
        done = self.attempt(argv, stdin=stdin, timeout_s=timeout_s)
        if done.returncode != 0:
            raise FleetError(f"{self.name}: {' '.join(argv)}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def attempt(
        self, argv: Sequence[str], *, stdin: str | None = None, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """How a program ended on the host, whatever its status."""
        return attempt(self._enter(*argv), stdin=stdin, timeout_s=timeout_s)

    def docker(self, *argv: str, check: bool = True, timeout_s: float = 120.0) -> str:
        """Standard output of a docker command against this host's engine."""
        return run("docker", "-H", f"unix://{self.docker_socket}", *argv, check=check, timeout_s=timeout_s).strip()

    def engine(self, *, timeout_s: int = 60) -> DockerClient:
        """An SDK client of this host's engine, to be closed by the caller."""
        return DockerClient(base_url=f"unix://{self.docker_socket}", version="auto", timeout=timeout_s)

    def ssh(
        self, *argv: str, user: str = "", options: Sequence[str] = (), timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """How a command ended that was given over SSH, with the options of `ssh_config` and `options` only."""
        target = f"{self.name}-{user}" if user else self.name
        given: tuple[str, ...] = ("-F", str(self.ssh_config), "-o", "BatchMode=yes", "-o", "ConnectTimeout=3", *options)
        return attempt(("ssh", *given, target, "--", *argv), timeout_s=timeout_s)

    def start_sshd(self) -> None:
        """Start the SSH server and wait until it accepts."""
        sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "/usr/sbin/sshd"
        self._spawn("sshd", sshd, "-D", "-e", "-f", str(self.plan.folder / "sshd_config"))
        wait_until(self._sshd_answers, what=f"{self.name}: sshd answers", details=self.log("sshd"))

    def stop_sshd(self, *, sessions: bool = False) -> None:
        """End the SSH server; those logged in stay, unless `sessions` is set."""
        self.exec(["sh", "-c", "kill -TERM $(cat /run/sshd.pid)"])
        self._daemons.pop("sshd").wait(timeout=10)
        if sessions:
            for process in self.processes():
                with suppress(psutil.NoSuchProcess):
                    if process.name() == "sshd":
                        process.kill()

    def start_dockerd(self) -> None:
        """Start the container engine and wait until it answers."""
        self._spawn(
            "dockerd",
            *("dockerd", "--data-root", "/srv/docker", "--exec-root", "/run/docker"),
            *("--pidfile", "/run/docker.pid", "-H", "unix:///run/docker.sock", "--shutdown-timeout", "3"),
            *("--config-file", str(self.plan.folder / "daemon.json")),
            *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{self.plan.netns}"),
        )
        wait_until(self.docker_answers, what=f"{self.name}: dockerd answers", details=self.log("dockerd"), timeout_s=60)

    def stop_dockerd(self) -> None:
        """Let the container engine stop its containers and end."""
        self._end_dockerd("TERM")

    def _end_dockerd(self, how: str) -> None:
        self.exec(["sh", "-c", f"kill -{how} $(cat /run/docker.pid)"])
        self._daemons.pop("dockerd").wait(timeout=60)

    def docker_answers(self) -> bool:
        """Whether the engine answers a ping."""
        try:
            client = DockerClient(base_url=f"unix://{self.docker_socket}", timeout=5)
        except DockerException:
            return False
        try:
            return bool(client.ping())
        except (APIError, OSError):
            return False
        finally:
            client.close()

    def processes(self) -> list[psutil.Process]:
        """What runs on this host, containers included, as the tests' own process ids."""
        space = f"/proc/{self._init}/ns/pid_for_children"
        wanted = Path(space).readlink()
        return [process for process in psutil.process_iter() if _pid_space(process.pid) == wanted]

    def new_host_key(self) -> None:
        """Another key pair for the SSH server, used when it starts the next time."""
        self.host_key.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", self.host_key)

    def write_authorized_keys(self, text: str) -> None:
        """Who may log in, for all users of the host."""
        for account in users.ACCOUNTS:
            users.write_authorized_keys(self.plan.folder, account, text)

    def facts(self) -> dict[str, Any]:
        """`docker info` of this host."""
        with closing(self.engine()) as client:
            return dict(client.info())

    def _enter(self, *argv: str) -> tuple[str, ...]:
        if not self.is_up:
            raise FleetError(f"{self.name} is down")
        return (
            *("nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p"),
            *("env", "-i", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb", f"PATH={users.PATH}", *argv),
        )

    def _spawn(self, name: str, *argv: str) -> None:
        with self.log(name).open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                self._enter(*argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _has_booted(self) -> bool:
        if not self.is_up:
            raise FleetError(f"{self.name} did not boot: {self.log('boot').read_text(errors='replace')}")
        return (self.plan.folder / "run" / "booted").exists()

    def _sshd_answers(self) -> bool:
        return f"{self.address}:22" in self.exec(["ss", "-Hltn"])

    def _write_sshd_config(self) -> None:
        lines = (
            "Port 22",
            f"Port {OTHER_PORT}",
            f"ListenAddress {self.address}",
            f"HostKey {self.host_key}",
            "PidFile /run/sshd.pid",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "AllowTcpForwarding yes",
            "AllowStreamLocalForwarding yes",
            "AcceptEnv LANG LC_*",
            "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
        )
        (self.plan.folder / "sshd_config").write_text("\n".join(lines) + "\n")


def _pid_space(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/ns/pid").readlink()
    except OSError:
        return None
