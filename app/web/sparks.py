"""Sparklines: values to the paths of a small SVG, 84 by 20 pixels, for the tables. Pure.

A path is text that npvirt itself makes, digits and commands alone, so no template needs to escape
it; whole numbers, relative to the point before, because hundreds of them are on a page. The
vertical axis begins at 0 and ends at 35 % or the peak, whichever is higher.
"""

from collections.abc import Sequence
from typing import NamedTuple

# Of the viewBox.
WIDTH, HEIGHT = 94, 40
_LEAST_TOP = 0.35
Values = Sequence[float | None]


class Spark(NamedTuple):
    """The paths of a sparkline. `line` is the curve; where nothing is missing it is closed beyond
    the edges of the picture, so that it fills itself. `area` is what is filled under a curve with
    holes, `gap` what is hatched: where nobody looked. All empty where nothing is known.
    """

    line: str = ""
    area: str = ""
    gap: str = ""


NO_SPARK = Spark()


def spark(values: Values, seen: Values | None = None) -> Spark:
    """The sparkline of values from the oldest to the newest, evenly apart; None is a hole. It is
    hatched where `seen` (as long; without it `values`) is None, too.
    """
    known = [value for value in values if value is not None]
    if not known or len(values) < 2:
        return NO_SPARK
    top = max(_LEAST_TOP, *known)
    points = [
        (round(place * WIDTH / (len(values) - 1)), _height(value, top))
        for place, value in enumerate(values)
    ]
    if len(known) == len(values):
        steps = _steps(points)
        # Left, right and below are out of the picture: what closes the path is never seen.
        return Spark(f"M-4 {points[0][1]}H0{steps}H98V46H-4z")
    lines, areas = [], []
    for run in _runs(points):
        steps = _steps(run)
        lines.append(f"M{run[0][0]} {run[0][1]}{steps or 'h1'}")
        areas.append(f"M{run[0][0]} {HEIGHT}V{run[0][1]}{steps}V{HEIGHT}z")
    return Spark("".join(lines), "".join(areas), _holes(values if seen is None else seen, values))


Point = tuple[int, int | None]


def _height(value: float | None, top: float) -> int | None:
    return None if value is None else round(HEIGHT - 2 - (HEIGHT - 4) * max(0.0, value) / top)


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """The stretches without a hole."""
    runs: list[list[Point]] = []
    before = False
    for point in points:
        if point[1] is not None:
            if not before:
                runs.append([])
            runs[-1].append(point)
        before = point[1] is not None
    return runs


def _steps(points: Sequence[Point]) -> str:
    """From point to point, each relative to the one before."""
    texts = []
    x, y = points[0]
    for to_x, to_y in points[1:]:
        step = (to_y or 0) - (y or 0)
        texts.append(f"{to_x - x}{step}" if step < 0 else f"{to_x - x} {step}")
        x, y = to_x, to_y
    return f"l{' '.join(texts)}" if texts else ""


def _holes(seen: Values, values: Values) -> str:
    """Rectangles over the holes, each from half a step before it to half a step after it."""
    step = WIDTH / (len(values) - 1)
    found = []
    start: int | None = None
    for place in range(len(values) + 1):
        hole = place < len(values) and values[place] is None and _at(seen, place) is None
        if hole and start is None:
            start = place
        elif not hole and start is not None:
            left, right = max(0, round((start - 0.5) * step)), round((place - 0.5) * step)
            found.append(f"M{left} 0H{min(WIDTH, right)}V{HEIGHT}H{left}z")
            start = None
    return "".join(found)


def _at(values: Values, place: int) -> float | None:
    return values[place] if place < len(values) else None
