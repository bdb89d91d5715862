"""The GPUs of a host, asked without an agent: pynvml's source is sent along, nvidia-smi is the second way."""

from __future__ import annotations

import base64
import csv
import io
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.hosts.values import Gpu
from core.text import clean_line

_SMI_FIELDS = (
    "index",
    "uuid",
    "name",
    "memory.total",
    "memory.used",
    "memory.free",
    "utilization.gpu",
    "temperature.gpu",
    "power.draw",
    "driver_version",
    "compute_cap",
    "mig.mode.current",
)
SMI_COMMAND = ("nvidia-smi", f"--query-gpu={','.join(_SMI_FIELDS)}", "--format=csv,noheader,nounits")
_MIB = 1024 * 1024
# Where the driver's library is not, compiling pynvml would be most of the probe's time.
_BOOT = """import sys, types, zlib, base64, ctypes
_nvml = types.ModuleType("pynvml")
sys.modules["pynvml"] = _nvml
class NVMLError_LibraryNotFound(Exception):
    pass
def _no_library():
    raise NVMLError_LibraryNotFound("NVML Shared Library Not Found")
try:
    ctypes.CDLL("libnvidia-ml.so.1")
    exec(compile(zlib.decompress(base64.b64decode("{packed}")), "pynvml", "exec"), _nvml.__dict__)
except OSError:
    _nvml.nvmlInit = _no_library
except Exception:
    del sys.modules["pynvml"]
"""


def probe_source(asked: Mapping[str, Any], *, with_gpus: bool) -> bytes:
    """The whole script for the host's `python3 -I -S -B -`."""
    boot = _BOOT.format(packed=_packed_pynvml()) if with_gpus else ""
    return (boot + _script().replace("ASKED = {}", f"ASKED = {dict(asked)!r}", 1)).encode("utf-8")


@cache
def _packed_pynvml() -> str:
    spec = find_spec("pynvml")
    if spec is None or spec.origin is None:
        return ""
    return base64.b64encode(zlib.compress(Path(spec.origin).read_bytes(), 9)).decode("ascii")


@cache
def _script() -> str:
    return Path(__file__).with_name("probe_script.py").read_text(encoding="utf-8")


def from_probe(found: Sequence[Mapping[str, Any]]) -> tuple[Gpu, ...]:
    """GPUs as the probe describes them."""
    return tuple(Gpu(**{name: _harmless(value) for name, value in gpu.items()}) for gpu in found)


def _harmless(value: Any) -> Any:  # noqa: ANN401 - of a JSON document
    return clean_line(value) if isinstance(value, str) else value


def from_smi(text: str) -> tuple[Gpu, ...]:
    """GPUs from the CSV of `SMI_COMMAND`; lines that are none (warnings) are left out."""
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    return tuple(_smi_gpu(row) for row in rows if len(row) == len(_SMI_FIELDS) and row[0].strip().isdigit())


def _smi_gpu(row: Sequence[str]) -> Gpu:
    values = dict(zip(_SMI_FIELDS, (word.strip() for word in row), strict=True))
    total, used, free = (_bytes(values[name]) for name in ("memory.total", "memory.used", "memory.free"))
    return Gpu(
        uuid=clean_line(values["uuid"]),
        index=int(values["index"]),
        name=clean_line(values["name"]),
        memory_total=total,
        memory_used=used,
        memory_free=free,
        utilization=_whole(values["utilization.gpu"]),
        temperature=_whole(values["temperature.gpu"]),
        power=_number(values["power.draw"]),
        compute_capability=_known(values["compute_cap"]),
        driver_version=_known(values["driver_version"]),
        mig=values["mig.mode.current"] == "Enabled",
    )


def _known(word: str) -> str:
    """The word, unless it says that there is none: [N/A], [Not Supported], [Unknown Error]."""
    return "" if word.startswith("[") or word in {"N/A", ""} else clean_line(word)


def _number(word: str) -> float | None:
    try:
        return float(_known(word))
    except ValueError:
        return None


def _whole(word: str) -> int | None:
    number = _number(word)
    return None if number is None else round(number)


def _bytes(word: str) -> int | None:
    number = _number(word)
    return None if number is None else round(number * _MIB)
