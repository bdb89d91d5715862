"""The header of a safetensors file from a prefix of its bytes.

The header is JSON of up to 100 MB by the format; it is walked tensor by tensor and never made into one document, so
that a header made to exhaust its reader costs no more than its own bytes.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass, field
from typing import Any

from core.errors import FileProblem
from core.files.headers import refuse, require

LARGEST_HEADER = 24 << 20
_MOST_TENSORS = 65_536
_LONGEST_ENTRY = 1_024
_LARGEST = 2**63 - 1
_STRING = r'"(?:[^"\\]++|\\.)*+"'
_KEY = re.compile(rf"\s*+({_STRING})\s*+:\s*+", re.DOTALL)
_TEXT = re.compile(_STRING, re.DOTALL)
_AFTER = re.compile(r"\s*+([,}])")

DTYPE_BITS: dict[str, int] = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
_NOT_WEIGHTS = re.compile(r"(scales?|scale_inv|zeros|g_idx|weight_shape|zero_point|input_scale|weight_scale_2)$")


@dataclass(frozen=True, kw_only=True)
class SafetensorsHeader:
    """What the header says; `values` counts elements by type, without scales and the like."""

    tensors: int
    weights_bytes: int
    values: dict[str, int]
    type_bytes: dict[str, int]
    missing_bytes: int
    format: str = ""


@dataclass
class _Sums:
    spans: list[tuple[int, int]] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    type_bytes: dict[str, int] = field(default_factory=dict)
    format: str = ""


def parse_safetensors(prefix: bytes | bytearray, size: int) -> SafetensorsHeader:
    """Read the header of a file of `size` bytes that begins with `prefix`.

    Raises:
        FileProblem: no safetensors, or damaged. NeedMore: the prefix is too short.
    """
    require(prefix, 8, size)
    (length,) = struct.unpack_from("<Q", prefix)
    if length > LARGEST_HEADER:
        raise refuse(f"it would be {length:,} bytes long")
    require(prefix, 9, size)
    if prefix[8:9] != b"{":
        raise FileProblem(
            "This is no safetensors file.",
            cause="No header follows its first eight bytes.",
            remedy="Check that it is the right file, or download it again.",
        )
    require(prefix, 8 + length, size)
    sums = _walk(_decoded(prefix[8 : 8 + length]))
    end = _checked_end(sums.spans)
    return SafetensorsHeader(
        tensors=len(sums.spans),
        weights_bytes=end,
        values=sums.values,
        type_bytes=sums.type_bytes,
        missing_bytes=max(0, 8 + length + end - size),
        format=sums.format,
    )


def _decoded(raw: bytes | bytearray) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse("it is not UTF-8") from error


def _walk(text: str) -> _Sums:
    sums, at = _Sums(), 1
    if re.match(r"\{\s*\}\s*\Z", text):
        return sums
    while True:
        key = _KEY.match(text, at)
        if key is None:
            raise refuse(f"no name at byte {at:,} of its JSON")
        at = _metadata(text, key.end(), sums) if key[1] == '"__metadata__"' else _tensor(text, key, sums)
        after = _AFTER.match(text, at)
        if after is None:
            raise refuse(f"no end of an entry at byte {at:,} of its JSON")
        at = after.end()
        if after[1] == "}":
            break
    if text[at:].strip():
        raise refuse("something follows its JSON")
    return sums


def _metadata(text: str, at: int, sums: _Sums) -> int:
    """Step over the map of texts; its `format` is kept."""
    if not text.startswith("{", at):
        raise refuse("its metadata are no map")
    at += 1
    if empty := re.compile(r"\s*+\}").match(text, at):
        return empty.end()
    while True:
        key = _KEY.match(text, at)
        value = _TEXT.match(text, key.end()) if key else None
        after = _AFTER.match(text, value.end()) if value else None
        if key is None or value is None or after is None:
            raise refuse("its metadata are no map of texts")
        if key[1] == '"format"':
            sums.format = value[0][1:-1][:32]
        at = after.end()
        if after[1] == "}":
            return at


def _tensor(text: str, key: re.Match[str], sums: _Sums) -> int:
    start = key.end()
    end = text.find("}", start, start + _LONGEST_ENTRY) + 1
    if not end or len(sums.spans) >= _MOST_TENSORS or len(key[1]) > _LONGEST_ENTRY:
        raise refuse("more or longer entries than any model has")
    dtype, shape, (begin, stop) = _entry(text[start:end])
    values = math.prod(shape)
    bits = DTYPE_BITS.get(dtype)
    if bits is None:
        raise refuse(f"a tensor of type {dtype[:20]!r}", cause="It is damaged, or of a type that is not known here.")
    if values > _LARGEST // bits or values * bits != 8 * (stop - begin):
        raise refuse(f"a tensor of shape {shape} and type {dtype} in {stop - begin:,} bytes")
    sums.spans.append((begin, stop))
    sums.type_bytes[dtype] = sums.type_bytes.get(dtype, 0) + stop - begin
    if not _NOT_WEIGHTS.search(key[1][1:-1]):
        sums.values[dtype] = sums.values.get(dtype, 0) + values
    return end


def _entry(text: str) -> tuple[str, list[int], list[int]]:
    try:
        entry: Any = json.loads(text)
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise refuse("an entry is no description of a tensor") from error
    if not isinstance(dtype, str) or not _naturals(shape) or not _naturals(offsets):
        raise refuse("an entry is no description of a tensor")
    if len(offsets) != 2 or len(shape) > 16 or offsets[0] > offsets[1]:
        raise refuse(f"a tensor at offsets {offsets[:4]}")
    return dtype, shape, offsets


def _naturals(numbers: object) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and 0 <= number <= _LARGEST for number in numbers)


def _checked_end(spans: list[tuple[int, int]]) -> int:
    """The end of the data: tensors must follow each other without overlaps and holes, as the format demands."""
    end = 0
    for begin, stop in sorted(spans):
        if begin != end:
            raise refuse(f"a tensor at {begin:,} where {end:,} is the next, so tensors overlap or leave holes")
        end = stop
    return end
