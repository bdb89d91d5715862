"""The limits of downloads, which may be changed while they run (D6): kept in config.toml, heeded by the worker."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.errors import InvalidInput, UsageError
from core.settings import Settings, choose, chosen

if TYPE_CHECKING:
    from collections.abc import Mapping

OFF = "off"
AT_ONCE = 16  # downloads, and connections per file, at most
_NO_LIMIT = frozenset({OFF, "none", "no", "unlimited", "0"})
_LEAST, _MOST = 1000, 10**12  # bytes per second
_RATE = re.compile(
    r"(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<prefix>[kmgt]i?)?(?P<unit>bytes?|bits?|bps|b)?(?:/s|/sec)?", re.IGNORECASE
)
_STEPS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SHOWN = (
    (1000, "B/s", ((3, "G"), (2, "M"), (1, "k"), (0, ""))),
    (1024, "iB/s", ((3, "G"), (2, "M"), (1, "K"))),
)


@dataclass(frozen=True, kw_only=True)
class ChosenLimits:
    """Downloads at once, connections per file, and bytes per second of a line; 0 is no limit."""

    jobs: int
    parts: int
    bytes_per_s: int

    @property
    def rate(self) -> str:
        """The limit on bandwidth in words."""
        return rate_text(self.bytes_per_s)


class LimitsFile:
    """What the user chose last; what config.toml does not say is as `settings` have it. Blocks for a moment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = settings.config_dir / "config.toml"
        self._seen: tuple[int, ...] | None = None
        self._limits = _limits(settings, {})

    def now(self) -> ChosenLimits:
        """As they are now; while the file can't be read, as they were."""
        try:
            found = self._path.stat()
            seen: tuple[int, ...] = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            seen = ()
        if seen != self._seen:
            try:
                self._limits = _limits(self._settings, chosen(self._settings.config_dir))
            except UsageError:  # it is being written, or has a fault that the next command tells
                return self._limits
            self._seen = seen
        return self._limits


def without_choices(settings: Settings) -> Settings:
    """The settings of a program that may have begun before the file was changed: what stands there goes for limits."""
    return replace(
        settings,
        download_jobs=Settings.download_jobs,
        download_parts=Settings.download_parts,
        download_bandwidth=Settings.download_bandwidth,
    )


def _limits(settings: Settings, file: Mapping[str, int]) -> ChosenLimits:
    return ChosenLimits(
        jobs=min(AT_ONCE, max(1, file.get("download_jobs", settings.download_jobs))),
        parts=min(AT_ONCE, max(1, file.get("download_parts", settings.download_parts))),
        bytes_per_s=max(0, file.get("download_bandwidth", settings.download_bandwidth)),
    )


def choose_limits(settings: Settings, *, rate: str = "", jobs: int | None = None, parts: int | None = None) -> None:
    """Keep what is named in config.toml, where a worker that runs sees it within two seconds.

    Raises:
        InvalidInput: the rate is none. UsageError: the file can't be changed.
    """
    bytes_per_s = read_rate(rate) if rate else None
    wanted = {"download_bandwidth": bytes_per_s, "download_jobs": jobs, "download_parts": parts}
    for key, value in wanted.items():
        if value is not None:
            choose(settings.config_dir, key, value)


def read_rate(text: str) -> int:
    """Bytes per second of `50MB/s`, `8M`, `1.5 GiB/s`, `100Mbit/s`; 0 of `off`.

    Raises:
        InvalidInput: it is none of these.
    """
    text = text.strip()
    if text.lower() in _NO_LIMIT:
        return 0
    if (found := _RATE.fullmatch(text)) is None:
        raise InvalidInput({"rate": "That is no rate"}, remedy=f"Write 50MB/s, 8M, 100Mbit/s or {OFF}.")
    prefix, unit = found["prefix"] or "", found["unit"] or ""
    if prefix[:1].isupper() and unit == "b":
        raise InvalidInput({"rate": f"{prefix}b may be bits or bytes"}, remedy=f"Write {prefix}B/s or {prefix}bit/s.")
    step = (1024 if prefix.endswith("i") else 1000) ** _STEPS[prefix[:1].lower()]
    rate = int(float(found["number"].replace("_", "")) * step / (8 if _is_bits(unit) else 1))
    if not _LEAST <= rate <= _MOST:
        limits = f"It can be from {rate_text(_LEAST)} to {rate_text(_MOST)}"
        raise InvalidInput({"rate": limits}, remedy=f"Write its unit, like 50MB/s, or {OFF}.")
    return rate


def _is_bits(unit: str) -> bool:
    """`Mbit/s` and `Mbps`; not `MBps`."""
    return unit.lower().startswith("bit") or unit == "bps"


def rate_text(bytes_per_s: int) -> str:
    """`50 MB/s`, with the digits that it has; `off` of 0."""
    if not bytes_per_s:
        return OFF
    steps = [(base**power, f"{prefix}{unit}") for base, unit, prefixes in _SHOWN for power, prefix in prefixes]
    said = [f"{bytes_per_s / step:.10g} {unit}" for step, unit in steps if bytes_per_s >= step]
    return min(said, key=len)
