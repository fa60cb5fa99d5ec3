"""What is shown of a metric: its mean lies within its bounds, in every bucket and over the day."""

from itertools import accumulate
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.inventory import KINDS
from app.metrics import METRICS, Metric, series_of
from app.store.rollup import Samples, merge, roll, usable_intervals
from app.store.values import Divisors, daily, line

_MINUTE_MS = 60_000
_START_MS = 1_777_000_000_000 // _MINUTE_MS * _MINUTE_MS
_TYPES = {(kind.name, one.name): one.type for kind in KINDS for one in series_of(kind.name)}


@st.composite
def counted(draw: Any) -> tuple[list[int], list[int]]:
    """Times and what a counter said then: steady for most of the time, or not."""
    steps = draw(st.lists(st.sampled_from([10_000, 30_000, 59_993, _MINUTE_MS]), min_size=1))
    times = list(accumulate(steps, initial=_START_MS))
    most = draw(st.sampled_from([1, 1000, 10**9, 10**12]))
    grown = st.integers(0, most) if draw(st.booleans()) else st.just(draw(st.integers(0, most)))
    size = len(steps)
    return times, list(accumulate(draw(st.lists(grown, min_size=size, max_size=size)), initial=0))


@given(st.sampled_from(METRICS), counted(), st.sampled_from([1, 3, 7]))
def test_a_mean_lies_within_its_bounds(
    metric: Metric, read: tuple[list[int], list[int]], cpus: int
) -> None:
    times, values = read
    samples = Samples(
        times,
        usable_intervals(times, [3 * _MINUTE_MS] * len(times), [], values),
        {metric.series: (_TYPES[metric.kind, metric.series], list(values))},
    )
    minutes = roll(samples, _MINUTE_MS)
    hours = merge([minutes], 60)
    divisors = Divisors([0], [cpus])
    for rolled, width_ms in ((minutes, _MINUTE_MS), (hours, 60 * _MINUTE_MS)):
        told = line(metric, rolled, width_ms, divisors)
        for least, average, greatest in zip(told.least, told.average, told.greatest, strict=True):
            if average is not None:
                assert least is not None
                assert greatest is not None
                assert least <= average <= greatest
    day = daily(metric, minutes.wide(), hours.wide(), _MINUTE_MS, [divisors])[0]
    if day is not None:
        assert day.least <= day.average <= day.greatest
        assert day.least <= day.last <= day.greatest
        assert day.least <= day.p95 <= day.greatest
