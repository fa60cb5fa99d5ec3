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
# What a damaged or made-up blob may claim at most, so that it cannot fill the memory.
_MOST = 1 << 22
# Most have no common factor, and a few of them tell so.
_FEW = 16
_Count = Annotated[int, Meta(ge=0, le=_MOST)]


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


def pack(values: Sequence[int] | Numbers, *, by_steps: bool = True) -> Vector:
    """Whole numbers as a vector. Only one that is not told `by_steps` gives parts of itself."""
    return pack_each(numbers(values).reshape(-1, 1), by_steps=by_steps)[0]


def pack_each(values: Numbers, *, by_steps: bool) -> list[Vector]:
    """The columns of a matrix, each as a vector."""
    count, columns = values.shape
    if not count:
        return [Vector(0)] * columns
    lows, highs = values.min(axis=0).tolist(), values.max(axis=0).tolist()
    if not _fits(max(highs) - min(lows)):
        # Differences between columns do not matter, those within one do.
        if columns > 1:
            return [pack(values[:, place], by_steps=by_steps) for place in range(columns)]
        values = values.astype(object)
    steps = values
    firsts: list[int | None] = [None] * columns
    if by_steps and lows != highs:
        steps = np.diff(values, axis=0)
        firsts = _choose_steps(values, steps, lows, highs)
    found: dict[int, Vector] = {}
    plain: list[int] = []
    stepped: list[int] = []
    for place, (low, high, first) in enumerate(zip(lows, highs, firsts, strict=True)):
        if not _fits(low, high, high - low, first or 0):
            found[place] = _as_text(values[:, place].tolist())
        elif low == high:
            found[place] = Vector(count, low, 1, first)
        else:
            (plain if first is None else stepped).append(place)
    for places, told in ((plain, values), (stepped, steps)):
        if places:
            chosen = told if len(places) == columns else told[:, places]
            edges = [(lows[place], highs[place], firsts[place]) for place in places]
            found.update(zip(places, _in_planes(chosen, count, edges), strict=True))
    return [found[place] for place in range(columns)]


def _choose_steps(
    values: Numbers, steps: Numbers, lows: list[int], highs: list[int]
) -> list[int | None]:
    """The first number of each column that is to be told by steps, else None; then its least and
    greatest are made those of the steps.
    """
    firsts: list[int | None] = [None] * len(lows)
    edges = zip(steps.min(axis=0).tolist(), steps.max(axis=0).tolist(), strict=True)
    for place, (least, most) in enumerate(edges):
        # The differences of what wanders are smaller than what it wanders over.
        if most - least < highs[place] - lows[place]:
            firsts[place] = int(values[0, place])
            lows[place], highs[place] = least, most
    return firsts


def _in_planes(
    values: Numbers, count: int, edges: Sequence[tuple[int, int, int | None]]
) -> Iterator[Vector]:
    """Columns that vary, as vectors of `count` numbers: by bytes of what they are above the
    lowest. `edges`: the lowest and the highest of each, and the first if these are steps.
    """
    shifted = numbers(values - numbers([low for low, _, _ in edges]))
    factors = np.gcd.reduce(shifted[:_FEW], axis=0)
    for place in np.flatnonzero(factors != 1).tolist():
        factors[place] = np.gcd.reduce(shifted[:, place])
    by: list[int] = factors.tolist()
    for place, factor in enumerate(by):
        if factor > 1:
            shifted[:, place] //= factor
    tops = [(high - low) // factor for (low, high, _), factor in zip(edges, by, strict=True)]
    widths = [(top.bit_length() + 7) // 8 for top in tops]
    size, columns = shifted.shape
    words = np.ascontiguousarray(shifted.T, dtype="<i8").view(np.uint8)
    planes = words.reshape(columns, size, _WIDEST)[:, :, : max(widths)].transpose(0, 2, 1)
    data, each = planes.tobytes(), max(widths) * size
    for place, (low, _, first) in enumerate(edges):
        start, width = place * each, widths[place]
        yield Vector(count, low, by[place], first, width, data[start : start + width * size])


def _fits(*those: int) -> bool:
    """Whether each is a signed number of eight bytes."""
    return min(those) >= -(2**63) and max(those) < 2**63


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
