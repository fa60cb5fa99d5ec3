"""Chunks: the buckets of one object over a stretch of time as one compressed blob. Pure.

Numbers of one kind side by side compress best. A vector of whole numbers is told by its
differences where those are smaller, made non-negative, divided by their greatest common divisor,
and laid out byte by byte (all lowest bytes, then all second ones, ...), as in the layouts of
column stores; zlib does the rest. Nothing is lost.
"""

import sys
import zlib
from array import array
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from math import gcd
from operator import add, sub
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from app.errors import StoreError
from app.metrics import SeriesType
from app.store import bounds
from app.store.rollup import Column, Rolled, bounded, said

_VERSION = 2
# The first version had no codes: least and greatest were told as they were.
_VERSIONS = (1, 2)
_LEVEL = 6
# Planes of so many numbers are best told apart by short blocks, each with a code of its own; what
# repeats in measurements are bytes, not strings.
_MANY = 1000
_SHORT_BLOCKS = 4
_MOST_BYTES = 64 << 20
_WIDEST = 8
_CHUNK_IS = "A chunk of the store is"

# What a damaged or made-up blob may claim at most, so that it cannot fill the memory: numbers of a
# vector, buckets of a chunk, and series; and all numbers that are read of a blob at once.
_MOST = 1 << 22
_MOST_BUCKETS = 1 << 16
MOST_SERIES = 256
MOST_NUMBERS = 1 << 20
_FEW = 16
T = TypeVar("T", bound=Struct)
_Count = Annotated[int, Meta(ge=0, le=_MOST)]
_Position = Annotated[int, Meta(ge=0)]


class Vector(Struct, array_like=True, frozen=True):
    """`count` numbers: `offset` plus `factor` times each; `first` where they are differences.

    `width` bytes each in `planes`; 0 for a constant. Numbers that no eight bytes hold stand in
    `text`.
    """

    count: _Count
    offset: int = 0
    factor: int = 1
    first: int | None = None
    width: int = 0
    planes: bytes = b""
    text: str = ""


class _Column(Struct, array_like=True, frozen=True):
    """A series; `weight` is a position in the chunk's weights. The highest are told as they are; of
    a gauge, which wanders, by how much they are above the lowest. Where `bits` is not 0, these two
    are codes of as many leading bits (app/store/bounds), and a highest of 0 says that lowest and
    highest are what total and weight say.
    """

    name: str
    type: SeriesType
    weight: _Position
    total: Vector
    low: Vector | None = None
    high: Vector | None = None
    # It is one column less another, by their positions: then it has no total of its own, and
    # where it has no bounds of its own, they are the one's lowest less the other's highest, and
    # the other way about.
    difference: tuple[_Position, _Position] | None = None
    bits: Annotated[int, Meta(ge=0, le=32)] = 0


class _Chunk(Struct, array_like=True, frozen=True):
    version: int
    starts: Vector
    weights: Annotated[tuple[Vector, ...], Meta(max_length=MOST_SERIES)]
    columns: Annotated[tuple[_Column, ...], Meta(max_length=MOST_SERIES)]


def encode(
    rolled: Rolled,
    differences: Sequence[tuple[str, str, str]] = (),
    packed: "Packed | None" = None,
) -> bytes:
    """The blob of `rolled`, bounds rounded as `rollup.bounded` rounds them. `differences` names
    series that may be one series less another (with these two): where that is so, their totals
    are not kept. `packed` is for objects that share lists of starts and weights.
    """
    packed = packed or Packed()
    weights: list[list[int]] = []
    columns = []
    places = {name: place for place, name in enumerate(rolled.columns)}
    follows = dict(_following(rolled, differences))
    for name, column in rolled.columns.items():
        if column.weight not in weights:
            weights.append(column.weight)
        low, high, bits = _bounds(column)
        if name in follows:
            whole, part = follows[name]
            total, difference = Vector(0), (places[whole], places[part])
            if column.low is None:
                low = high = None
        else:
            total, difference = pack(column.total, by_steps=column.type == "gauge"), None
        weight = weights.index(column.weight)
        columns.append(_Column(name, column.type, weight, total, low, high, difference, bits))
    chunk = _Chunk(
        _VERSION,
        packed.once(rolled.starts, by_steps=True),
        tuple(packed.once(weight, by_steps=False) for weight in weights),
        tuple(columns),
    )
    return deflated(chunk, len(rolled.starts))


