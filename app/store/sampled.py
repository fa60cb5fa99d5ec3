"""What was measured of objects at the same scans, by the rows that were read. Pure.

Knows where an interval between two samples tells nothing: gaps, and domains that were started
anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from msgspec import Struct

from app.inventory import Device, Domain, Fact, KindName
from app.metrics import Series
from app.store.looks import MISSED_TICKS
from app.store.numbers import Numbers, numbers
from app.store.rollup import Readings, Samples, usable_intervals

# What never falls while the same host or the same run of a domain counts.
CLOCK = {"host": "cpu_idle_ns", "domain": "cpu_time_ns"}
# Nothing, among whole numbers; none that is measured is that small.
UNKNOWN = -(2**63)
# Of rows that are read: their first columns, and where the measured ones begin.
TIME, ENTITY, INTERVAL, OTHERS, FIRST = range(5)


class Since(Struct, frozen=True):
    """A fact of an object and the time from which it held."""

    from_ms: int
    fact: Fact


def tables(
    kind: KindName, columns: Sequence[str], rows: Numbers, entity_ids: Sequence[int]
) -> Iterator["Table"]:
    """The rows of objects, of all together if all were measured at each scan."""
    count = len(entity_ids)
    if len(rows) % count == 0:
        grid = rows.reshape(-1, count, rows.shape[1])
        same_times = (grid[:, :, TIME] == grid[:, :1, TIME]).all()
        if same_times and (grid[:, :, ENTITY] == entity_ids).all():
            yield Table(kind, columns, rows, entity_ids)
            return
    for entity_id in entity_ids:
        mine = rows[rows[:, ENTITY] == entity_id]
        if len(mine):
            yield Table(kind, columns, mine, [entity_id])


class Table:
    """Measured columns of objects that were measured at the same scans."""

    def __init__(
        self, kind: KindName, columns: Sequence[str], rows: Numbers, entity_ids: Sequence[int]
    ) -> None:
        self.entity_ids = entity_ids
        self._kind = kind
        count = len(entity_ids)
        self._times = rows[::count, TIME].tolist()
        self._intervals = rows[::count, INTERVAL].tolist()
        grid = rows[:, FIRST:].reshape(len(self._times), count, len(columns))
        values = np.ascontiguousarray(grid.transpose(2, 0, 1))
        known = values != UNKNOWN
        self._columns = {
            name: Readings(column, None if is_known.all() else is_known)
            for name, column, is_known in zip(columns, values, known, strict=True)
        }
        # What no interval is broken by is found once for all.
        self._unbroken: list[int] | None = None

    def alike(self, facts: Mapping[int, Sequence[Since]]) -> Iterator[list[int]]:
        """The places of objects that have the same intervals, and the same columns at all."""
        count = len(self.entity_ids)
        every = np.ones((1, count), np.bool_)
        pattern = [
            np.any(every if one.known is None else one.known, axis=0).tolist()
            for one in self._columns.values()
        ]
        found: dict[Any, list[int]] = {}
        for place, entity_id in enumerate(self.entity_ids):
            broken = entity_id if self._is_broken(place, facts[entity_id]) else None
            key = (broken, *(one[place] for one in pattern))
            found.setdefault(key, []).append(place)
        yield from found.values()

    def samples(self, places: Sequence[int], from_ms: int, facts: Sequence[Since]) -> Samples:
        """The times and usable intervals of objects that are alike; without series."""
        if not self._times:
            return Samples([], [], {})
        clock = self._clock(places[0])
        longest = longest_between(self._intervals)
        if clock is None or self._is_broken(places[0], facts):
            # What has no clock of its own is told by its domain's restarts alone.
            clocks = clock or [None] * len(self._times)
            elapsed = usable_intervals(self._times, longest, _restarts(facts), clocks)
        else:
            if self._unbroken is None:
                self._unbroken = usable_intervals(self._times, longest, (), clock)
            elapsed = self._unbroken
        return Samples(self._times, elapsed, {}, skip=int(self._times[0] < from_ms))

    def _clock(self, place: int) -> Readings | None:
        found = self._columns.get(CLOCK.get(self._kind, ""))
        if found is None:
            return None
        known = None if found.known is None else found.known[:, place]
        return Readings(found.values[:, place], known)

    def _is_broken(self, place: int, facts: Sequence[Since]) -> bool:
        """Whether its intervals may be others than those of the objects beside it."""
        clock = self._clock(place)
        return bool(
            _restarts(facts)
            or (
                clock is not None
                and (clock.known is not None or (clock.values[1:] < clock.values[:-1]).any())
            )
        )

    def readings(self, series: Series, places: Sequence[int]) -> Readings:
        """What is known of a series of some of the objects."""
        if series.of is None:
            return self._column(series.name, places)
        inputs = [self._column(name, places) for name in series.inputs]
        if series.of_all is not None and all(map(_is_plain, inputs)):
            whole = series.of_all(*(one.values if one.known is None else None for one in inputs))
            if whole is not None:
                return Readings(whole)
        told = np.asarray(np.frompyfunc(series.of, len(inputs), 1)(*map(_with_none, inputs)))
        known = np.asarray(told != None, np.bool_)  # noqa: E711 (of each of them)
        return Readings(numbers(np.where(known, told, 0)), None if known.all() else known)

    def _column(self, name: str, places: Sequence[int]) -> Readings:
        found = self._columns.get(name)
        if found is None:
            shape = (len(self._times), len(places))
            return Readings(np.zeros(shape, np.int64), np.zeros(shape, np.bool_))
        if len(places) == len(self.entity_ids):
            return found
        known = None if found.known is None else found.known[:, places]
        return Readings(found.values[:, places], None if known is None or known.all() else known)


def _with_none(one: Readings) -> Numbers:
    values = one.values.astype(object)
    if one.known is not None:
        values[~one.known] = None
    return values


def is_measured(one: Readings) -> bool:
    """Whether any of it is known."""
    return one.known is None or bool(one.known.any())


def _is_plain(one: Readings) -> bool:
    """Whether it is known of all, or of none."""
    return one.known is None or not one.known.any()


def longest_between(intervals: Sequence[int]) -> list[int]:
    """How long before each scan the one before it can be without a gap, by the time that each
    of them planned to the next: that may have been made longer or shorter between the two. An
    interval below zero is one before whose scan the wall clock stepped: nothing is usable there.
    """
    return [
        0 if now < 0 else MISSED_TICKS * max(abs(before), now)
        for before, now in pairwise((0, *intervals))
    ]


def _restarts(facts: Sequence[Since]) -> list[int]:
    """When a domain, or that of a device, began to run anew: libvirt gives it another id then."""
    return [
        later.from_ms
        for earlier, later in pairwise(facts)
        if _run(earlier.fact) != _run(later.fact)
    ]


def _run(fact: Fact) -> int | None:
    if isinstance(fact, Domain):
        return fact.id
    return fact.run if isinstance(fact, Device) else None
