"""Why a server failed, found in its log by tables of known lines; each engine brings its own table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core.engines.base import Diagnosis
from core.text import clean_line

_LONGEST_LINE = 600
Suggest = Callable[[re.Match[str]], dict[str, str]]


@dataclass(frozen=True)
class Rule:
    """A line that tells a cause; `{name}` in cause and remedy stands for the group of that name."""

    pattern: str
    cause: str
    remedy: str
    suggest: Suggest | None = None


# what the container engine and the operating system say, whatever runs inside
COMMON: tuple[Rule, ...] = (
    Rule(
        r"could not select device driver .{0,20}capabilities: \[\[gpu|unknown or invalid runtime name: nvidia",
        "The container engine can't give GPUs to containers: the NVIDIA Container Toolkit is not set up.",
        "On the host: install nvidia-container-toolkit, nvidia-ctk runtime configure --runtime=docker, restart Docker.",
    ),
    Rule(
        r"unresolvable CDI devices? (?P<device>\S+)",
        "The container engine does not know the GPU {device}.",
        "On the host: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml; check the GPU's UUID.",
    ),
    Rule(
        r"unsatisfied condition: cuda ?>= ?(?P<cuda>[\d.]+)",
        "The image needs CUDA {cuda} and the host's NVIDIA driver is too old for it.",
        "Update the driver, or use an image for an older CUDA (for vLLM its -cu129 variant).",
    ),
    Rule(
        r"nvidia-container-cli: (?:initialization error|detection error|device error):? ?(?P<what>.{0,120})",
        "The NVIDIA runtime could not prepare the GPU: {what}",
        "Run nvidia-smi on the host; after a driver update a reboot is needed.",
    ),
    Rule(
        r"address already in use|port is already allocated|Bind for \S+ failed",
        "The port is in use by something else.",
        "Choose another port, or leave it out so that a free one is chosen.",
    ),
    Rule(
        r'exec(?::| ) ?"?(?P<program>[^"\s:]+)"?: (?:executable file not found|no such file|stat .*no such file)',
        "The image has no program {program}.",
        "Use the engine's own image, or one that is made the same way.",
    ),
    Rule(
        r"exec format error",
        "The image is for another kind of processor than the host's.",
        "Use an image for the host's architecture.",
    ),
    Rule(
        r"toomanyrequests|pull access denied|manifest (?:unknown|for \S+ not found)|no basic auth credentials",
        "The image could not be downloaded.",
        "Check its name, log in to its registry on the host, or copy it there with docker save | docker load.",
    ),
    Rule(
        r"dial tcp: lookup \S+|TLS handshake timeout|connection refused.*registry|registry.*connection refused",
        "The host could not reach the image's registry: the download failed.",
        "Copy the image there: docker save IMAGE | ssh HOST docker load.",
    ),
)

# the last resort: true of many failures, so tried when nothing more telling was found
GENERIC: tuple[Rule, ...] = (
    Rule(
        r"No space left on device",
        "The disk of the host, or the container's shared memory, is full.",
        "Free space there; see modelyard doctor.",
    ),
    Rule(
        r"Permission denied: ?'?(?P<path>[^']{0,200})|(?:failed to open|cannot open).*Permission denied",
        "A file can't be read by the server.",
        "Make the model's files readable: chmod -R a+rX FOLDER.",
    ),
    Rule(
        r"error while loading shared libraries: libgomp",
        "This machine lacks OpenMP's runtime, libgomp.",
        "On Debian, as root: apt-get install libgomp1",
    ),
    Rule(
        r"error while loading shared libraries: (?P<library>[^:\s]+)",
        "The program lacks the library {library}.",
        "Use the engine's own image; for a GPU image, give it a GPU.",
    ),
)


def diagnose(lines: Sequence[str], rules: Sequence[Rule], *, starts: re.Pattern[str] | None = None) -> Diagnosis | None:
    """The first rule of the table that any line of the last attempt matches; None when there is none.

    `starts` marks the line with which an attempt begins: what came before it is of an earlier one.
    """
    recent = [clean_line(line)[:_LONGEST_LINE] for line in _last_attempt(lines, starts)]
    return next(_matches(recent, rules), None)


def _last_attempt(lines: Sequence[str], starts: re.Pattern[str] | None) -> Sequence[str]:
    begins = [index for index, line in enumerate(lines) if starts and starts.search(line)]
    return lines[begins[-1] :] if begins else lines


def _matches(lines: Sequence[str], rules: Sequence[Rule]) -> Iterator[Diagnosis]:
    for rule in rules:
        pattern = re.compile(rule.pattern, re.IGNORECASE)
        for line in lines:
            if match := pattern.search(line):
                yield _diagnosis(rule, match, line)


def _diagnosis(rule: Rule, match: re.Match[str], line: str) -> Diagnosis:
    groups = {name: value or "?" for name, value in match.groupdict().items()}
    return Diagnosis(
        cause=_filled(rule.cause, groups),
        remedy=_filled(rule.remedy, groups),
        line=line.strip(),
        suggestion=rule.suggest(match) if rule.suggest else {},
    )


def _filled(text: str, groups: dict[str, str]) -> str:
    for name, value in groups.items():
        text = text.replace(f"{{{name}}}", value)
    return text
