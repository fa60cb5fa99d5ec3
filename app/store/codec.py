"""Chunks: the buckets of one object over a stretch of time as one compressed blob. Pure.

Its series are told by vectors (app/store/vectors), bounds by codes of their leading bits; zlib
does the rest. Nothing is lost but the last bits of bounds.
"""

import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from app.errors import StoreError
from app.metrics import SeriesType
from app.store import bounds
from app.store.buckets import Column, Rolled, along, bounded, said
from app.store.numbers import Numbers, roomy, size_of
from app.store.vectors import Vector, pack, pack_each, unpack

_VERSION = 2
# The first version had no codes: least and greatest were told as they were.
_VERSIONS = (1, 2)
_LEVEL = 6
# Planes of so many numbers are best told apart by short blocks, each with a code of its own; what
# repeats in measurements are bytes, not strings.
_MANY = 1000
_SHORT_BLOCKS = 4
_MOST_BYTES = 64 << 20
_CHUNK_IS = "A chunk of the store is"

# What a damaged or made-up blob may claim at most, so that it cannot fill the memory: buckets of a
# chunk, and series; and all numbers that are read of a blob at once.
_MOST_BUCKETS = 1 << 16
MOST_SERIES = 256
MOST_NUMBERS = 1 << 20
T = TypeVar("T", bound=Struct)
_Position = Annotated[int, Meta(ge=0)]


class _Column(Struct, array_like=True, frozen=True, gc=False):
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


def encode(rolled: Rolled, differences: Sequence[tuple[str, str, str]] = ()) -> bytes:
    """The blob of `rolled`, bounds rounded as `rollup.bounded` rounds them. `differences` names
    series that may be one series less another (with these two): where that is so, their totals
    are not kept.
    """
    return encode_each(rolled.wide(), 1, differences)[0]


def encode_each(
    rolled: Rolled, count: int, differences: Sequence[tuple[str, str, str]] = ()
) -> list[bytes]:
    """The blob of each of `count` objects."""
    places = {name: place for place, name in enumerate(rolled.columns)}
    follows = list(_following(rolled, count, differences))
    weights = _Weights(count)
    found: list[list[_Column]] = [[] for _ in range(count)]
    for name, column in rolled.columns.items():
        of_whole = [(np.flatnonzero(mask), pair) for one, mask, pair in follows if one == name]
        pairs = {int(n): pair for where, pair in of_whole for n in where}
        wanders = column.type == "gauge"
        totals = (
            [Vector(0)] * count
            if len(pairs) == count
            else pack_each(column.total, by_steps=wanders)
        )
        bounds_of = _bounds_of_each(column, count)
        which = weights.of_each(column.weight)
        for n in range(count):
            total, difference = totals[n], None
            if n in pairs:
                whole, part = pairs[n]
                total, difference = Vector(0), (places[whole], places[part])
            low, high, bits = bounds_of[n]
            found[n].append(
                _Column(name, column.type, which[n], total, low, high, difference, bits)
            )
    starts = pack(rolled.starts)
    return [
        deflated(_Chunk(_VERSION, starts, weights.vectors(n), tuple(found[n])), len(rolled.starts))
        for n in range(count)
    ]


