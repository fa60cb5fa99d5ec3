"""Forecasts: what came lies within their bands as often as they say, they beat guesses, find steps,
weeks and gaps, and say why where nothing can be told.
"""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.capacity.backtest import Came, came, quality
from app.capacity.daily import Daily, bridged, daily_of, summed, upper_bound
from app.capacity.fitting import LEAST_DAYS, forecast, forecasts
from app.capacity.forecast import FURTHEST_DAYS, Forecast, Refusal, Step, full, moved
from app.demo.plan import Plan
from tests.capacity_series import Case, made_up, of_the_demonstration

END_MS = 1_777_638_600_000
GIB = float(1 << 30)
LIMIT = 1000 * GIB


def _told(values: Sequence[float | None], limit: float = LIMIT) -> Forecast:
    found = forecast(Daily(100, tuple(values)), limit, 100 + len(values))
    assert isinstance(found, Forecast), found
    return found


def _refused(values: Sequence[float | None], day: int | None = None) -> Refusal:
    found = forecast(Daily(0, tuple(values)), LIMIT, len(values) if day is None else day)
    assert isinstance(found, Refusal)
    return found


def _line(days: int, *, rough: float = 0.0, more: float = 2 * GIB) -> list[float]:
    luck = random.Random(days)
    return [300 * GIB + more * day + luck.gauss(0, rough) for day in range(days)]


def _came(cases: list[Case]) -> list[Came]:
    # Made together, which is quicker; then each is known.
    forecasts([(case.series, case.limit, case.day) for case in cases])
    told = [came(case.series, case.limit, case.day, (7, 14, 28)) for case in cases]
    found = [one for one in told if not isinstance(one, Refusal)]
    assert len(found) > 0.97 * len(cases)
    return [day for days in found for day in days]


def test_bands_hold_what_they_say_and_guesses_are_beaten() -> None:
    demo = list(of_the_demonstration(Plan(END_MS, hosts=6, domains=60, days=200)))
    days = _came([*made_up(range(4)), *demo])
    found = quality(days)
    assert found is not None
    assert found.days > 500
    assert 0.75 <= found.within_80 <= 0.85
    assert 0.42 <= found.within_50 <= 0.58
    assert found.error < 0.8 * found.error_last_value
    assert found.error < 0.8 * found.error_line


def test_the_older_a_series_is_the_bands_hold_all_the_same() -> None:
    for days in (45, 360):
        found = quality(_came(list(made_up(range(100, 106), (days,)))))
        assert found is not None
        assert 0.7 <= found.within_80 <= 0.9, days


def test_a_straight_line_is_full_when_it_gets_there() -> None:
    told = _told(_line(60))
    when = full(told)
    # On day 59 418 GiB are taken; 582 more take 291 days, but so far nobody looks from 60.
    assert when.likely_days is None
    when = full(_told(_line(60), limit=600 * GIB))
    assert when.early_days is not None
    assert when.likely_days is not None
    assert when.late_days is not None
    assert when.likely_days == pytest.approx(91.0)
    assert when.early_days <= when.likely_days <= when.late_days
    assert when.late_days - when.early_days < 1.5


def test_a_forecast_is_the_same_whichever_series_are_foretold_with_it() -> None:
    cases = list(made_up(range(300, 301)))
    gaps = tuple(None if n % 9 == 4 else v for n, v in enumerate(cases[0].series.values))
    asked = [(case.series, case.limit, case.day) for case in cases]
    asked.append((Daily(cases[0].series.first_day, gaps), cases[0].limit, cases[0].day))
    alone = []
    for series, limit, day in asked:
        # As if of other days, whose weekdays are the same: what is known is not given out again.
        later = forecast(Daily(series.first_day + 700, series.values), limit, day + 700)
        alone.append(_shifted(later))
    together = [_shifted(one, 0) for one in forecasts(asked)]
    assert any(one.steps for one in together if isinstance(one, Forecast))
    assert any(one.week for one in together if isinstance(one, Forecast))
    assert together == alone


def _shifted(told: Forecast | Refusal, days: int = 700) -> Forecast | Refusal:
    """The same as told of days that are earlier."""
    if isinstance(told, Refusal):
        return told
    steps = tuple(Step(step.day - days, step.size) for step in told.steps)
    return replace(told, last_day=told.last_day - days, steps=steps)


def test_what_is_further_than_two_years_is_not_told() -> None:
    told = _told(_line(400, more=0.5 * GIB), limit=300 * GIB + 0.5 * GIB * (400 + FURTHEST_DAYS))
    assert told.furthest_days == FURTHEST_DAYS
    assert full(told).likely_days is None


def test_what_is_full_is_full_now() -> None:
    when = full(_told([LIMIT] * 30))
    assert when.likely_days == when.early_days == when.late_days == 0
    assert full(_told([LIMIT] * 30, limit=LIMIT / 2)).likely_days == 0


def test_a_step_is_no_trend() -> None:
    values = _line(90, rough=GIB)
    values[60:] = [value + 150 * GIB for value in values[60:]]
    told = _told(values)
    assert [step.day for step in told.steps] == [160]
    assert told.steps[0].size == pytest.approx(150 * GIB, rel=0.1)
    assert told.per_day == pytest.approx(2 * GIB, rel=0.25)
    assert told.level == pytest.approx(values[-1], rel=0.02)


def test_a_deleted_domain_is_no_trend_either() -> None:
    values = _line(90, rough=GIB)
    values[70:] = [value - 200 * GIB for value in values[70:]]
    assert _told(values).per_day == pytest.approx(2 * GIB, rel=0.25)


def test_a_new_trend_is_no_row_of_steps() -> None:
    told = _told([100 * GIB] * 150 + [100 * GIB + 5 * GIB * day for day in range(60)])
    assert told.steps == ()
    assert told.per_day == pytest.approx(5 * GIB, rel=0.02)


