"""Copies to a test host beside rsync alone, as root: python -m tests.bench.copies [--megabytes 1024] [--rounds 5].

Ours with the hash at both ends and with all brought to the host's disk; rsync as a user starts it, which brings
nothing to the disk, with the faster cipher, and with --fsync. Each is of a whole copy, its login included. The
processor seconds are those of this side; both sides share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from core.downloads.copying import HostCopy
from core.downloads.hashes import Hashes
from core.downloads.outgoing import outgoing_file
from core.hosts.ssh import SshConnection
from core.registry.records import Host
from core.settings import Settings
from tests.bench.measure import in_turns, own_environment, show, summary
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost

_MB = 1_000_000
_AIM = 1.5
_FOLDER = "/home/bench"
_FAST = "-c aes128-gcm@openssh.com"


@dataclass(kw_only=True)
class _Copies:
    """The ways to copy `source`; MB/s of each, and processor seconds per GB beside."""

    fleet: Fleet
    source: Path
    settings: Settings
    seconds_per_gb: dict[str, list[float]] = field(default_factory=dict)

    @property
    def host(self) -> FleetHost:
        return self.fleet.hosts[0]

    @property
    def target(self) -> Path:
        """The copy, as this machine sees it: not on the host's small disk for models."""
        return self.host.plan.folder / _FOLDER.lstrip("/") / "m.gguf"

    def timed(self, name: str, copy: Callable[[], None]) -> Callable[[], float]:
        """The measurement of a way."""

        def measure() -> float:
            self.host.exec(["sh", "-c", f"rm -rf {_FOLDER} && mkdir -m 777 {_FOLDER} && sync"])
            before, began = _processor_s(), time.perf_counter()
            copy()
            seconds, spent = time.perf_counter() - began, _processor_s() - before
            size = self.source.stat().st_size
            if self.target.stat().st_size != size:
                raise SystemExit(f"{name}: the copy is not whole")
            self.seconds_per_gb.setdefault(name, []).append(spent / (size / 1e9))
            return size / _MB / seconds

        return measure

    def ours(self) -> None:
        asyncio.run(self._ours())

    async def _ours(self) -> None:
        record = Host(name="gpu1", target="gpu1", ssh_config=str(self.fleet.ssh_config))
        connection, hashes = SshConnection(record, self.settings), Hashes()
        file = outgoing_file(self.source, "m.gguf", {})
        try:
            copy = HostCopy([file], connection, _FOLDER, hashes=hashes)
            async with aclosing(copy.run()) as reports:
                async for _ in reports:
                    pass
        finally:
            await connection.end()
            hashes.close()

    def rsync(self, *ssh_options: str, fsync: bool = False) -> None:
        shell = " ".join(("ssh", "-F", str(self.fleet.ssh_config), *ssh_options))
        argv = [
            "rsync",
            "--whole-file",
            *(["--fsync"] if fsync else []),
            "--rsh",
            shell,
            str(self.source),
            f"gpu1:{_FOLDER}/m.gguf",
        ]
        subprocess.run(argv, check=True)


def _processor_s() -> float:
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _write(path: Path, megabytes: int) -> Path:
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(_MB))
    return path


def _measured(fleet: Fleet, folder: Path, *, megabytes: int, rounds: int) -> dict[str, object]:
    settings = Settings.load()
    settings.ensure_folders()
    copies = _Copies(fleet=fleet, source=_write(folder / "m.gguf", megabytes), settings=settings)
    ways = {
        "rsync": copies.rsync,
        "rsync, aes128-gcm": lambda: copies.rsync(*_FAST.split()),
        "rsync, brought to the disk": lambda: copies.rsync(fsync=True),
        "modelyard, hashed at both ends": copies.ours,
    }
    results = in_turns({name: copies.timed(name, way) for name, way in ways.items()}, rounds=rounds)
    processor = {name: values[-rounds:] for name, values in copies.seconds_per_gb.items()}
    return {
        "megabytes": megabytes,
        "aim_times_rsync": _AIM,
        "speed": summary(results, unit="MB/s", base="rsync"),
        "processor": summary(processor, unit="s/GB here", base="rsync"),
    }


def main() -> None:
    """Make a host, copy in turns, print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with own_environment() as env, tempfile.TemporaryDirectory() as folder:
        os.environ.update(env)
        fleet = Fleet()
        try:
            fleet.start()
            show(_measured(fleet, Path(folder), megabytes=asked.megabytes, rounds=asked.rounds))
        finally:
            fleet.close()


if __name__ == "__main__":
    main()
