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
from app.store.sample_rows import UNKNOWN, Rows

# What never falls while the same host or the same run of a domain counts.
CLOCK = {"host": "cpu_idle_ns", "domain": "cpu_time_ns"}

# So many objects at most are put together: that takes some hundredths of a second.
_TOGETHER = 64


class Since(Struct, frozen=True):
    """A fact of an object and the time from which it held."""

    from_ms: int
    fact: Fact


def tables(kind: KindName, rows: Rows, entity_ids: Sequence[int]) -> Iterator["Table"]:
    """The rows of objects (by rising id), those together that were measured at the same scans;
    of those that were measured at all.
    """
    ids = numbers(entity_ids)
    places = np.minimum(np.searchsorted(ids, rows.entity_ids), len(ids) - 1)
    is_mine = ids[places] == rows.entity_ids
    if not is_mine.all():
        rows, places = rows.part(is_mine), places[is_mine]
    scans = np.cumsum(np.diff(rows.times_ms, prepend=rows.times_ms[:1]) != 0)
    found = np.full((int(scans[-1]) + 1 if len(scans) else 0, len(ids)), -1)
    found[scans, places] = np.arange(len(places))
    together: dict[bytes, list[int]] = {}
    for place, pattern in enumerate(np.packbits(found >= 0, axis=0).T):
        if pattern.any():
            together.setdefault(pattern.tobytes(), []).append(place)
    for group in together.values():
        of_group = found[found[:, group[0]] >= 0][:, group]
        yield Table(kind, rows, of_group, [entity_ids[place] for place in group])


class Table:
    """Measured columns of objects that were measured at the same scans: `places` tells which of the
    rows is that of each scan and object.
    """

    def __init__(
        self, kind: KindName, rows: Rows, places: Numbers, entity_ids: Sequence[int]
    ) -> None:
        self.entity_ids = entity_ids
        self._kind = kind
        self._times: list[int] = rows.times_ms[places[:, 0]].tolist()
        self._intervals: list[int] = rows.intervals_ms[places[:, 0]].tolist()
        every = np.arange(len(rows.times_ms))
        if places.size == len(every) and (places.ravel() == every).all():
            columns = {name: found.reshape(places.shape) for name, found in rows.measured.items()}
        else:
            columns = {name: found[places] for name, found in rows.measured.items()}
        self._columns = {name: _readings(column) for name, column in columns.items()}
        clock = self._columns.get(CLOCK.get(kind, ""))
        # Of each object: whether its clock may break intervals of it alone.
        self._is_odd: list[bool] = [False] * len(entity_ids)
        if clock is not None:
            odd = (clock.values[1:] < clock.values[:-1]).any(axis=0)
            if clock.known is not None:
                odd |= ~clock.known.all(axis=0)
            self._is_odd = np.asarray(odd).tolist()
        # What no interval is broken by is found once for all.
        self._unbroken: list[int] | None = None

    def alike(self, facts: Mapping[int, Sequence[Since]]) -> Iterator[list[int]]:
        """The places of some objects that have the same intervals, and the same columns at all."""
        count = len(self.entity_ids)
        patterns = [
            [True] * count if one.known is None else np.any(one.known, axis=0).tolist()
            for one in self._columns.values()
        ]
        found: dict[Any, list[int]] = {}
        for place, entity_id in enumerate(self.entity_ids):
            broken = entity_id if self._is_broken(place, facts[entity_id]) else None
            key = (broken, *(one[place] for one in patterns))
            found.setdefault(key, []).append(place)
        for places in found.values():
            for start in range(0, len(places), _TOGETHER):
                yield places[start : start + _TOGETHER]

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
        return self._is_odd[place] or bool(_restarts(facts))

    def readings(self, series: Series, places: Sequence[int]) -> Readings:
        """What is known of a series of some of the objects."""
        if series.of is None:
            return self._column(series.name, places)
        inputs = [self._column(name, places) for name in series.inputs]
        if series.of_all is not None and all(map(_is_plain, inputs)):
            whole = series.of_all(*(one.values if one.known is None else None for one in inputs))
            if whole is not None:
                return Readings(whole)
        if len(places) > 1:
            return _side_by_side([self.readings(series, [place]) for place in places])
        told = np.asarray(np.frompyfunc(series.of, len(inputs), 1)(*map(_with_none, inputs)))
        known = np.asarray(told != None, np.bool_)  # noqa: E711 (of each of them)
        return Readings(numbers(np.where(known, told, 0)), None if known.all() else known)

    def _column(self, name: str, places: Sequence[int]) -> Readings:
        found = self._columns.get(name)
        if found is None:
            shape = (len(self._times), len(places))
            return Readings(np.zeros(shape, np.int64), np.zeros(shape, np.bool_))
        which: slice | Sequence[int] = places
        if places[-1] - places[0] + 1 == len(places):
            # Neighbours need not be copied.
            which = slice(places[0], places[-1] + 1)
        known = None if found.known is None else found.known[:, which]
        return Readings(found.values[:, which], None if known is None or known.all() else known)


def _readings(values: Numbers) -> Readings:
    known = values != UNKNOWN
    return Readings(values, None if known.all() else known)


def _side_by_side(those: Sequence[Readings]) -> Readings:
    """Readings of one object each as those of several."""
    values = np.concatenate([one.values for one in those], axis=1)
    if all(one.known is None for one in those):
        return Readings(values)
    known = [np.ones(one.values.shape, np.bool_) if one.known is None else one.known
             for one in those]  # fmt: skip
    return Readings(values, np.concatenate(known, axis=1))


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
    planned = numbers(intervals)
    before = np.abs(np.concatenate([planned[:1], planned[:-1]]))
    longest = MISSED_TICKS * np.maximum(before, planned)
    return np.where(planned < 0, 0, longest).tolist()  # type: ignore[no-any-return]  # of whole numbers


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
