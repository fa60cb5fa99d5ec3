"""Chunks: the buckets of one object over a stretch of time as one compressed blob. Pure.

Numbers of one kind side by side compress best. A vector of whole numbers is told by its
differences where those are smaller, made non-negative, divided by their greatest common divisor,
and laid out byte by byte (all lowest bytes, then all second ones, ...), as in the layouts of
column stores; zlib does the rest. Nothing is lost.
"""

import sys
import zlib
from array import array
from collections.abc import Collection, Sequence
from itertools import accumulate
from math import gcd
from operator import sub

import msgspec
from msgspec import Struct

from app.errors import StoreError
from app.metrics import SeriesType
from app.store.rollup import Column, Rolled, implied

_VERSION = 1
_LEVEL = 6
_MOST_BYTES = 64 << 20
_WIDEST = 8
_FEW = 16


class _Vector(Struct, array_like=True, frozen=True):
    """`count` numbers: `offset` plus `factor` times each; `first` where they are differences.

    `width` bytes each in `planes`; 0 for a constant. Numbers that no eight bytes hold stand in
    `text`.
    """

    count: int
    offset: int = 0
    factor: int = 1
    first: int | None = None
    width: int = 0
    planes: bytes = b""
    text: str = ""


class _Column(Struct, array_like=True, frozen=True):
    """A series; `weight` is a position in the chunk's weights. Bounds are told from the mean."""

    name: str
    type: SeriesType
    weight: int
    total: _Vector
    below: _Vector | None = None
    above: _Vector | None = None


class _Chunk(Struct, array_like=True, frozen=True):
    version: int
    starts: _Vector
    weights: tuple[_Vector, ...]
    columns: tuple[_Column, ...]


def encode(rolled: Rolled) -> bytes:
    """The blob of `rolled`."""
    weights: list[list[int]] = []
    columns = []
    for name, column in rolled.columns.items():
        if column.weight not in weights:
            weights.append(column.weight)
        below = above = None
        if column.low is not None and column.high is not None:
            middle = _middle(column.type, column.weight, column.total)
            below = _pack(list(map(sub, middle, column.low)))
            above = _pack(list(map(sub, column.high, middle)))
        position = weights.index(column.weight)
        columns.append(_Column(name, column.type, position, _pack(column.total), below, above))
    chunk = _Chunk(_VERSION, _pack(rolled.starts), tuple(map(_pack, weights)), tuple(columns))
    return zlib.compress(msgspec.msgpack.encode(chunk), _LEVEL)


def decode(blob: bytes, names: Collection[str] | None = None) -> Rolled:
    """What `encode` was given, of it the series `names` (None: all); raises StoreError for a blob
    that is damaged.
    """
    try:
        inflating = zlib.decompressobj()
        text = inflating.decompress(blob, _MOST_BYTES)
        if not inflating.eof:
            raise StoreError("A chunk of the store is damaged: it does not end.")
        chunk = msgspec.msgpack.decode(text, type=_Chunk)
        if chunk.version != _VERSION:
            raise StoreError(f"A chunk has version {chunk.version}, made by another npvirt.")
        weights: dict[int, list[int]] = {}
        columns = {}
        for column in chunk.columns:
            if names is not None and column.name not in names:
                continue
            weight = weights.get(column.weight)
            if weight is None:
                weight = weights[column.weight] = _unpack(chunk.weights[column.weight])
            columns[column.name] = _column(column, weight)
        return Rolled(_unpack(chunk.starts), columns)
    except (zlib.error, msgspec.DecodeError, ValueError, IndexError) as error:
        raise StoreError(f"A chunk of the store is damaged: {error}.") from None


def _column(column: _Column, weight: list[int]) -> Column:
    total = _unpack(column.total)
    if column.below is None or column.above is None:
        return Column(column.type, weight, total)
    middle = _middle(column.type, weight, total)
    low = list(map(sub, middle, _unpack(column.below)))
    high = [m + a for m, a in zip(middle, _unpack(column.above), strict=True)]
    return Column(column.type, weight, total, low, high)


def _middle(type_: SeriesType, weight: Sequence[int], total: Sequence[int]) -> list[int]:
    """The mean of each bucket, rounded down, in the unit of its bounds; 0 where nothing is."""
    if type_ == "gauge":
        return [t // w if w else 0 for t, w in zip(total, weight, strict=True)]
    return implied(type_, weight, total)


def _pack(values: Sequence[int]) -> _Vector:
    count = len(values)
    if not count:
        return _Vector(0)
    lowest, highest = min(values), max(values)
    if lowest == highest:
        return _Vector(count, lowest) if _fits(lowest) else _as_text(values)
    steps = list(map(sub, values[1:], values))
    least, most = min(steps), max(steps)
    first: int | None = None
    # The differences of what wanders are smaller than what it wanders over.
    if most - least < highest - lowest:
        first, values, lowest, highest = values[0], steps, least, most
    if not _fits(lowest, highest, highest - lowest, first or 0):
        return _as_text(values if first is None else list(accumulate(values, initial=first)))
    if lowest == highest:
        return _Vector(count, lowest, 1, first)
    shifted = [value - lowest for value in values] if lowest else values
    # Most have no common factor, and a few of them tell so.
    factor = gcd(*shifted[:_FEW])
    if factor != 1:
        factor = gcd(*shifted)
    if factor > 1:
        shifted = [value // factor for value in shifted]
    width = (((highest - lowest) // factor).bit_length() + 7) // 8
    words = array("Q", shifted)
    if sys.byteorder == "big":
        words.byteswap()
    data = words.tobytes()
    planes = b"".join(data[position::_WIDEST] for position in range(width))
    return _Vector(count, lowest, factor, first, width, planes)


def _fits(*numbers: int) -> bool:
    """Whether each is a signed number of eight bytes."""
    return min(numbers) >= -(2**63) and max(numbers) < 2**63


def _as_text(values: Sequence[int]) -> _Vector:
    return _Vector(len(values), text=",".join(map(str, values)))


def _unpack(vector: _Vector) -> list[int]:
    count = vector.count
    if vector.text:
        return [int(part) for part in vector.text.split(",")]
    stored = count if vector.first is None else count - 1
    if not vector.width:
        values = [vector.offset] * stored
    else:
        if len(vector.planes) != vector.width * stored:
            raise ValueError("its vectors are cut")
        data = bytearray(_WIDEST * stored)
        for position in range(vector.width):
            data[position::_WIDEST] = vector.planes[position * stored : (position + 1) * stored]
        words = array("Q")
        words.frombytes(data)
        if sys.byteorder == "big":
            words.byteswap()
        offset, factor = vector.offset, vector.factor
        values = [word * factor + offset for word in words]
    return values if vector.first is None else list(accumulate(values, initial=vector.first))