def test_a_spike_is_forgotten() -> None:
    values = _line(90, rough=GIB)
    values[80] += 400 * GIB
    told = _told(values)
    assert told.level == pytest.approx(values[-1], rel=0.03)
    assert told.per_day == pytest.approx(2 * GIB, rel=0.35)


def test_a_week_that_repeats_is_seen_and_goes_on() -> None:
    values = [v + 60 * GIB * (day % 7 == 6) for day, v in enumerate(_line(70, rough=GIB))]
    told = _told(values)
    assert told.week is not None
    for ahead in range(1, 15):
        day = 69 + ahead
        expected = 300 * GIB + 2 * GIB * day + 60 * GIB * (day % 7 == 6)
        assert told.likely(ahead) == pytest.approx(expected, abs=8 * GIB)


def test_noise_is_no_week() -> None:
    assert _told(_line(120, rough=10 * GIB)).week is None


def test_days_that_were_not_seen_change_little() -> None:
    whole: list[float | None] = list(_line(90, rough=GIB))
    gaps = [None if day % 9 in (3, 4, 5) or 40 <= day < 55 else v for day, v in enumerate(whole)]
    one, other = _told(whole), _told(gaps)
    assert other.days < one.days
    assert other.likely(30) == pytest.approx(one.likely(30), rel=0.03)


def test_only_what_was_known_counts() -> None:
    values = _line(120, rough=GIB)
    late = [*values[:90], *(900 * GIB for _ in range(30))]
    series, other = Daily(0, tuple(values)), Daily(0, tuple(late))
    assert forecast(series, LIMIT, 90) == forecast(other, LIMIT, 90)


def test_what_was_seen_today_moves_the_forecast_only_if_it_is_a_surprise() -> None:
    told = _told(_line(60, rough=GIB))
    assert moved(told, told.likely(0.5) + 0.1 * GIB, 0.5) is told
    after = moved(told, told.likely(0.5) - 100 * GIB, 0.5)
    assert after.likely(0.5) == pytest.approx(told.likely(0.5) - 100 * GIB)
    assert after.per_day == told.per_day
    assert after.steps[-1].day == told.last_day + 1
    assert after.steps[-1].size == pytest.approx(-100 * GIB)


@pytest.mark.parametrize(
    ("values", "day", "reason", "days"),
    [
        ([], 10, "no-history", 0),
        ([None] * 30, 30, "no-history", 0),
        (_line(LEAST_DAYS - 1), None, "too-short", LEAST_DAYS - 1),
        ([*_line(60), *[None] * 20], None, "not-seen-lately", 60),
        (_line(60), 0, "no-history", 0),
    ],
)
def test_it_is_said_why_nothing_is_foretold(
    values: Sequence[float | None], day: int | None, reason: str, days: int
) -> None:
    assert _refused(values, day) == Refusal(reason, days)  # type: ignore[arg-type]  # a Reason


def test_what_jumps_about_is_too_wild() -> None:
    luck = random.Random(3)
    assert _refused([luck.uniform(0, LIMIT) for _ in range(40)]).reason == "too-wild"


def test_bands_stay_within_nothing_and_the_limit() -> None:
    for band in _told(_line(60, rough=20 * GIB), limit=440 * GIB).bands(90):
        values = (band.low_80, band.low_50, band.likely, band.high_50, band.high_80)
        assert list(values) == sorted(values)
        assert values[0] >= 0
        assert values[-1] <= 440 * GIB


_values = st.lists(st.none() | st.floats(0, 1e15), max_size=120)


@settings(deadline=None, max_examples=60)
@given(_values, st.floats(1, 1e15), st.integers(-5, 130))
def test_no_series_breaks_it(values: list[float | None], limit: float, day: int) -> None:
    found = forecast(Daily(0, tuple(values)), limit, day)
    if isinstance(found, Refusal):
        assert found.days <= len(values)
        return
    when = full(found)
    told = [d for d in (when.early_days, when.likely_days, when.late_days) if d is not None]
    assert all(0 <= days <= found.furthest_days for days in told)
    assert all(0 <= band.low_80 <= band.high_80 <= limit for band in found.bands(40))


def test_sums_count_what_was_not_seen_as_in_between_and_what_is_gone_not_at_all() -> None:
    one = Daily(10, (1.0, None, 3.0, None))
    other = Daily(11, (10.0, 10.0, None, 10.0))
    assert summed([one, other]) == Daily(10, (1.0, 12.0, 13.0, None, 10.0))
    assert summed([]) == Daily(0, ())


def test_series_know_their_days() -> None:
    series = daily_of({7: 1.0, 9: 3.0, 10: None})
    assert series == Daily(7, (1.0, None, 3.0))
    assert [series.at(day) for day in (6, 7, 8, 9, 10)] == [None, 1.0, None, 3.0, None]
    assert series.before(9) == Daily(7, (1.0, None))
    assert series.since(9) == Daily(9, (3.0,))
    assert bridged((1.0, None, None, 4.0)) == [1.0, 2.0, 3.0, 4.0]


def test_the_bound_of_a_peak_is_above_99_of_100_minutes() -> None:
    luck = random.Random(5)
    for _ in range(200):
        busy = [luck.choice((0.1, 0.1, 1.0)) for _ in range(luck.randint(1, 12))]
        days = [[luck.random() ** 6 * top for _ in range(200)] for top in busy]
        p95 = [sorted(day)[-11] for day in days]
        bound = upper_bound(p95, [max(day) for day in days])
        minutes = [value for day in days for value in day]
        assert sum(value > bound for value in minutes) <= 0.01 * len(minutes)