class _Weights:
    """The weights of several objects: those of each that differ, and what they are as vectors."""

    def __init__(self, count: int) -> None:
        self._count = count
        # By the identity of arrays, which are kept so that no other may take it: places of them
        # among those of each object.
        self._known: dict[int, tuple[Numbers, list[int]]] = {}
        self._of: list[list[tuple[Numbers, Vector]]] = [[] for _ in range(count)]

    def of_each(self, weight: Numbers) -> list[int]:
        """Which of its weights they are, for each object."""
        known = self._known.get(id(weight))
        if known is None:
            if weight.ndim == 1:
                vectors = [pack(weight, by_steps=False)] * self._count
                columns = [weight] * self._count
            else:
                vectors = pack_each(weight, by_steps=False)
                columns = [weight[:, n] for n in range(self._count)]
            which = [self._which(*one) for one in zip(self._of, columns, vectors, strict=True)]
            known = self._known[id(weight)] = (weight, which)
        return known[1]

    @staticmethod
    def _which(mine: list[tuple[Numbers, Vector]], weight: Numbers, vector: Vector) -> int:
        for place, (other, _) in enumerate(mine):
            if np.array_equal(other, weight):
                return place
        mine.append((weight, vector))
        return len(mine) - 1

    def vectors(self, place: int) -> tuple[Vector, ...]:
        """All that differ of one object."""
        return tuple(vector for _, vector in self._of[place])


def _bounds_of_each(column: Column, count: int) -> list[tuple[Vector | None, Vector | None, int]]:
    """The vectors of the lowest and the highest, and of how many leading bits they are codes; of
    each object.
    """
    if column.low is None or column.high is None:
        return [(None, None, 0)] * count
    wanders, bits = column.type == "gauge", bounds.BITS[column.type]
    found = bounds.codes(column.low, column.high, lambda: said(column), bits)
    if found is None and count > 1:
        return [_bounds_of_each(column.of(n).wide(), 1)[0] for n in range(count)]
    if found is None:
        bits, found = 0, bounds.rounded(column.low, column.high, bits)
    low, high = found
    if wanders:
        above = _difference(high, low)
        high = np.where(high != 0, above, 0) if bits else above
    lows, highs = pack_each(low, by_steps=wanders), pack_each(high, by_steps=False)
    return [(one, other, bits) for one, other in zip(lows, highs, strict=True)]


def _following(
    rolled: Rolled, count: int, differences: Sequence[tuple[str, str, str]]
) -> Iterator[tuple[str, NDArray[np.bool_], tuple[str, str]]]:
    """The series whose totals are one's less another's, with the two, and of which objects."""
    for name, whole, part in differences:
        mine, one, other = (rolled.columns.get(name) for name in (name, whole, part))
        if mine is None or one is None or other is None:
            continue
        if (mine.low is None) != (one.low is None or other.low is None):
            continue
        alike = (mine.total == _difference(one.total, other.total)).all(axis=0)
        for weight in (one.weight, other.weight):
            if weight is not mine.weight:
                alike = alike & (along(weight, mine.total) == mine.weights()).all(axis=0)
        if alike.any():
            yield name, alike, (whole, part)


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
        starts: list[int] = unpack(chunk.starts).tolist()
        weights: dict[int, Numbers] = {}
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


def _column(column: _Column, total: Numbers, weight: Numbers) -> Column:
    found = Column(column.type, weight, total)
    if column.low is None or column.high is None:
        return found
    low, high = _so_many(len(weight), column.low), _so_many(len(weight), column.high)
    bits = column.bits
    if column.type == "gauge":
        raised = roomy(low, size_of(low) + size_of(high)) + high
        high = np.where(high != 0, raised, 0) if bits else raised
    if bits:
        low, high = bounds.of_codes(low, high, lambda: said(found), bits)
    return Column(column.type, weight, total, low, high)


def _less(whole: Column, part: Column) -> Column:
    """One gauge less another, as the first version told it."""
    total = _difference(whole.total, part.total)
    if whole.low is None or whole.high is None or part.low is None or part.high is None:
        return Column("gauge", whole.weight, total)
    low, high = _difference(whole.low, part.high), _difference(whole.high, part.low)
    return Column("gauge", whole.weight, total, low, high)


def _difference(whole: Numbers, part: Numbers) -> Numbers:
    return roomy(whole, size_of(whole) + size_of(part)) - part


def _so_many(count: int, vector: Vector) -> Numbers:
    """The numbers of a vector that has so many."""
    if vector.count != count:
        raise ValueError("its series differ in length")
    return unpack(vector)
