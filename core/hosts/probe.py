"""One round trip that tells what a host is: CPUs, memory, system, clock, disks, programs, GPUs."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.errors import CommandFailed
from core.hosts import gpus as gpu_probe
from core.hosts.connection import Completed, Connection, DiskUsage
from core.hosts.remote import script
from core.hosts.values import Gpu
from core.text import clean_line

PYTHON = ("python3", "-I", "-S", "-B", "-")
_PROGRAMS = ("rsync", "docker", "dockerd", "podman", "nvidia-smi", "nvidia-ctk", "nvidia-container-cli")
_TIMEOUT_S = 20.0
_DELAY_S = 1.0  # how long a line of a stream may be on its way

# The same questions for a host without python3. One "key value" line each; the answer of nvidia-smi comes last.
_SHELL = """
export LC_ALL=C
echo "clock $(date +%s)"
echo "cpus $(grep -c ^processor /proc/cpuinfo)"
awk '/^MemTotal:/ { printf "memory_total %.0f\\n", $2 * 1024 }
     /^MemAvailable:/ { printf "memory_available %.0f\\n", $2 * 1024 }' /proc/meminfo
( . /etc/os-release && echo "os $PRETTY_NAME" ) 2>/dev/null
for p in PROGRAMS; do command -v $p >/dev/null 2>&1 && echo "program $p"; done
[ -e /proc/driver/nvidia/version ] && echo "nvidia 1"
for d in /sys/bus/pci/devices/*; do
  read -r v < "$d/vendor" && read -r c < "$d/class" || continue
  case $v$c in 0x10de0x03*) echo "nvidia 1"; break;; esac
done 2>/dev/null
n=0
for p; do
  e=0; r=0; w=0; q=$p
  [ -d "$p" ] && e=1
  [ -r "$p" ] && [ -x "$p" ] && r=1
  while [ -n "$q" ] && [ ! -e "$q" ]; do case $q in */*) q=${q%/*};; *) q=.;; esac; done
  [ -w "${q:-/}" ] && w=1
  echo "place $n $e $r $w $(df -P -k -- "${q:-/}" | awk 'END { print $(NF-4), $(NF-2) }')"
  n=$((n + 1))
done
limit=$(command -v timeout) && limit="$limit 10"
command -v nvidia-smi >/dev/null 2>&1 && { echo smi; $limit SMI 2>&1 || echo "smi-failed $?"; }
exit 0
""".replace("PROGRAMS", " ".join(_PROGRAMS)).replace("SMI", " ".join(gpu_probe.SMI_COMMAND))
_PROC = "/proc"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder that was asked about: bytes of its file system, and what this user may do."""

    path: str
    total: int
    free: int
    exists: bool
    readable: bool
    writable: bool

    @property
    def disk(self) -> DiskUsage:
        """Its file system."""
        return DiskUsage(path=self.path, total=self.total, free=self.free)


@dataclass(frozen=True, kw_only=True)
class GpuUser:
    """A process that has memory of one GPU: bytes, None where the driver does not tell."""

    pid: int
    used: int | None
    container: str  # its container's id, empty outside of containers


@dataclass(frozen=True, kw_only=True)
class HostProbe:
    """What a host said of itself; bytes, seconds. None or empty where it could not be had."""

    cpus: int | None = None
    memory_total: int | None = None
    memory_available: int | None = None
    os: str = ""
    python: str = ""
    clock_skew_s: float | None = None
    places: tuple[Place, ...] = ()
    programs: frozenset[str] = frozenset()
    nvidia: bool = False  # NVIDIA hardware is there, whether or not it can be used
    gpus: tuple[Gpu, ...] = ()
    gpu_source: str = ""
    gpu_problem: str = ""
    gpu_users: tuple[GpuUser, ...] = ()


async def probe(connection: Connection, paths: Sequence[str] = (), *, timeout_s: float = _TIMEOUT_S) -> HostProbe:
    """Ask once. A GPU driver that hangs leaves the rest of the answer whole.

    Raises:
        HostUnreachable: no connection. CommandFailed: the host has neither python3 nor a usable shell.
    """
    sent = time.time()
    done = await _ask_python(connection, paths, with_gpus=True, timeout_s=timeout_s)
    if done is None:
        sent = time.time()
        done = await _ask_python(connection, paths, with_gpus=False, timeout_s=timeout_s)
        if done is not None:
            hung = f"the GPU driver did not answer within {timeout_s:g} s"
            return replace(_read(done.stdout, sent), gpu_problem=hung)
    if done is not None and done.code == 0:
        return _read(done.stdout, sent)
    return await _ask_shell(connection, paths, timeout_s=timeout_s)


async def watch(
    connection: Connection, paths: Sequence[str] = (), *, interval_s: float = 1.0
) -> AsyncGenerator[HostProbe, None]:
    """The same again and again over one long-lived command, for a host with python3.

    Raises:
        HostUnreachable: the line broke. CommandFailed: no python3.
    """
    source = gpu_probe.probe_source(_asked(paths, with_gpus=True, interval_s=interval_s), with_gpus=True)
    async for line in connection.stream(PYTHON, stdin=source):
        yield _read(line, time.time() - _DELAY_S)


async def _ask_python(
    connection: Connection, paths: Sequence[str], *, with_gpus: bool, timeout_s: float
) -> Completed | None:
    """None when it did not end in time."""
    source = gpu_probe.probe_source(_asked(paths, with_gpus=with_gpus), with_gpus=with_gpus)
    try:
        return await connection.run(PYTHON, stdin=source, timeout_s=timeout_s, check=False)
    except CommandFailed:
        return None


def _asked(paths: Sequence[str], *, with_gpus: bool, interval_s: float = 0) -> dict[str, Any]:
    return {
        "paths": list(paths),
        "programs": list(_PROGRAMS),
        "smi": list(gpu_probe.SMI_COMMAND),
        "gpus": with_gpus,
        "interval_s": interval_s,
        "proc": _PROC,
    }


def _read(text: str, sent: float) -> HostProbe:
    try:
        answer = json.loads(text.strip().splitlines()[-1])
        found = gpu_probe.from_probe(answer["gpus"]) or gpu_probe.from_smi(answer.get("smi", ""))
        return HostProbe(
            cpus=answer["cpus"],
            memory_total=answer["memory_total"],
            memory_available=answer["memory_available"],
            os=clean_line(answer["os"]),
            python=clean_line(answer["python"]),
            clock_skew_s=_skew(answer["clock"], sent),
            places=tuple(Place(**place) for place in answer["places"]),
            programs=frozenset(answer["programs"]),
            nvidia=answer["nvidia"],
            gpus=found,
            gpu_source=answer["gpu_source"] or ("nvidia-smi" if found else ""),
            gpu_problem=_gpu_problem(answer),
            gpu_users=tuple(GpuUser(**user) for user in answer["gpu_users"]),
        )
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise CommandFailed("The host's answer can't be read.", cause=clean_line(text[-200:])) from error


def _gpu_problem(answer: dict[str, Any]) -> str:
    """Empty where nvidia-smi has answered instead, and where there is nothing to have a driver for."""
    problem = clean_line(answer["gpu_problem"])
    unneeded = "LibraryNotFound" in problem and not answer["nvidia"]
    return "" if "smi" in answer or unneeded else problem


def _skew(clock: float, sent: float) -> float:
    """Seconds that the host is ahead; 0 while it lies between asking and the answer."""
    received = time.time()
    return 0.0 if sent <= clock <= received else clock - (sent if clock < sent else received)


async def _ask_shell(connection: Connection, paths: Sequence[str], *, timeout_s: float) -> HostProbe:
    sent = time.time()
    done = await connection.run(script(_SHELL, *paths), timeout_s=timeout_s)
    told, _, smi = done.stdout.partition("\nsmi\n")
    facts: dict[str, list[str]] = {}
    for line in told.splitlines():
        key, _, value = line.partition(" ")
        facts.setdefault(key, []).append(value)
    found = gpu_probe.from_smi(smi)
    failed = "smi-failed" in smi
    return HostProbe(
        cpus=_int(facts, "cpus"),
        memory_total=_int(facts, "memory_total"),
        memory_available=_int(facts, "memory_available"),
        os=clean_line(facts.get("os", [""])[0]),
        clock_skew_s=_skew_of_seconds(_int(facts, "clock"), sent),
        places=tuple(_place(paths, words) for value in facts.get("place", []) if len(words := value.split()) == 6),
        programs=frozenset(facts.get("program", [])),
        nvidia="nvidia" in facts,
        gpus=found,
        gpu_source="nvidia-smi" if found else "",
        gpu_problem=clean_line(" ".join(smi.split()))[:400] if failed else "",
    )


def _int(facts: dict[str, list[str]], key: str) -> int | None:
    value = facts.get(key, [""])[0]
    return int(value) if value.isdigit() else None


def _skew_of_seconds(clock: int | None, sent: float) -> float | None:
    """`date` gives whole seconds: up to one second late says nothing."""
    if clock is None:
        return None
    return 0.0 if sent - 1 <= clock <= time.time() else _skew(clock, sent)


def _place(paths: Sequence[str], words: Sequence[str]) -> Place:
    number, exists, readable, writable, total, free = (int(word) for word in words)
    return Place(
        path=paths[number],
        total=total * 1024,
        free=free * 1024,
        exists=bool(exists),
        readable=bool(readable),
        writable=bool(writable),
    )
