"""Forecasts in words, the same on pages and in messages: of what one is, how fast that grows, and
in how many days it is full. Pure.
"""

from app.capacity.forecast import FURTHEST_DAYS, Forecast, Reason, Refusal
from app.capacity.outlook import Outlook, What
from app.capacity.periods import day_text
from app.capacity.report import Foreseen
from app.clock import DAY_MS
from app.sizes import size

UNKNOWN = "–"
_REFUSED: dict[Reason, str] = {
    "no-history": "nothing was measured yet",
    "too-short": "history is too short",
    "not-seen-lately": "not seen lately",
    "too-wild": "it moves too wildly to say",
}


def outlook_name(one: Outlook | Foreseen) -> str:
    """What an outlook is of."""
    if one.what == "storage":
        return " = ".join(one.names) if one.host else "All pools"
    return f"{one.host}, {'CPU' if one.what == 'cpu' else 'memory'}"


def amount(one: Outlook | Foreseen, value: float | None) -> str:
    """A value of an outlook with its unit."""
    if value is None:
        return UNKNOWN
    return f"{100 * value:.0f} %" if one.what == "cpu" else size(round(value))


def grows(what: What, per_day: float | None) -> str:
    """How fast it grows that is so much more a day."""
    if per_day is None:
        return UNKNOWN
    if what == "cpu":
        return f"{100 * per_day * 30:+.1f} % a month"
    return f"{more(per_day)} a day"


def more(count: float | None) -> str:
    """By how many bytes something grew or shrank."""
    if not count:
        return UNKNOWN if count is None else "0"
    return f"{'−' if count < 0 else '+'}{size(round(abs(count)))}"


def when_full(one: Outlook | Foreseen, at_ms: int) -> str:
    """In how many days it is full, or why that is not said."""
    if isinstance(one, Outlook):
        return full_in(one.told, one.full_ms, at_ms)
    if one.refusal is not None:
        return _REFUSED[one.refusal]
    return _days_left(one.furthest_days or 0, one.full_ms, at_ms)


def full_in(told: Forecast | Refusal, full_ms: int | None, at_ms: int) -> str:
    """In how many days a time is at which something is full, or why there is none."""
    if isinstance(told, Refusal):
        return _REFUSED[told.reason]
    return _days_left(told.furthest_days, full_ms, at_ms)


def full_on(full_ms: int | None) -> str:
    """The day (of UTC) of a time; empty for none."""
    return "" if full_ms is None else day_text(full_ms // DAY_MS)


def when_and_on(one: Outlook | Foreseen, at_ms: int) -> str:
    """Both together: "in 6 days, 2026-05-07", or why that is not said."""
    return ", ".join(filter(None, (when_full(one, at_ms), full_on(one.full_ms))))


def _days_left(furthest_days: int, full_ms: int | None, at_ms: int) -> str:
    if full_ms is None:
        return "over 2 years" if furthest_days >= FURTHEST_DAYS else f"over {_days(furthest_days)}"
    left = (full_ms - at_ms) / DAY_MS
    return f"in {_days(round(left))}" if left > 0 else "full"


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"
