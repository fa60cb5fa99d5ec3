"""Sparklines: values to the paths of a small SVG, 84 by 20, for the tables. Pure.

A path is text that npvirt itself makes, digits and commands alone, so no template needs to escape
it. The vertical axis begins at 0 and ends at 35 % or the peak, whichever is higher.
"""

from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 84, 20
_LEAST_TOP = 0.35


class Spark(NamedTuple):
    """The paths of a sparkline. `line` is the curve; where nothing is missing it is closed below
    the picture, so that it fills itself. `area` is what is filled under a curve with holes, `gap`
    what is hatched. All empty where nothing is known.
    """

    line: str
    area: str = ""
    gap: str = ""


NO_SPARK = Spark("")


def spark(values: Sequence[float | None], least_top: float = _LEAST_TOP) -> Spark:
    """The sparkline of values from the oldest to the newest, evenly apart; None is a gap."""
    known = [value for value in values if value is not None]
    if not known or len(values) < 2:
        return NO_SPARK
    top = max(least_top, *known)
    step = WIDTH / (len(values) - 1)
    runs = _runs(values)
    if len(runs) == 1 and len(runs[0][1]) == len(values):
        points = _points(runs[0], step, top)
        # Left, right and below are out of the picture: what closes the path is never seen.
        first, last = points[0][1], points[-1][1]
        return Spark(f"M-2 {first}{_lines(points)}L86 {last}V23H-2z")
    lines, areas = [], []
    for run in runs:
        points = _points(run, step, top)
        lines.append(f"M{points[0][0]} {points[0][1]}{_lines(points[1:]) or 'h1'}")
        areas.append(f"M{points[0][0]} 20{_lines(points)}V20z")
    return Spark("".join(lines), "".join(areas), _holes(values, step))


Run = tuple[int, list[float]]


def _runs(values: Sequence[float | None]) -> list[Run]:
    """The stretches without a hole, each with the place where it begins."""
    runs: list[Run] = []
    before = False
    for place, value in enumerate(values):
        if value is not None:
            if not before:
                runs.append((place, []))
            runs[-1][1].append(value)
        before = value is not None
    return runs


def _points(run: Run, step: float, top: float) -> list[tuple[str, str]]:
    start, values = run
    return [
        (_short((start + place) * step), _short(HEIGHT - 1 - (HEIGHT - 2) * max(0.0, value) / top))
        for place, value in enumerate(values)
    ]


def _lines(points: Sequence[tuple[str, str]]) -> str:
    return "".join(f"L{x} {y}" for x, y in points)


def _holes(values: Sequence[float | None], step: float) -> str:
    """Rectangles over the holes, each from half a step before it to half a step after it."""
    found = []
    start: int | None = None
    for place, value in enumerate([*values, 0.0]):
        if value is None and start is None:
            start = place
        elif value is not None and start is not None:
            left = max(0.0, (start - 0.5) * step)
            right = min(float(WIDTH), (place - 0.5) * step)
            found.append(f"M{_short(left)} 0H{_short(right)}V20H{_short(left)}z")
            start = None
    return "".join(found)


def _short(value: float) -> str:
    """One decimal, without what says nothing."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text
