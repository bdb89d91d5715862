"""The header of a safetensors file from a prefix of its bytes.

The header is JSON of up to 100 MB by the format; it is walked tensor by tensor in its bytes and never made into one
document, so that a header made to exhaust its reader costs no more than its own bytes.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import FileProblem
from core.files.headers import refuse, require

LARGEST_HEADER = 12 << 20
_MOST_TENSORS = 24_576  # of one file: a part of the largest models with many experts has 20,000
_MOST_ODD = 4_096  # written in another order than all known writers use
_MOST_METADATA = 4_096
_LONGEST_ENTRY = 1_024
_LONGEST_KEPT = 200
_LARGEST = 2**63 - 1
_PIECE = 1 << 20
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_KEY = re.compile(rb"\s*+(%s)\s*+:\s*+" % _STRING, re.DOTALL)
_TEXT = re.compile(_STRING, re.DOTALL)
_AFTER = re.compile(rb"\s*+([,}])")
_SHAPE = rb"\d{1,19}+(?:\s*+,\s*+\d{1,19}+){0,15}+"
_NUMBER = rb"(\d{1,19})"
_USUAL = re.compile(
    rb'\{\s*+"dtype"\s*+:\s*+"(\w++)"\s*+,\s*+"shape"\s*+:\s*+\[\s*+((?:%s)?+)\s*+\]\s*+,'
    rb'\s*+"data_offsets"\s*+:\s*+\[\s*+%s\s*+,\s*+%s\s*+\]\s*+\}' % (_SHAPE, _NUMBER, _NUMBER)
)
_EMPTY = re.compile(rb"\s*+\}")
_KEPT = (b'"format"', b'"ss_base_model_version"', b'"ss_sd_model_name"', b'"modelspec.architecture"', b'"base_model"')

DTYPE_BITS: dict[str, int] = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
_NOT_WEIGHTS = tuple(
    f'{end}"'.encode()
    for end in ("scale", "scales", "scale_inv", "zeros", "g_idx", "weight_shape", "zero_point", "weight_scale_2")
)
_OF_ADAPTER = re.compile(rb"[._](lora_[ABEupdown]+|lora_down|lora_up|hada_w[12]|lokr_w[12])[._\"]|^\"lora_(unet|te)")


@dataclass(frozen=True, kw_only=True)
class SafetensorsHeader:
    """What the header says; `values` counts elements by type, without scales and the like."""

    tensors: int
    weights_bytes: int
    values: dict[str, int]
    type_bytes: dict[str, int]
    missing_bytes: int
    metadata: Mapping[str, str] = field(default_factory=dict)  # of some keys, such as a LoRA's base model
    adapter_tensors: int = 0  # how many have names as a LoRA's


@dataclass
class _Sums:
    spans: list[tuple[int, int]] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    type_bytes: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    adapter_tensors: int = 0
    odd: int = 0


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
    end = 8 + length
    _refuse_other_bytes(prefix, end)
    sums = _walk(prefix, end)
    weights = _checked_end(sums.spans)
    return SafetensorsHeader(
        tensors=len(sums.spans),
        weights_bytes=weights,
        values=sums.values,
        type_bytes=sums.type_bytes,
        missing_bytes=max(0, end + weights - size),
        metadata=sums.metadata,
        adapter_tensors=sums.adapter_tensors,
    )


def _refuse_other_bytes(raw: bytes | bytearray, end: int) -> None:
    """Piece by piece, since its text would take four times its room."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(8, end, _PIECE):
            decoder.decode(raw[at : min(end, at + _PIECE)])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise refuse("it is not UTF-8") from error


