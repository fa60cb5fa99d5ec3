"""Where the curves of a chart stand: values over time to the coordinates of a small SVG. Pure.

Where nothing was seen a line is broken; nothing is drawn between two points that are not
neighbours. How a value and a time are written along the axes is decided here, too.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from app.clock import DAY_MS, HOUR_MS, MINUTE_MS
from app.language import N_
from app.metrics import Unit
from app.web.charts import Chart, Line
from app.web.figures import size
from app.web.format import UNKNOWN, megabytes
from app.web.locales import figure
from app.web.when import Zone, month_day

# Of the viewBox in which the curves are.
WIDTH, HEIGHT = 1000, 100
# Steps of the axis of time, about five to a chart.
_STEPS_MS = (
    *(n * MINUTE_MS for n in (10, 15, 30)), *(n * HOUR_MS for n in (1, 2, 3, 6, 12)),
    *(n * DAY_MS for n in (1, 2, 5, 7, 14, 30, 60, 90, 365)),
)  # fmt: skip
_TICKS = 5


class Curve(NamedTuple):
    """One curve: its label, class, look, latest value, and the paths of its line and area."""

    label: str
    css: str
    look: str
    now: str
    line: str
    area: str


class Tick(NamedTuple):
    """A text at a place of an axis, in percent of its length; `end` where it stands at its end."""

    at: str
    text: str
    anchor: str = "middle"


class Gap(NamedTuple):
    """A stretch in which nobody looked, in percent of the width."""

    x: str
    width: str


class Values(NamedTuple):
    """What was measured: the beginnings of steps, per metric a value or None in each, gaps."""

    from_ms: int
    to_ms: int
    width_ms: int
    starts_ms: Sequence[int]
    lines: dict[str, Sequence[float | None]]
    gaps: Sequence[tuple[int, int]]
    # What was not seen in them, marked.
    gaps_say: str = N_("no scans")


# --- values to places ------------------------------------------------------------------------


def stacked(chart: Chart, found: Values) -> dict[str, Sequence[float | None]]:
    """Each curve on top of those before it; unknown where any is, of shares where all are."""
    lines = [found.lines[line.metric] for line in chart.lines]
    is_shares = chart.form == "shares"
    below: Sequence[float | None] = [
        None if is_shares and all(value is None for value in values) else 0.0
        for values in zip(*lines, strict=True)
    ]
    sums: dict[str, Sequence[float | None]] = {}
    for line, values in zip(chart.lines, lines, strict=True):
        below = [
            None if low is None or (value is None and not is_shares) else low + (value or 0.0)
            for low, value in zip(below, values, strict=True)
        ]
        sums[line.metric] = below
    return sums


def greatest_of(lines: dict[str, Sequence[float | None]]) -> float:
    """The greatest of all values; 0 where none is known."""
    return max((value for line in lines.values() for value in line if value is not None), default=0)


def scale(unit: Unit, greatest: float) -> tuple[float, list[Tick]]:
    """Where the axis ends, and what stands at its beginning, middle and end."""
    if unit == "ratio":
        top = next(
            (step for step in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if greatest <= step),
            math.ceil(greatest),
        )
    else:
        base = 1024 if unit == "bytes" else 1000
        power = base ** math.floor(math.log(greatest, base)) if greatest >= 1 else 1
        steps = (1, 2, 4, 8, 10, 20, 40, 80, 100, 200, 400, 800, 1000, base)
        top = next(step * power for step in steps if greatest <= step * power)
        if unit == "count":
            top = max(2.0, math.ceil(top / 2) * 2)
    return float(top), [
        Tick("100", "0"),
        Tick("50", said(unit, top / 2)),
        Tick("0", said(unit, top)),
    ]


def said(unit: Unit, value: float) -> str:
    """A value with its unit, in as few figures as are needed."""
    if unit == "ratio":
        text = f"{100 * value:.1f}" if 0 < value < 0.1 else f"{100 * value:.0f}"
        return f"{figure(text.removesuffix('.0'))} %"
    if unit == "bytes":
        return size(round(value))
    if unit == "bytes/s":
        return f"{megabytes(value)} MB/s"
    return f"{value:.0f}" if value >= 10 or value == int(value) else figure(f"{value:.1f}")


def _x(at_ms: float, found: Values) -> float:
    share = (at_ms - found.from_ms) / (found.to_ms - found.from_ms)
    return WIDTH * min(1.0, max(0.0, share))


def curve(
    line: Line,
    found: Values,
    sums: dict[str, Sequence[float | None]],
    top: float,
    chart: Chart,
    place: int,
) -> Curve:
    """One curve of a chart whose axis ends at `top`; the first is filled, and all of a stack."""
    values = sums[line.metric]
    last = latest(found.lines[line.metric])
    fills = chart.form != "lines" or (place == 0 and not line.look)
    lines, areas = [], []
    for run in _runs(found, values):
        points = [
            f"{_x(at_ms, found):.0f} {HEIGHT * (1 - value / top):.1f}" for at_ms, value in run
        ]
        lines.append(f"M{'L'.join(points)}" if len(points) > 1 else f"M{points[0]}h1")
        left, right = f"{_x(run[0][0], found):.0f}", f"{_x(run[-1][0], found):.0f}"
        areas.append(f"M{left} {HEIGHT}L{'L'.join(points)}L{right} {HEIGHT}Z")
    return Curve(
        line.label, line.css, line.look,
        UNKNOWN if last is None else said(chart.unit, last),
        "".join(lines), "".join(areas) if fills else "",
    )  # fmt: skip


def _runs(found: Values, values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The stretches without a hole: when, and what."""
    runs: list[list[tuple[int, float]]] = []
    is_broken = True
    for start_ms, value in zip(found.starts_ms, values, strict=True):
        if value is not None:
            if is_broken:
                runs.append([])
            runs[-1].append((start_ms, value))
        is_broken = value is None
    return runs


