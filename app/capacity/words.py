"""Forecasts in words, the same on pages and in messages: of what one is, how fast that grows, and
in how many days it is full. Pure.
"""

from app.capacity.forecast import FURTHEST_DAYS, Forecast, Reason, Refusal
from app.capacity.outlook import Outlook, What
from app.capacity.periods import day_text
from app.capacity.report import Foreseen
from app.clock import DAY_MS
from app.language import N_, gettext, ngettext
from app.sizes import size

UNKNOWN = "–"
_REFUSED: dict[Reason, str] = {
    "no-history": N_("nothing was measured yet"),
    "too-short": N_("history is too short"),
    "not-seen-lately": N_("not seen lately"),
    "too-wild": N_("it moves too wildly to say"),
}


def outlook_name(one: Outlook | Foreseen) -> str:
    """What an outlook is of."""
    if one.what == "storage":
        return " = ".join(one.names) if one.host else gettext("All pools")
    if one.what == "cpu":
        return gettext("%(host)s, CPU", host=one.host)
    return gettext("%(host)s, memory", host=one.host)


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
        percent = f"{100 * per_day * 30:+.1f}"
        return gettext("%(percent)s %% a month", percent=percent)
    return gettext("%(more)s a day", more=more(per_day))


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
        return gettext(_REFUSED[one.refusal])
    return _days_left(one.furthest_days or 0, one.full_ms, at_ms)


def full_in(told: Forecast | Refusal, full_ms: int | None, at_ms: int) -> str:
    """In how many days a time is at which something is full, or why there is none."""
    if isinstance(told, Refusal):
        return gettext(_REFUSED[told.reason])
    return _days_left(told.furthest_days, full_ms, at_ms)


def full_on(full_ms: int | None) -> str:
    """The day (of UTC) of a time; empty for none."""
    return "" if full_ms is None else day_text(full_ms // DAY_MS)


def when_and_on(one: Outlook | Foreseen, at_ms: int) -> str:
    """Both together: "in 6 days, 2026-05-07", or why that is not said."""
    when, on = when_full(one, at_ms), full_on(one.full_ms)
    return gettext("%(when)s, %(day)s", when=when, day=on) if on else when


def _days_left(furthest_days: int, full_ms: int | None, at_ms: int) -> str:
    if full_ms is None:
        if furthest_days >= FURTHEST_DAYS:
            return gettext("over 2 years")
        return ngettext("over %(num)s day", "over %(num)s days", furthest_days)
    left = (full_ms - at_ms) / DAY_MS
    return (
        ngettext("in %(num)s day", "in %(num)s days", round(left)) if left > 0 else gettext("full")
    )