def _walk(raw: bytes | bytearray, end: int) -> _Sums:
    sums, at = _Sums(), 9
    if not (closed := _EMPTY.match(raw, at, end)):
        while True:
            key = _KEY.match(raw, at, end)
            if key is None:
                raise refuse(f"no name at byte {at:,}")
            is_metadata = key[1] == b'"__metadata__"'
            at = _metadata(raw, key.end(), end, sums) if is_metadata else _tensor(raw, key, end, sums)
            after = _AFTER.match(raw, at, end)
            if after is None:
                raise refuse(f"no end of an entry at byte {at:,}")
            at = after.end()
            if after[1] == b"}":
                break
    if raw[closed.end() if closed else at : end].strip():
        raise refuse("something follows its JSON")
    return sums


def _metadata(raw: bytes | bytearray, at: int, end: int, sums: _Sums) -> int:
    """Step over the map of texts; some of them are kept."""
    if raw[at : at + 1] != b"{":
        raise refuse("its metadata are no map")
    at += 1
    if empty := _EMPTY.match(raw, at, end):
        return empty.end()
    for _ in range(_MOST_METADATA):
        key = _KEY.match(raw, at, end)
        value = _TEXT.match(raw, key.end(), end) if key else None
        after = _AFTER.match(raw, value.end(), end) if value else None
        if key is None or value is None or after is None:
            raise refuse("its metadata are no map of texts")
        if key[1] in _KEPT:
            sums.metadata[key[1][1:-1].decode()] = _text(value[0])
        at = after.end()
        if after[1] == b"}":
            return at
    raise refuse("more metadata than any model has")


def _text(raw: bytes) -> str:
    """The beginning of a JSON text; "" when it is long or damaged."""
    try:
        return str(json.loads(raw))[:_LONGEST_KEPT] if len(raw) < 16 * _LONGEST_KEPT else ""
    except ValueError:
        return ""


def _tensor(raw: bytes | bytearray, key: re.Match[bytes], end: int, sums: _Sums) -> int:
    if len(sums.spans) >= _MOST_TENSORS or key.end(1) - key.start(1) > _LONGEST_ENTRY:
        raise refuse("more or longer entries than any model has")
    usual = _USUAL.match(raw, key.end(), end)
    if usual is not None:
        dtype, shape = usual[1].decode("ascii", "replace"), [int(one) for one in usual[2].split(b",") if one]
        begin, stop, after = int(usual[3]), int(usual[4]), usual.end()
    else:
        dtype, shape, (begin, stop), after = _odd(raw, key.end(), end, sums)
    _count(sums, key[1], dtype, shape, (begin, stop))
    return after


def _count(sums: _Sums, name: bytes, dtype: str, shape: list[int], span: tuple[int, int]) -> None:
    size = span[1] - span[0]
    values = math.prod(shape)
    bits = DTYPE_BITS.get(dtype)
    if bits is None:
        raise refuse(f"a tensor of type {dtype[:20]!r}", cause="It is damaged, or of a type that is not known here.")
    if values > _LARGEST // bits or values * bits != 8 * size:
        raise refuse(f"a tensor of shape {shape} and type {dtype} in {size:,} bytes")
    sums.spans.append(span)
    sums.type_bytes[dtype] = sums.type_bytes.get(dtype, 0) + size
    if not name.endswith(_NOT_WEIGHTS):
        sums.values[dtype] = sums.values.get(dtype, 0) + values
    if b"lo" in name or b"hada" in name:
        sums.adapter_tensors += _OF_ADAPTER.search(name) is not None


def _odd(raw: bytes | bytearray, start: int, end: int, sums: _Sums) -> tuple[str, list[int], list[int], int]:
    """An entry whose fields come in another order."""
    sums.odd += 1
    stop = raw.find(b"}", start, min(end, start + _LONGEST_ENTRY)) + 1
    if not stop or sums.odd > _MOST_ODD:
        raise refuse("more or longer entries than any model has")
    return *_entry(raw[start:stop]), stop


def _entry(raw: bytes | bytearray) -> tuple[str, list[int], list[int]]:
    try:
        entry: Any = json.loads(raw)
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
    spans.sort()
    for begin, stop in spans:
        if begin != end:
            raise refuse(f"a tensor at {begin:,} where {end:,} is the next, so tensors overlap or leave holes")
        end = stop
    return end