def latest(values: Sequence[float | None]) -> float | None:
    """The latest value, of the last two steps: an older one is not what is now."""
    return next((value for value in reversed(values[-2:]) if value is not None), None)


def headline(chart: Chart, found: Values) -> str:
    """What stands big beside the title."""
    lasts = [latest(found.lines[line.metric]) for line in chart.lines]
    wanted = lasts if chart.big == "sum" else lasts[:1]
    known = [value for value in wanted if value is not None]
    whole = chart.form == "shares" or len(known) == len(wanted)
    return said(chart.unit, sum(known)) if known and whole else UNKNOWN


def hatched(gap: tuple[int, int], found: Values) -> Gap:
    """A stretch in which nobody looked."""
    left, right = (_x(at_ms, found) * 100 / WIDTH for at_ms in gap)
    return Gap(f"{left:.2f}", f"{max(0.3, right - left):.2f}")


# --- the axis of time ------------------------------------------------------------------------


def time_ticks(found: Values, zone: Zone) -> list[Tick]:
    """Round times of the zone along the axis, and where it ends."""
    span_ms = found.to_ms - found.from_ms
    step_ms = next((step for step in _STEPS_MS if span_ms / step <= _TICKS), _STEPS_MS[-1])
    ticks = []
    offset = zone.local(found.from_ms).utcoffset()
    shift_ms = 0 if offset is None else round(offset.total_seconds() * 1000)
    at_ms = -(-(found.from_ms + shift_ms) // step_ms) * step_ms - shift_ms
    while at_ms < found.to_ms:
        share = _x(at_ms, found) * 100 / WIDTH
        # Neither beyond the edge nor into the text at the end.
        if 3 <= share <= 90:
            ticks.append(Tick(f"{share:.1f}", _tick_text(at_ms, step_ms, zone)))
        at_ms += step_ms
    return [*ticks, Tick("100", _end_text(found, zone), "end")]


def _tick_text(at_ms: int, step_ms: int, zone: Zone) -> str:
    local = zone.local(at_ms)
    if step_ms >= DAY_MS or (local.hour, local.minute) == (0, 0):
        return month_day(local)
    return f"{local:%H:%M}"


def _end_text(found: Values, zone: Zone) -> str:
    local = zone.local(found.to_ms)
    return f"{local:%H:%M}"


def width_text(width_ms: int) -> str:
    """How far apart points are."""
    seconds = round(width_ms / 1000)
    for width, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= width:
            return f"{seconds / width:g} {unit}" if seconds % width == 0 else f"{seconds} s"
    return f"{seconds} s"
