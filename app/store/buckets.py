"""Buckets of time: what is kept of a series in each, of one object or of several. Pure.

Time is the first axis of every array. There may be a second one, of objects that were looked at
together.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.metrics import SeriesType
from app.store import bounds
from app.store.numbers import Numbers, extremes, numbers, roomy, size_of

# A rate is a whole number per second, of single events per thousand seconds.
RATE_PER_S: Mapping[SeriesType, int] = {"counter": 1, "events": 1000}
_Given = Sequence[int] | Numbers


class Column:
    """One series over the buckets of a Rolled, parallel arrays; objects that share their weights
    may have them once. `low` and `high` None: in every bucket they are what total and weight say,
    because each holds one sample or none.
    """

    __slots__ = ("high", "low", "total", "type", "weight")

    def __init__(
        self,
        type_: SeriesType,
        weight: _Given,
        total: _Given,
        low: _Given | None = None,
        high: _Given | None = None,
    ) -> None:
        self.type = type_
        self.weight = numbers(weight)
        self.total = numbers(total)
        self.low = None if low is None else numbers(low)
        self.high = None if high is None else numbers(high)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Column)
            and self.type == other.type
            and all(map(_same, self._arrays(), other._arrays()))
        )

    __hash__ = None  # type: ignore[assignment]  # what holds arrays has none

    def __repr__(self) -> str:
        return f"Column({self.type!r}, {', '.join(map(repr, self._arrays()))})"

    def _arrays(self) -> tuple[Numbers | None, ...]:
        return self.weight, self.total, self.low, self.high

    def bounds(self) -> tuple[Numbers, Numbers]:
        """The lowest and the highest of each bucket (0 where nothing was seen)."""
        if self.low is None or self.high is None:
            told = implied(self.type, self.weight, self.total)
            return told, told
        return self.low, self.high

    def weights(self) -> Numbers:
        """The weights in the shape of the totals."""
        return along(self.weight, self.total)

    def part(self, buckets: slice | NDArray[np.bool_]) -> "Column":
        """Some of its buckets."""
        low = None if self.low is None else self.low[buckets]
        high = None if self.high is None else self.high[buckets]
        return Column(self.type, self.weight[buckets], self.total[buckets], low, high)

    def wide(self) -> "Column":
        """That of one object as one of several."""
        low = None if self.low is None else self.low[:, None]
        high = None if self.high is None else self.high[:, None]
        return Column(self.type, self.weight, self.total[:, None], low, high)

    def of(self, place: int) -> "Column":
        """That of one of several objects."""
        weight = self.weight if self.weight.ndim == 1 else self.weight[:, place]
        low = None if self.low is None else self.low[:, place]
        high = None if self.high is None else self.high[:, place]
        return Column(self.type, weight, self.total[:, place], low, high)


class Rolled(Struct):
    """The buckets of an object, or of several: rising numbers (start // width), series."""

    starts: list[int]
    columns: dict[str, Column]

    def of(self, place: int) -> "Rolled":
        """That of one of several objects."""
        return Rolled(self.starts, {name: one.of(place) for name, one in self.columns.items()})

    def wide(self) -> "Rolled":
        """That of one object as one of several."""
        return Rolled(self.starts, {name: one.wide() for name, one in self.columns.items()})

    def part(self, buckets: slice) -> "Rolled":
        """Some of its buckets."""
        columns = {name: column.part(buckets) for name, column in self.columns.items()}
        return Rolled(self.starts[buckets], columns)


def _same(one: Numbers | None, other: Numbers | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def along(weight: Numbers, total: Numbers) -> Numbers:
    """Weights that objects share, as far as they do, in the shape of their totals."""
    return weight if weight.ndim == total.ndim else np.broadcast_to(weight[:, None], total.shape)


def told(rolled: Rolled) -> Rolled:
    """The same with the lowest and highest of each bucket put in words once for all."""
    columns = {
        name: Column(column.type, column.weight, column.total, *column.bounds())
        for name, column in rolled.columns.items()
    }
    return Rolled(rolled.starts, columns)


def bounded(rolled: Rolled) -> Rolled:
    """The same with the lowest and highest of each bucket rounded outward, as chunks keep them."""
    columns = {}
    for name, column in rolled.columns.items():
        if column.low is not None and column.high is not None:
            low, high = bounds.rounded(column.low, column.high, bounds.BITS[column.type])
            column = Column(column.type, column.weight, column.total, low, high)
        columns[name] = column
    return Rolled(rolled.starts, columns)


def said(column: Column) -> Numbers:
    """What all values of each bucket were, if they were all the same."""
    if column.type != "gauge":
        return implied(column.type, column.weight, column.total)
    return _shared_out(column.total, column.weight)


def implied(type_: SeriesType, weight: Numbers, total: Numbers) -> Numbers:
    """What a bucket of one sample says of its lowest and highest."""
    if type_ == "gauge":
        return total
    per_ms = 1000 * RATE_PER_S[type_]
    return _shared_out(roomy(total, size_of(total) * per_ms) * per_ms, weight)


def _shared_out(total: Numbers, weight: Numbers) -> Numbers:
    """Totals by their weights, rounded down; 0 of nothing."""
    weight = along(weight, total)
    if extremes(weight)[0] > 0:
        return numbers(total // weight)
    seen = weight != 0
    return numbers(np.where(seen, total // np.where(seen, weight, 1), 0))
