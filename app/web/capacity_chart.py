"""The chart of one forecast: where its lines, bands and texts stand. Pure.

Paths are in a box of 1000 by 100 that is stretched; texts stand in percent, so that they are not.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.capacity.daily import Daily
from app.capacity.forecast import Band, Forecast
from app.capacity.outlook import Outlook
from app.capacity.periods import day_text
from app.language import gettext
from app.web.figures import size

_TICKS = 5
_LEAST_AHEAD = 30


class Tick(NamedTuple):
    """A text at a place of an axis, in percent."""

    at: str
    text: str
    anchor: str = "middle"


class Drawn(NamedTuple):
    """Everything that the chart shows; `gaps` are x and width in percent."""

    line: str
    area: str
    likely: str
    band_50: str
    band_80: str
    limit: str
    gaps: tuple[tuple[str, str], ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    spoken: str


def drawn(one: Outlook, from_day: int, day: int) -> Drawn | None:
    """The chart of an outlook from a day on to as far ahead again; None where nothing is known."""
    kept = one.series.since(from_day).before(day).trimmed()
    if not kept.values or one.limit is None:
        return None
    ahead = max(_LEAST_AHEAD, (day - kept.first_day) // 2)
    bands = one.told.bands(ahead) if isinstance(one.told, Forecast) else []
    axes = _Axes(kept.first_day, max(day, bands[-1].day if bands else day), one.limit)
    runs = list(_runs(kept))
    lines = [[axes.point(day_, value) for day_, value in run] for run in runs]
    last = kept.first_day + len(kept.values) - 1, kept.values[-1] or 0.0
    return Drawn(
        " ".join(_path(line) for line in lines),
        " ".join(_closed([axes.point(run[0][0], 0.0), *line, axes.point(run[-1][0], 0.0)])
                 for run, line in zip(runs, lines, strict=True)),
        _path([axes.point(*last), *(axes.point(b.day, b.likely) for b in bands)]) if bands else "",
        _between(axes, bands, 50),
        _between(axes, bands, 80),
        f"M0 {axes.y(one.limit)}H1000",
        tuple(axes.gap(first, end) for first, end in _gaps(kept)),
        axes.days(),
        axes.values(share=one.what == "cpu"),
        _spoken(one, bands),
    )  # fmt: skip


class _Axes:
    def __init__(self, first: int, last: int, limit: float) -> None:
        self._first, self._days = first, max(1, last - first)
        self._top = limit * 1.15

    def point(self, day: int, value: float) -> str:
        return f"{(day - self._first) * 1000 / self._days:.0f} {self.y(value)}"

    def y(self, value: float) -> str:
        return f"{100 - 100 * min(value, self._top) / self._top:.1f}"

    def gap(self, first: int, end: int) -> tuple[str, str]:
        x, width = (first - self._first) / self._days, (end - first) / self._days
        return f"{100 * x:.2f}", f"{100 * width:.2f}"

    def days(self) -> tuple[Tick, ...]:
        found = []
        for nth in range(_TICKS + 1):
            day = self._first + round(self._days * nth / _TICKS)
            anchor = "start" if nth == 0 else "end" if nth == _TICKS else "middle"
            place = 100 * (day - self._first) / self._days
            found.append(Tick(f"{place:.1f}", day_text(day)[5:], anchor))
        return tuple(found)

    def values(self, *, share: bool) -> tuple[Tick, ...]:
        limit = self._top / 1.15
        return tuple(
            Tick(self.y(limit * part / 4), _value(limit * part / 4, share=share))
            for part in range(5)
        )


def _value(value: float, *, share: bool) -> str:
    return f"{100 * value:.0f} %" if share else size(round(value))


def _runs(series: Daily) -> Iterable[list[tuple[int, float]]]:
    """The stretches in which every day was seen."""
    run: list[tuple[int, float]] = []
    for place, value in enumerate(series.values):
        if value is None:
            if run:
                yield run
            run = []
        else:
            run.append((series.first_day + place, value))
    if run:
        yield run


def _gaps(series: Daily) -> Iterable[tuple[int, int]]:
    """The stretches that were not seen, between the days beside them."""
    last: int | None = None
    for place, value in enumerate(series.values):
        if value is None:
            continue
        day = series.first_day + place
        if last is not None and day - last > 1:
            yield last, day
        last = day


def _between(axes: _Axes, bands: Sequence[Band], share: int) -> str:
    if not bands:
        return ""
    high = [axes.point(b.day, b.high_50 if share == 50 else b.high_80) for b in bands]
    low = [axes.point(b.day, b.low_50 if share == 50 else b.low_80) for b in bands]
    return _closed([*high, *reversed(low)])


def _path(points: Sequence[str]) -> str:
    return "M" + "L".join(points)


def _closed(points: Sequence[str]) -> str:
    return f"{_path(points)}Z"


def _spoken(one: Outlook, bands: Sequence[Band]) -> str:
    share = one.what == "cpu"
    limit = _value(one.limit or 0.0, share=share)
    value = _value(one.value or 0.0, share=share)
    if not bands:
        return gettext("%(value)s of %(limit)s; no forecast", value=value, limit=limit)
    last = bands[-1]
    low, likely, high = (
        _value(value, share=share) for value in (last.low_80, last.likely, last.high_80)
    )
    return gettext(
        "%(value)s of %(limit)s; forecast for %(day)s %(likely)s,"
        " 80 percent range %(low)s to %(high)s",
        value=value, limit=limit, day=day_text(last.day), likely=likely, low=low, high=high,
    )  # fmt: skip
