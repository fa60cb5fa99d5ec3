"""The charts of embeds: values to places. Nothing is drawn that was not seen."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.charts import HOST_CHARTS, Chart, Line
from app.web.embed.plot import (
    HEIGHT,
    WIDTH,
    Values,
    curve,
    headline,
    said,
    scale,
    stacked,
    time_ticks,
)
from app.web.when import Zone

CHART = Chart("cpu", "CPU", "ratio", (Line("cpu", "busy", "k-cpu"),))
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
# 1 May 2026, 09:30 UTC.
NOW_MS = 1_777_627_800_000


def _values(*values: float | None, step_ms: int = MINUTE_MS) -> Values:
    starts = [place * step_ms for place in range(len(values))]
    return Values(0, len(values) * step_ms, step_ms, starts, {"cpu": values}, [])


def _places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_a_line_is_broken_where_nothing_was_seen() -> None:
    found = _values(0.1, 0.2, None, 0.4, None, 0.3, 0.3)
    drawn = curve(CHART.lines[0], found, found.lines, 0.4, CHART, 0)
    assert drawn.line.count("M") == 3
    # The lone point in the middle is there to be seen.
    assert "h1" in drawn.line
    assert drawn.area.count("Z") == 3
    assert drawn.now == "30 %"


def test_what_was_last_seen_long_ago_is_not_now() -> None:
    found = _values(0.1, 0.2, None, None, None)
    assert curve(CHART.lines[0], found, found.lines, 0.4, CHART, 0).now == "–"


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=50))
def test_every_value_is_drawn_at_its_place_and_nothing_else(values: list[float | None]) -> None:
    found = _values(*values)
    top, _ = scale("ratio", max((value for value in values if value is not None), default=0))
    drawn = curve(CHART.lines[0], found, found.lines, top, CHART, 0)
    places = _places(drawn.line)
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    assert len(places) == len(known)
    for (x, y), (place, value) in zip(places, known, strict=True):
        assert x == pytest.approx(WIDTH * place / len(values), abs=0.51)
        assert y == pytest.approx(HEIGHT * (1 - value / top), abs=0.06)


@given(st.floats(0, 1e18), st.sampled_from(["ratio", "bytes", "bytes/s", "1/s", "count"]))
def test_the_axis_ends_at_or_above_the_greatest_and_not_far_above(
    greatest: float, unit: str
) -> None:
    greatest = greatest / 1e17 if unit == "ratio" else greatest
    top, ticks = scale(unit, greatest)  # type: ignore[arg-type]  # sampled from its words
    assert top >= greatest
    assert top > 0
    if greatest >= 2:
        assert top <= 3 * greatest + 2
    assert [tick.at for tick in ticks] == ["100", "50", "0"]
    assert ticks[-1].text == said(unit, top)  # type: ignore[arg-type]  # see above


def test_what_is_stacked_is_unknown_where_a_part_of_it_is() -> None:
    (cpu,) = [chart for chart in HOST_CHARTS if chart.name == "cpu"]
    lines = {"cpu_user": (0.1, 0.2), "cpu_system": (0.1, None), "cpu_iowait": (0.2, 0.1)}
    found = Values(0, 2 * MINUTE_MS, MINUTE_MS, [0, MINUTE_MS], dict(lines), [])
    sums = stacked(cpu, found)
    assert list(sums["cpu_user"]) == [0.1, 0.2]
    assert list(sums["cpu_iowait"]) == [pytest.approx(0.4), None]


@pytest.mark.parametrize(
    ("span_ms", "texts"),
    [
        (HOUR_MS, ["08:45", "09:00", "09:15", "09:30"]),
        (DAY_MS, ["12:00", "18:00", "1 May", "06:00", "09:30"]),
        (7 * DAY_MS, ["26 Apr", "28 Apr", "30 Apr", "1 May"]),
        (365 * DAY_MS, ["1 May"]),
    ],
)
def test_the_axis_of_time_has_round_times_and_its_end(span_ms: int, texts: list[str]) -> None:
    found = Values(NOW_MS - span_ms, NOW_MS, MINUTE_MS, [], {}, [])
    told = [tick.text for tick in time_ticks(found, Zone("UTC"))]
    if span_ms > 100 * DAY_MS:
        assert 3 <= len(told) <= 7
    elif span_ms >= 7 * DAY_MS:
        assert told[:-1]
    else:
        assert told == texts


def test_ticks_are_round_in_the_zone_of_the_reader() -> None:
    found = Values(NOW_MS - DAY_MS, NOW_MS, MINUTE_MS, [], {}, [])
    told = [tick.text for tick in time_ticks(found, Zone("Asia/Kolkata"))]
    assert "1 May" in told
    assert {"18:00", "06:00"} <= set(told)


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [("ratio", 0.217, "22 %"), ("ratio", 0.05, "5 %"), ("ratio", 0.004, "0.4 %"),
     ("bytes", 3 << 30, "3 GiB"), ("bytes/s", 2_300_000, "2.3 MB/s"), ("count", 12.0, "12"),
     ("1/s", 0.5, "0.5")],
)  # fmt: skip
def test_values_carry_their_unit(unit: str, value: float, text: str) -> None:
    assert said(unit, value) == text  # type: ignore[arg-type]  # words of Unit


def test_who_takes_nothing_leaves_the_others_curves_whole() -> None:
    """A VM that was off takes nothing of its host; when nobody looked is not known."""
    lines: dict[str, list[float | None]] = {
        "a": [1.0, 1.0, None, 1.0],
        "b": [2.0, None, None, None],
    }
    found = _values(0.0, 0.0, 0.0, 0.0)._replace(lines=dict(lines))
    chart = Chart("cpu", "CPUs busy", "count", (Line("a", "a", ""), Line("b", "b", "")), "shares")
    assert stacked(chart, found) == {"a": [1.0, 1.0, None, 1.0], "b": [3.0, 1.0, None, 1.0]}
    assert stacked(chart._replace(form="stack"), found)["b"] == [3.0, None, None, None]
    assert headline(chart._replace(big="sum"), found) == "1"
    assert headline(chart._replace(form="stack", big="sum"), found) == "–"
    assert stacked(chart._replace(lines=()), found) == {}