class Packed:
    """The vectors of lists that several objects share. They must stay as they are."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bool], tuple[list[int], Vector]] = {}

    def once(self, values: list[int], *, by_steps: bool) -> Vector:
        """The vector of a list, made the first time."""
        key = (id(values), by_steps)
        known = self._known.get(key)
        if known is None:
            # The list is kept with it, so that no other may take its id.
            known = self._known[key] = (values, pack(values, by_steps=by_steps))
        return known[1]


def _bounds(column: Column) -> tuple[Vector | None, Vector | None, int]:
    """The vectors of the lowest and the highest, and of how many leading bits they are codes."""
    if column.low is None or column.high is None:
        return None, None, 0
    wanders, bits = column.type == "gauge", bounds.BITS[column.type]
    found = bounds.codes(column.low, column.high, lambda: said(column), bits)
    if found is None:
        bits, found = 0, bounds.rounded(column.low, column.high, bits)
    low, high = found
    if wanders and bits:
        high = [most - least if most else 0 for least, most in zip(low, high, strict=True)]
    elif wanders:
        high = list(map(sub, high, low))
    return pack(low, by_steps=wanders), pack(high, by_steps=False), bits


def _following(
    rolled: Rolled, differences: Sequence[tuple[str, str, str]]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """The series whose totals are indeed one's less another's, with the two."""
    for name, whole, part in differences:
        mine, one, other = (rolled.columns.get(name) for name in (name, whole, part))
        if mine is None or one is None or other is None:
            continue
        if not mine.weight == one.weight == other.weight:
            continue
        if (mine.low is None) != (one.low is None or other.low is None):
            continue
        if mine.total == list(map(sub, one.total, other.total)):
            yield name, (whole, part)


def deflated(whole: Struct, longest: int = 0, *, strings: bool = False) -> bytes:
    """A blob of what is told by vectors, of which the longest has so many numbers; `strings`
    where these repeat stretches of themselves.
    """
    text = msgspec.msgpack.encode(whole)
    if longest < _MANY:
        return zlib.compress(text, _LEVEL)
    strategy = zlib.Z_DEFAULT_STRATEGY if strings else zlib.Z_RLE
    deflating = zlib.compressobj(_LEVEL, memLevel=_SHORT_BLOCKS, strategy=strategy)
    return deflating.compress(text) + deflating.flush()


def inflated(blob: bytes, as_: type[T]) -> T:
    """What `deflated` was given; raises StoreError for a blob that is damaged."""
    try:
        inflating = zlib.decompressobj()
        text = inflating.decompress(blob, _MOST_BYTES)
        if not inflating.eof:
            raise damaged(_CHUNK_IS, "it does not end")
        return msgspec.msgpack.decode(text, type=as_)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(_CHUNK_IS, error) from None


def damaged(what: str, how: object) -> StoreError:
    """The error for a part of the store that cannot be as it was written: `what` is, and how."""
    return StoreError(f"{what} damaged: {how}.", problem="damaged")


def decode(blob: bytes, names: Collection[str] | None = None) -> Rolled:
    """What `encode` was given, bounds rounded; of it the series `names` (None: all). Raises
    StoreError for a blob that is damaged.
    """
    chunk = inflated(blob, _Chunk)
    try:
        if chunk.version not in _VERSIONS:
            raise StoreError(f"A chunk has version {chunk.version}, made by another npvirt.")
        if chunk.starts.count > _MOST_BUCKETS:
            raise ValueError("it has too many buckets")
        if chunk.starts.count * len(chunk.columns) > MOST_NUMBERS:
            raise ValueError("it has too many numbers")
        starts = unpack(chunk.starts)
        weights: dict[int, list[int]] = {}
        columns: dict[str, Column] = {}
        for column in chunk.columns:
            if names is not None and column.name not in names:
                continue
            weight = weights.get(column.weight)
            if weight is None:
                weight = weights[column.weight] = _so_many(
                    len(starts), chunk.weights[column.weight]
                )
            if column.difference is None:
                columns[column.name] = _column(column, _so_many(len(starts), column.total), weight)
                continue
            pair = (chunk.columns[place] for place in column.difference)
            whole, part = (_column(one, _so_many(len(starts), one.total), weight) for one in pair)
            less = _less(whole, part)
            if column.low is not None:
                less = _column(column, less.total, weight)
            columns[column.name] = less
        found = Rolled(starts, columns)
        return bounded(found) if chunk.version == 1 else found
    except (ValueError, IndexError, OverflowError) as error:
        raise damaged(_CHUNK_IS, error) from None


def _column(column: _Column, total: list[int], weight: list[int]) -> Column:
    found = Column(column.type, weight, total)
    if column.low is None or column.high is None:
        return found
    low, high = _so_many(len(weight), column.low), _so_many(len(weight), column.high)
    bits = column.bits
    if column.type == "gauge":
        raised = list(map(add, low, high))
        if bits and 0 in high:
            raised = [most if above else 0 for most, above in zip(raised, high, strict=True)]
        high = raised
    if bits:
        low, high = bounds.of_codes(low, high, lambda: said(found), bits)
    return Column(column.type, weight, total, low, high)


def _less(whole: Column, part: Column) -> Column:
    """One gauge less another, as the first version told it."""
    total = list(map(sub, whole.total, part.total))
    if whole.low is None or whole.high is None or part.low is None or part.high is None:
        return Column("gauge", whole.weight, total)
    low, high = map(sub, whole.low, part.high), map(sub, whole.high, part.low)
    return Column("gauge", whole.weight, total, list(low), list(high))


def _so_many(count: int, vector: Vector) -> list[int]:
    """The numbers of a vector that has so many."""
    if vector.count != count:
        raise ValueError("its series differ in length")
    return unpack(vector)


def pack(values: Sequence[int], *, by_steps: bool = True) -> Vector:
    """Whole numbers as a vector. Only one that is not told `by_steps` gives parts of itself."""
    count = len(values)
    if not count:
        return Vector(0)
    lowest, highest = min(values), max(values)
    if lowest == highest:
        return Vector(count, lowest) if _fits(lowest) else _as_text(values)
    first: int | None = None
    if by_steps:
        steps = list(map(sub, values[1:], values))
        least, most = min(steps), max(steps)
        # The differences of what wanders are smaller than what it wanders over.
        if most - least < highest - lowest:
            first, values, lowest, highest = values[0], steps, least, most
    if not _fits(lowest, highest, highest - lowest, first or 0):
        return _as_text(values if first is None else list(accumulate(values, initial=first)))
    if lowest == highest:
        return Vector(count, lowest, 1, first)
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
    return Vector(count, lowest, factor, first, width, planes)


def _fits(*numbers: int) -> bool:
    """Whether each is a signed number of eight bytes."""
    return min(numbers) >= -(2**63) and max(numbers) < 2**63


def _as_text(values: Sequence[int]) -> Vector:
    return Vector(len(values), text=",".join(map(str, values)))


def unpack(vector: Vector, part: slice | None = None) -> list[int]:
    """The numbers of a vector; of one that is not told by steps, a part of them if wanted. Raises
    ValueError for a damaged one.
    """
    if vector.count and vector.first is not None and part is not None:
        raise ValueError("its parts are told by steps")
    if vector.first is not None and not vector.count:
        raise ValueError("its steps lead nowhere")
    if vector.text:
        if vector.text.count(",") + 1 != vector.count:
            raise ValueError("its numbers are cut")
        values = [int(number) for number in vector.text.split(",")]
        return values if part is None else values[part]
    stored = vector.count if vector.first is None else vector.count - 1
    start, stop, _ = (part or slice(None)).indices(stored)
    size = max(0, stop - start)
    if not vector.width:
        values = [vector.offset] * size
    else:
        if len(vector.planes) != vector.width * stored:
            raise ValueError("its vectors are cut")
        data = bytearray(_WIDEST * size)
        for position in range(vector.width):
            plane = position * stored
            data[position::_WIDEST] = vector.planes[plane + start : plane + stop]
        words = array("Q")
        words.frombytes(data)
        if sys.byteorder == "big":
            words.byteswap()
        offset, factor = vector.offset, vector.factor
        if factor == 1:
            values = list(map(offset.__add__, words)) if offset else list(words)
        else:
            values = [word * factor + offset for word in words]
    return values if vector.first is None else list(accumulate(values, initial=vector.first))
