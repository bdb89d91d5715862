"""The header of a GGUF file from a prefix of its bytes: metadata and what the tensors add up to.

Written against the format (versions 2 and 3) and against files made to exhaust readers: every count and length is
compared with the file's size before anything of that size is made, and arrays of a vocabulary are stepped over.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from typing import NoReturn

from core.errors import FileProblem
from core.files.ggml import TENSOR_TYPES
from core.files.headers import LARGEST_HEADER, NeedMore, refuse, require

Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...]

MAGIC = b"GGUF"
_MOST_TENSORS = 16_384  # the largest models have a few thousand
_MOST_KEYS = 4_096  # and some dozens of these
_MOST_STRINGS = 1_500_000  # in all arrays together: the largest vocabulary has 262,144 tokens and 514,906 merges
_LONGEST_KEY = 65_535
_LONGEST_KEPT = 4_096  # characters of a string, elements of an array
_MOST_KEPT = 131_072  # characters and elements of all together
_MOST_DIMENSIONS = 4
_LARGEST = 2**63 - 1

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    _BOOL: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}


# strings of up to 63 bytes, many at a time: this steps over a vocabulary several times as fast as a loop
_AT_ONCE = 512
_SHORT = b"|".join(re.escape(bytes([length])) + rb"\x00{7}.{%d}" % length for length in range(1, 64))
_SHORT_STRINGS = re.compile(rb"(?s:%s){%d}+" % (_SHORT, _AT_ONCE))
_TENSOR_LAYOUTS = {count: struct.Struct(f"<{count}QIQ") for count in range(1, _MOST_DIMENSIONS + 1)}


@dataclass(frozen=True, kw_only=True)
class GgufHeader:
    """What a GGUF header says; `counts` has the length of every array, `missing_bytes` what is cut off at the end."""

    version: int
    metadata: dict[str, Value]
    counts: dict[str, int]
    long_strings: frozenset[str]  # keys whose text was too long to keep, such as a chat template
    tensors: int
    parameters: int
    weights_bytes: int
    type_bytes: dict[str, int]
    header_bytes: int
    missing_bytes: int
    vocabulary_rows: int | None  # of token_embd.weight


def parse_gguf(prefix: bytes | bytearray, size: int) -> GgufHeader:
    """Read the header of a file of `size` bytes that begins with `prefix`.

    Raises:
        FileProblem: no GGUF, or damaged. NeedMore: the prefix is too short.
    """
    return _Reader(prefix, size).header()


@dataclass
class _Metadata:
    values: dict[str, Value] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    long_strings: set[str] = field(default_factory=set)


@dataclass
class _Tensors:
    count: int = 0
    parameters: int = 0
    padded: int = 0  # where the next tensor must begin
    end: int = 0
    weights: int = 0
    by_type: dict[str, int] = field(default_factory=dict)
    vocabulary_rows: int | None = None


class _Reader:
    def __init__(self, prefix: bytes | bytearray, size: int) -> None:
        self._data = prefix
        self._size = size
        self._at = 0
        self._strings = 0
        self._kept = 0

    def header(self) -> GgufHeader:
        version = self._version()
        tensor_count = self._count("tensors", 24, _MOST_TENSORS)
        metadata = self._metadata(self._count("metadata entries", 13, _MOST_KEYS))
        alignment = _alignment(metadata.values)
        tensors = self._tensors(tensor_count, alignment)
        start = -(-self._at // alignment) * alignment
        return GgufHeader(
            version=version,
            metadata=metadata.values,
            counts=metadata.counts,
            long_strings=frozenset(metadata.long_strings),
            tensors=tensors.count,
            parameters=tensors.parameters,
            weights_bytes=tensors.weights,
            type_bytes=tensors.by_type,
            header_bytes=self._at,
            missing_bytes=max(0, start + tensors.end - self._size) if tensors.count else 0,
            vocabulary_rows=tensors.vocabulary_rows,
        )

    def _version(self) -> int:
        magic = self._take(4)
        if magic != MAGIC:
            raise FileProblem(
                "This is no GGUF file.",
                cause=f"It begins with {magic!r} instead of {MAGIC!r}.",
                remedy="Check that it is the right file, or download it again.",
            )
        version = self._u32()
        if version in {2, 3}:
            return version
        kind = "of a big-endian machine" if version & 0xFFFF == 0 else f"of version {version}"
        raise FileProblem(f"A GGUF file {kind} can't be read.", remedy="Convert it again with a current llama.cpp.")

    def _count(self, what: str, least_bytes: int, most: int) -> int:
        count = self._u64()
        if count > most or count * least_bytes > self._size - self._at:
            raise refuse(f"{count:,} {what}")
        return count

    def _metadata(self, count: int) -> _Metadata:
        found = _Metadata()
        for _ in range(count):
            key = self._text(_LONGEST_KEY, "key")
            self._entry(found, key, self._u32())
        return found

    def _entry(self, found: _Metadata, key: str, kind: int) -> None:
        if kind == _STRING:
            start, length = self._span()
            if not self._keep(length):
                found.long_strings.add(key)
            else:
                found.values[key] = _decoded(self._data[start : start + length])
        elif kind == _ARRAY:
            self._array(found, key)
        else:
            found.values[key] = self._scalar(kind)

    def _array(self, found: _Metadata, key: str) -> None:
        kind, count = self._u32(), self._u64()
        found.counts[key] = count
        if kind == _STRING:
            self._skip_strings(count)
            return
        layout = _SCALARS.get(kind)
        if layout is None or count > _LARGEST // 8:
            raise refuse(f"an array of {count:,} values of type {kind}")
        start = self._step(count * layout.size)
        if self._keep(count):
            flat = layout.iter_unpack(self._data[start : self._at])
            found.values[key] = tuple(value for (value,) in flat)

    def _keep(self, length: int) -> bool:
        """Whether a value of this length is kept: none is long, and all together are not much."""
        if length > min(_LONGEST_KEPT, _MOST_KEPT - self._kept):
            return False
        self._kept += length
        return True

    def _skip_strings(self, count: int) -> None:
        self._strings += count
        if self._strings > _MOST_STRINGS or count * 8 > self._size - self._at:
            raise refuse(f"an array of {count:,} strings")
        left, start = count, self._at
        try:
            while left:
                left -= self._skip_some(left)
            require(self._data, self._at, self._size)
        except NeedMore as more:  # as much as the rest takes if it is like the first of them
            likely = (len(self._data) - start) * count // max(1, count - left)
            raise NeedMore(max(more.at_least, min(self._size, LARGEST_HEADER, start + likely))) from None

    def _skip_some(self, left: int) -> int:
        """Step over the next strings; how many they were."""
        found = _SHORT_STRINGS.match(self._data, self._at) if left >= _AT_ONCE else None
        if found is not None:
            self._at = found.end()
            return _AT_ONCE
        data, at, last, size = self._data, self._at, len(self._data) - 8, self._size
        some = min(left, _AT_ONCE)
        for _ in range(some):
            if at > last:
                require(data, at + 8, size)
            at += 8 + _U64.unpack_from(data, at)[0]
        self._at = at
        return some

    def _tensors(self, count: int, alignment: int) -> _Tensors:
        found = _Tensors()
        for _ in range(count):
            start, length = self._span()
            rows = self._tensor(found, alignment)
            if self._data[start : start + length] == b"token_embd.weight":
                found.vocabulary_rows = rows
        return found

    def _tensor(self, found: _Tensors, alignment: int) -> int:
        *shape, kind, offset = self._described()
        name, block, width = TENSOR_TYPES.get(kind) or _unknown(kind)
        values = math.prod(shape)
        if shape[0] % block or values > _LARGEST:
            raise refuse(f"a tensor of shape {shape} and type {name}")
        length = values // block * width
        if offset != found.padded:
            raise refuse(
                f"a tensor at offset {offset:,} where {found.padded:,} is the next, so tensors overlap or leave holes"
            )
        found.end = offset + length
        found.padded = -(-found.end // alignment) * alignment
        found.count += 1
        found.parameters += values
        found.weights += length
        found.by_type[name] = found.by_type.get(name, 0) + length
        return shape[-1]

    def _described(self) -> tuple[int, ...]:
        """Shape, type and offset of a tensor."""
        layout = _TENSOR_LAYOUTS.get(dimensions := self._u32())
        if layout is None:
            raise refuse(f"a tensor of {dimensions:,} dimensions")
        return layout.unpack_from(self._data, self._step(layout.size))

    def _scalar(self, kind: int) -> Scalar:
        layout = _SCALARS.get(kind)
        if layout is None:
            raise refuse(f"a value of type {kind:,}")
        start = self._step(layout.size)
        value: Scalar = layout.unpack_from(self._data, start)[0]
        return value

    def _text(self, longest: int, what: str) -> str:
        start, length = self._span()
        if length > longest:
            raise refuse(f"a {what} of {length:,} bytes")
        return _decoded(self._data[start : start + length])

    def _span(self) -> tuple[int, int]:
        length = self._u64()
        if length > self._size - self._at:
            raise refuse(f"a text of {length:,} bytes in a file of {self._size:,}")
        return self._step(length), length

    def _u32(self) -> int:
        value: int = _U32.unpack_from(self._data, self._step(4))[0]
        return value

    def _u64(self) -> int:
        value: int = _U64.unpack_from(self._data, self._step(8))[0]
        return value

    def _take(self, length: int) -> bytes:
        start = self._step(length)
        return bytes(self._data[start : self._at])

    def _step(self, length: int) -> int:
        start = self._at
        require(self._data, start + length, self._size)
        self._at = start + length
        return start


def _unknown(kind: int) -> NoReturn:
    raise FileProblem(
        f"It has tensors of ggml type {kind}, which is not known here.",
        cause="The file is damaged, or of a removed or very new quantization.",
        remedy="Use another quantization of the model, such as Q4_K_M.",
    )


def _decoded(raw: bytes | bytearray) -> str:
    return raw.decode("utf-8", "replace")


def _alignment(metadata: dict[str, Value]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
        raise refuse(f"an alignment of {alignment!r}")
    return alignment
