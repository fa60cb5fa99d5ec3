"""Vectors: whole numbers as few bytes, before they are compressed. Pure.

Numbers of one kind side by side compress best. A vector is told by its differences where those are
smaller, made non-negative, divided by their greatest common divisor, and laid out byte by byte
(all lowest bytes, then all second ones, ...), as in the layouts of column stores. Nothing is lost.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from app.store.numbers import Numbers, extremes, numbers, roomy, size_of

_WIDEST = 8
# From each of these on a number takes another byte.
_BYTES = np.array([1 << 8 * width for width in range(1, _WIDEST)])
# What is less far from 0 has differences, and these have some, that fit eight bytes.
_ROOM = 2**61
# What a damaged or made-up blob may claim at most, so that it cannot fill the memory.
_MOST = 1 << 22
# Most have no common factor, and a few of them tell so.
_FEW = 16
_Count = Annotated[int, Meta(ge=0, le=_MOST)]


class Vector(Struct, array_like=True, frozen=True, gc=False):
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


def pack(values: Sequence[int] | Numbers, *, by_steps: bool = True) -> Vector:
    """Whole numbers as a vector. Only one that is not told `by_steps` gives parts of itself."""
    return pack_each(numbers(values).reshape(-1, 1), by_steps=by_steps)[0]


def pack_each(values: Numbers, *, by_steps: bool) -> list[Vector]:
    """The columns of a matrix, each as a vector."""
    count, columns = values.shape
    if not count:
        return [Vector(0)] * columns
    if size_of(values) >= _ROOM:
        if columns > 1:
            return [pack(values[:, place], by_steps=by_steps) for place in range(columns)]
        values = values.astype(object)
    lows, highs = np.asarray(values.min(axis=0)), np.asarray(values.max(axis=0))
    steps, is_stepped = values, np.zeros(columns, np.bool_)
    if by_steps and (lows != highs).any():
        steps = np.diff(values, axis=0)
        least, most = steps.min(axis=0), steps.max(axis=0)
        # The differences of what wanders are smaller than what it wanders over.
        is_stepped = np.asarray(most - least < highs - lows, np.bool_)
        lows, highs = np.where(is_stepped, least, lows), np.where(is_stepped, most, highs)
    firsts = [
        first if stepped else None
        for first, stepped in zip(values[0].tolist(), is_stepped.tolist(), strict=True)
    ]
    if values.dtype == object and not all(map(_fits, lows, highs, highs - lows, firsts)):
        return [_as_text(column) for column in values.T.tolist()]
    varies = np.asarray(lows != highs, np.bool_)
    found = {
        place: Vector(count, int(lows[place]), 1, firsts[place])
        for place in np.flatnonzero(~varies).tolist()
    }
    for which, told in ((varies & ~is_stepped, values), (varies & is_stepped, steps)):
        places = np.flatnonzero(which).tolist()
        if places:
            chosen = told if len(places) == columns else told[:, which]
            begins = [firsts[place] for place in places]
            vectors = _in_planes(chosen, count, lows[which], highs[which], begins)
            found.update(zip(places, vectors, strict=True))
    return [found[place] for place in range(columns)]


def _in_planes(
    values: Numbers, count: int, lows: Numbers, highs: Numbers, firsts: Sequence[int | None]
) -> Iterator[Vector]:
    """Columns that vary, between `lows` and `highs`, as vectors of `count` numbers: by bytes of
    what they are above the lowest. `firsts` are the first numbers of those that are steps.
    """
    shifted = numbers(values - lows)
    factors = np.gcd.reduce(shifted[:_FEW], axis=0)
    for place in np.flatnonzero(factors != 1).tolist():
        factors[place] = np.gcd.reduce(shifted[:, place])
        if factors[place] > 1:
            shifted[:, place] //= factors[place]
    tops = numbers(highs - lows) // factors
    widths: list[int] = (np.searchsorted(_BYTES, tops, side="right") + 1).tolist()
    size, columns = shifted.shape
    words = np.ascontiguousarray(shifted.T, dtype="<i8").view(np.uint8)
    planes = words.reshape(columns, size, _WIDEST)[:, :, : max(widths)].transpose(0, 2, 1)
    data, each = planes.tobytes(), max(widths) * size
    told = zip(lows.tolist(), factors.tolist(), firsts, widths, strict=True)
    for place, (low, factor, first, width) in enumerate(told):
        start = place * each
        yield Vector(count, low, factor, first, width, data[start : start + width * size])


def _fits(low: int, high: int, reach: int, first: int | None) -> bool:
    """Whether each is a signed number of eight bytes."""
    return all(-(2**63) <= number < 2**63 for number in (low, high, reach, first or 0))


def _as_text(values: Sequence[int]) -> Vector:
    return Vector(len(values), text=",".join(map(str, values)))


def unpack(vector: Vector, part: slice | None = None) -> Numbers:
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
        return numbers(values if part is None else values[part])
    stored = vector.count if vector.first is None else vector.count - 1
    start, stop, _ = (part or slice(None)).indices(stored)
    if vector.width:
        words = _words(vector, stored, start, stop)
        reach = abs(vector.factor) * extremes(words)[1] + abs(vector.offset)
        found = numbers(
            roomy(words, max(reach, abs(vector.factor))) * vector.factor + vector.offset
        )
    else:
        found = numbers([vector.offset]).repeat(max(0, stop - start))
    if vector.first is None:
        return found
    if abs(vector.first) + size_of(found) * stored >= 2**63:
        return numbers(list(accumulate(found.tolist(), initial=vector.first)))
    summed = np.empty(vector.count, np.int64)
    summed[0] = vector.first
    np.cumsum(found, out=summed[1:])
    summed[1:] += vector.first
    return summed


def _words(vector: Vector, stored: int, start: int, stop: int) -> Numbers:
    """The non-negative numbers of some of a vector's places."""
    if len(vector.planes) != vector.width * stored or vector.width > _WIDEST:
        raise ValueError("its vectors are cut")
    planes = np.frombuffer(vector.planes, np.uint8).reshape(vector.width, stored)
    data = np.zeros((max(0, stop - start), _WIDEST), np.uint8)
    data[:, : vector.width] = planes[:, start:stop].T
    words = data.view("<u8")[:, 0]
    return numbers(words.astype(object)) if words.size and words.max() >> 63 else words.view("<i8")
