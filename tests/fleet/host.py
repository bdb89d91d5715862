"""A test host with faults: each is done at once and undone by its opposite, by leaving `with`, or by `heal`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from tests.fleet.machine import Machine
from tests.fleet.network import NETNS
from tests.fleet.shell import attempt, run, wait_until

_FILLER = ".filler"
_KNOCK = """
import contextlib, socket, sys
with contextlib.suppress(ConnectionRefusedError):
    socket.create_connection((sys.argv[1], 22), timeout=2)
"""


@dataclass(frozen=True)
class Fault:
    """Something that was broken just now; leaving the context repairs it."""

    repair: Callable[[], None]

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.repair()


@dataclass(kw_only=True)
class FleetHost(Machine):
    """A host and everything that can go wrong with it."""

    _old_key: tuple[bytes, bytes] | None = None
    _faults: list[Callable[[], None]] = field(default_factory=list)

    def cut(self) -> Fault:
        """Pull the network cable; open connections hang, new ones find nobody."""
        fault = self._fault(self.restore)
        self._link("down")
        return fault

    def restore(self) -> None:
        """Plug the network cable in again and wait until packets pass."""
        self._link("up")
        wait_until(self._is_reached, what=f"{self.name} is reached again")

    def kill_dockerd(self) -> Fault:
        """Kill the container engine; its socket stays and refuses, containers run on until it is back."""
        fault = self._fault(self.repair_dockerd)
        self._end_dockerd("KILL")
        return fault

    def repair_dockerd(self) -> None:
        """Start the container engine unless it answers."""
        if not self.docker_answers():
            self.start_dockerd()

    def take_down_sshd(self, *, sessions: bool = True) -> Fault:
        """End the SSH server, by default with everyone who is logged in."""
        fault = self._fault(self.repair_sshd)
        self.stop_sshd(sessions=sessions)
        return fault

    def repair_sshd(self) -> None:
        """Start the SSH server unless it answers."""
        if not self._sshd_answers():
            self.start_sshd()

    def reboot(self, *, gracefully: bool = False) -> None:
        """Stop everything, containers included, and start again; /run and /tmp are empty then, disks are not."""
        if gracefully:
            self.shut_down()
        self.power_off()
        self.boot()

    def crash(self) -> Fault:
        """Power the host off; repaired by booting it."""
        fault = self._fault(self.repair_power)
        self.power_off()
        return fault

    def repair_power(self) -> None:
        """Boot the host unless it is up."""
        if not self.is_up:
            self.boot()

    def fill_disk(self, *, leave: int = 0) -> Fault:
        """Take all but `leave` bytes of the models folder's disk."""
        fault = self._fault(self.free_disk)
        size = shutil.disk_usage(self.models_folder).free - leave
        with (self.models_folder / _FILLER).open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, size)
        return fault

    def free_disk(self) -> None:
        """Give the disk back."""
        (self.models_folder / _FILLER).unlink(missing_ok=True)

    def lack(self, program: str) -> Fault:
        """Have no such program."""
        path = self.exec(["sh", "-c", f"command -v {program}"]).strip()
        fault = self._fault(lambda: self.install(path))
        self.exec(["mount", "--bind", "/dev/null", path])
        return fault

    def install(self, path: str) -> None:
        """Have the program again that was taken away."""
        self.attempt(["umount", path])

    def refuse_key(self) -> Fault:
        """Let nobody log in by the tests' key; those who are logged in stay."""
        fault = self._fault(self.accept_key)
        self.write_authorized_keys("")
        return fault

    def accept_key(self) -> None:
        """Let the tests' key in."""
        self.write_authorized_keys(self.identity.with_suffix(".pub").read_text())

    def change_host_key(self) -> Fault:
        """Present another host key than the one that `known_hosts` has, as an impostor or a new machine would."""
        fault = self._fault(self.restore_host_key)
        public = self.host_key.with_suffix(".pub")
        self._old_key = self._old_key or (self.host_key.read_bytes(), public.read_bytes())
        self.new_host_key()
        self._restart_sshd()
        return fault

    def restore_host_key(self) -> None:
        """Present the first host key again."""
        if self._old_key is None:
            return
        self.host_key.write_bytes(self._old_key[0])
        self.host_key.with_suffix(".pub").write_bytes(self._old_key[1])
        self._old_key = None
        self._restart_sshd()

    def heal(self) -> None:
        """Undo what is still broken, the last fault first."""
        self.repair_power()
        while self._faults:
            self._faults.pop()()

    def _fault(self, repair: Callable[[], None]) -> Fault:
        """Noted before anything is broken, so that half a fault is repaired, too."""
        self._faults.append(repair)
        return Fault(repair)

    def _link(self, state: str) -> None:
        space = ("-n", self.plan.jump_netns) if self.plan.jump else ()
        run("ip", *space, "link", "set", self.plan.cable, state)

    def _is_reached(self) -> bool:
        """Whether the other end of the cable gets an answer, be it a refusal."""
        space = ("nsenter", f"--net={NETNS / self.plan.jump_netns}") if self.plan.jump else ()
        return attempt((*space, sys.executable, "-c", _KNOCK, self.address)).returncode == 0

    def _restart_sshd(self) -> None:
        if self._sshd_answers():
            self.stop_sshd(sessions=True)
        self.start_sshd()
