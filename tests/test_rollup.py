"""Roll-ups and chunks: nothing that was measured is lost or made up on the way into a tier."""

import zlib
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import StoreError
from app.metrics import METRICS, SeriesType, series_of
from app.store.buckets import RATE_PER_S, Column, Rolled, bounded, implied, told
from app.store.codec import decode, encode
from app.store.numbers import numbers
from app.store.rollup import Readings, Samples, merge, roll, usable_intervals

_MINUTE = 60_000
_LONGEST = 3 * _MINUTE
_TYPES = st.sampled_from(["gauge", "counter", "events"])


@st.composite
def measured(draw: Any) -> Samples:
    """Samples at uneven times with gaps, of two gauges and two counters that begin anew."""
    steps = draw(st.lists(st.sampled_from([10_000, 59_990, _MINUTE, 60_007, 400_000]), max_size=60))
    times = list(accumulate(steps, initial=1_777_000_000_000 + draw(st.integers(0, 10**6))))
    size = len(times)
    values = st.one_of(st.none(), st.integers(0, 2**63 - 1), st.integers(0, 5))
    kinds: dict[str, SeriesType] = {"a": "gauge", "b": "gauge", "c": "counter", "d": "events"}
    series = {
        name: (type_, draw(st.lists(values, min_size=size, max_size=size)))
        for name, type_ in kinds.items()
    }
    breaks = draw(st.lists(st.sampled_from(times), max_size=2))
    clocks = series["c"][1]
    return Samples(times, usable_intervals(times, [_LONGEST] * size, breaks, clocks), series)


def listed(samples: Samples, name: str) -> Sequence[int | None]:
    """The values of a series, as they were made."""
    values = samples.series[name][1]
    assert not isinstance(values, Readings)
    return values


def _intervals(samples: Samples, name: str) -> list[tuple[int, int, int]]:
    """(time of its end, milliseconds, what was counted) of every interval that tells something."""
    values = listed(samples, name)
    return [
        (time, ms, new - old)
        for time, ms, (old, new) in zip(
            samples.times_ms[1:], samples.elapsed_ms[1:], pairwise(values), strict=True
        )
        if ms and old is not None and new is not None and new >= old
    ]


@given(measured(), st.sampled_from([_MINUTE, 10 * _MINUTE]))
def test_a_bucket_says_of_a_gauge_what_its_samples_said(samples: Samples, width: int) -> None:
    rolled = roll(samples, width)
    for name in ("a", "b"):
        column = rolled.columns[name]
        low, high = column.bounds()
        for position, start in enumerate(rolled.starts):
            seen = [
                value
                for time, value in zip(samples.times_ms, listed(samples, name), strict=True)
                if time // width == start and value is not None
            ]
            assert column.weight[position] == len(seen)
            assert column.total[position] == sum(seen)
            if seen:
                assert (low[position], high[position]) == (min(seen), max(seen))


