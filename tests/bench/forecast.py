"""How good forecasts are on series that were made up and on a made-up fleet, and what one costs."""

import time
from collections.abc import Iterator

from app.capacity.backtest import Came, came, quality
from app.capacity.forecast import Refusal
from app.demo.plan import Plan
from tests.capacity_series import Case, made_up, of_the_demonstration

_END_MS = 1_777_638_600_000
_AHEAD = (7, 14, 28)


def run() -> Iterator[str]:
    """Coverage of both bands, and mean errors in thousandths of the limit, by sort of series."""
    found: dict[str, list[Came]] = {}
    refused: dict[str, int] = {}
    cases = [*made_up(range(1000, 1020)), *of_the_demonstration(Plan(_END_MS))]
    started_s = time.process_time()
    for case in cases:
        told = came(case.series, case.limit, case.day, _AHEAD)
        if isinstance(told, Refusal):
            refused[case.kind] = refused.get(case.kind, 0) + 1
        else:
            found.setdefault(case.kind, []).extend(told)
    took_ms = 1000 * (time.process_time() - started_s) / len(cases)
    for kind, days in found.items():
        yield _line(kind, days, refused.get(kind, 0))
    yield _line("all", [day for days in found.values() for day in days], sum(refused.values()))
    yield f"{_cost(cases)}; with what came {took_ms:.2f} ms"


def _line(kind: str, days: list[Came], refused: int) -> str:
    told = quality(days)
    assert told is not None
    return (
        f"{kind}: {told.days} days, {told.within_80:.1%} within the 80 % band, "
        f"{told.within_50:.1%} within the 50 % band; off by {1000 * told.error:.1f} ‰ of the "
        f"limit, the last value by {1000 * told.error_last_value:.1f} ‰, a straight line by "
        f"{1000 * told.error_line:.1f} ‰; {refused} refused"
    )


def _cost(cases: list[Case]) -> str:
    longest = [case for case in cases if case.day - case.series.first_day >= 300][:100]
    started_s = time.process_time()
    for case in longest:
        came(case.series, case.limit, case.day, ())
    took_ms = 1000 * (time.process_time() - started_s) / len(longest)
    return f"a forecast from 300 days or more: {took_ms:.2f} ms of CPU"