@given(measured(), st.sampled_from([_MINUTE, 10 * _MINUTE]))
def test_a_bucket_says_of_a_counter_what_was_counted_and_over_how_long(
    samples: Samples, width: int
) -> None:
    rolled = roll(samples, width)
    for name in ("c", "d"):
        column = rolled.columns[name]
        low, high = column.bounds()
        rate = 1000 * RATE_PER_S[column.type]
        for position, start in enumerate(rolled.starts):
            ended = [part for part in _intervals(samples, name) if part[0] // width == start]
            assert column.weight[position] == sum(ms for _, ms, _ in ended)
            assert column.total[position] == sum(counted for _, _, counted in ended)
            rates = [counted * rate // ms for _, ms, counted in ended]
            if rates:
                assert (low[position], high[position]) == (min(rates), max(rates))


@given(measured())
def test_no_tier_loses_or_doubles_anything(samples: Samples) -> None:
    """The integral of each tier is that of the samples, whichever way it was made."""
    minutes = roll(samples, _MINUTE)
    ten = merge([minutes], 10)
    hours = merge([ten], 6)
    assert _same(hours, roll(samples, 60 * _MINUTE))
    for rolled in (minutes, ten, hours):
        for name, (type_, _) in samples.series.items():
            column = rolled.columns[name]
            if type_ == "gauge":
                known = [value for value in listed(samples, name) if value is not None]
                assert sum(column.total.tolist()) == sum(known)
                assert column.weight.sum() == len(known)
            else:
                parts = _intervals(samples, name)
                assert sum(column.total.tolist()) == sum(counted for _, _, counted in parts)
                assert sum(column.weight.tolist()) == sum(ms for _, ms, _ in parts)
            assert min(column.total.tolist()) >= 0
            unseen = [t for w, t in zip(column.weight, column.total, strict=True) if not w]
            assert not any(unseen)


@given(measured(), st.integers(0, 60))
def test_parts_put_together_are_the_whole(samples: Samples, cut: int) -> None:
    whole = roll(samples, _MINUTE)
    parts = [
        Rolled(
            whole.starts[part],
            {
                name: Column(c.type, c.weight[part], c.total[part], *(b[part] for b in c.bounds()))
                for name, c in whole.columns.items()
            },
        )
        for part in (slice(None, cut), slice(cut, None))
    ]
    filled = [part for part in parts if part.starts]
    assert _same(merge(filled, 10), merge([whole], 10))


def test_a_series_that_began_later_was_not_seen_before() -> None:
    old = Rolled([1, 2], {"a": Column("gauge", [1, 1], [5, 6])})
    new = Rolled([3], {"a": Column("gauge", [1], [7]), "b": Column("gauge", [1], [9])})
    joined = merge([old, new], 1)
    assert joined.starts == [1, 2, 3]
    assert joined.columns["b"].weight.tolist() == [0, 0, 1]


def _same(one: Rolled, other: Rolled) -> bool:
    one, other = told(one), told(other)
    return one.starts == other.starts and all(
        column == other.columns[name] for name, column in one.columns.items()
    )


# --- what an interval tells ------------------------------------------------------------------


def test_an_interval_over_a_gap_a_break_or_a_reset_tells_nothing() -> None:
    times = [0, 60, 120, 500, 560, 620, 680]
    clocks = [1, 2, 3, 4, 5, 2, 3]
    found = usable_intervals(times, [180] * 7, [90], clocks)
    assert found == [0, 60, 0, 0, 60, 0, 60]


def test_a_break_at_a_sample_belongs_to_the_interval_that_it_ends() -> None:
    assert usable_intervals([0, 60, 120], [180] * 3, [60], [None] * 3) == [0, 0, 60]
    assert usable_intervals([], [], [], []) == []


# --- chunks ----------------------------------------------------------------------------------

_NUMBERS = st.one_of(
    st.integers(0, 2**63 - 1), st.integers(0, 300), st.just(2**64 * 1440), st.integers(-5, 5)
)


@st.composite
def rolled_up(draw: Any) -> Rolled:
    """Buckets as they might be, and as they never are."""
    starts = draw(st.lists(st.integers(0, 2**40), max_size=40, unique=True).map(sorted))
    size = len(starts)
    columns = {}
    for name in draw(st.lists(st.sampled_from("abcde"), unique=True)):
        numbers = st.lists(_NUMBERS, min_size=size, max_size=size)
        weight = draw(st.lists(st.integers(0, 61_000), min_size=size, max_size=size))
        bounds = draw(st.one_of(st.just((None, None)), st.tuples(numbers, numbers)))
        columns[name] = Column(draw(_TYPES), weight, draw(numbers), *bounds)
    return Rolled(starts, columns)


@given(rolled_up())
def test_a_chunk_gives_back_all_that_was_put_in(rolled: Rolled) -> None:
    assert decode(encode(rolled)) == bounded(rolled)


@given(measured())
def test_what_was_measured_comes_back_from_its_chunk(samples: Samples) -> None:
    for rolled in (roll(samples, _MINUTE), merge([roll(samples, _MINUTE)], 60)):
        assert decode(encode(rolled)) == bounded(rolled)
        assert encode(decode(encode(rolled))) == encode(rolled)


_FEW = st.lists(st.integers(0, 2), min_size=3, max_size=3)


@given(st.lists(_FEW, min_size=9, max_size=9), st.booleans(), st.booleans())
def test_what_is_one_less_another_comes_back_from_a_chunk_without_it(
    numbers: list[list[int]], bounds: bool, exact: bool
) -> None:
    weight = [1, 2, 1]
    whole, part, other = (
        Column("gauge", weight, numbers[3 * n], *(numbers[3 * n + 1 :][:2] if bounds else ()))
        for n in range(3)
    )
    if exact:
        other.total = whole.total - part.total
        if bounds:
            (low, high), (less, most) = whole.bounds(), part.bounds()
            other.low, other.high = low - most, high - less
    rolled = Rolled([1, 2, 3], {"used": other, "whole": whole, "free": part})
    blob = encode(rolled, [("used", "whole", "free"), ("used", "free", "absent")])
    assert decode(blob) == rolled
    assert decode(blob, {"used"}).columns == {"used": other}


def test_of_a_chunk_only_what_is_wanted_is_read() -> None:
    rolled = Rolled(
        [1, 2], {"a": Column("gauge", [1, 1], [5, 6]), "b": Column("gauge", [1, 1], [7, 8])}
    )
    assert decode(encode(rolled), {"b"}).columns.keys() == {"b"}


@given(rolled_up(), st.data())
def test_a_damaged_chunk_is_an_error_or_what_it_was(rolled: Rolled, data: Any) -> None:
    blob = bytearray(encode(rolled))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(blob))
    except StoreError:
        return
    assert found == rolled


@pytest.mark.parametrize("blob", [b"", b"x", zlib.compress(b"x"), zlib.compress(b"\x90")])
def test_what_is_no_chunk_is_an_error(blob: bytes) -> None:
    with pytest.raises(StoreError):
        decode(blob)


def test_a_cut_chunk_is_an_error() -> None:
    blob = encode(Rolled([1, 2], {"a": Column("gauge", [1, 1], [5, 6])}))
    for size in range(len(blob)):
        with pytest.raises(StoreError):
            decode(blob[:size])


# --- the table of metrics ---------------------------------------------------------------------


def test_every_metric_is_of_a_series_that_is_kept_and_has_a_name_of_its_own() -> None:
    assert len({(metric.kind, metric.name) for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        (series,) = (one for one in series_of(metric.kind) if one.name == metric.series)
        counted = metric.unit in ("bytes/s", "1/s", "ratio")
        assert counted == (series.type != "gauge"), metric


def test_a_rate_of_single_events_below_one_a_second_is_not_nothing() -> None:
    assert implied("events", numbers([60_000]), numbers([3])).tolist() == [50]
