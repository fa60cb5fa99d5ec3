"""Periods of whole days as people ask for them, and the months in them. Pure."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from msgspec import Struct

from app.errors import InvalidField
from app.language import gettext

_EPOCH = date(1970, 1, 1)


class Period(Struct, frozen=True):
    """Days from `from_day` on and before `end_day`, as far as something can be known of them:
    `cut` says at which end more was asked for.
    """

    from_day: int
    end_day: int
    cut: tuple[Literal["history", "future"], ...] = ()

    @property
    def days(self) -> int:
        """How many there are."""
        return self.end_day - self.from_day


def period(
    asked_from: int, asked_end: int, *, today: int, first_day: int | None,
    fields: tuple[str, str] = ("from", "to"),
) -> Period:  # fmt: skip
    """The days that were asked for, up to and with `today`; raises InvalidField, for one of the
    two fields that ask for them, where there is nothing in them to tell.
    """
    from_field, to_field = fields
    if asked_end <= asked_from:
        raise InvalidField(to_field, gettext("The period ends before it begins."))
    if asked_from > today:
        sentence = gettext("The period lies in the future; nothing is known of it yet.")
        raise InvalidField(from_field, sentence)
    cut: list[Literal["history", "future"]] = []
    from_day, end_day = asked_from, asked_end
    if end_day > today + 1:
        end_day = today + 1
        cut.append("future")
    if first_day is not None and from_day < first_day:
        from_day = first_day
        cut.append("history")
        if end_day <= from_day:
            raise InvalidField(
                to_field,
                gettext(
                    "Nothing is known of that period; no day before %(day)s is told of.",
                    day=day_text(first_day),
                ),
            )
    return Period(from_day, end_day, tuple(cut))


def day_text(day: int) -> str:
    """A day since 1970 as ISO 8601 has it."""
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


def month_of(day: int) -> str:
    """Its month, "2026-05"."""
    return day_text(day)[:7]


def months(of: Period) -> Iterator[tuple[str, int, int]]:
    """The months of a period: the name, the first day and the day after the last, both whole
    months' even where the period holds a part of them.
    """
    start = date.fromisoformat(day_text(of.from_day)).replace(day=1)
    while (start - _EPOCH).days < of.end_day:
        following = date(start.year + start.month // 12, start.month % 12 + 1, 1)
        yield start.isoformat()[:7], (start - _EPOCH).days, (following - _EPOCH).days
        start = following


def month_before(day: int) -> Period:
    """The whole month before the one that a day lies in."""
    end = date.fromisoformat(day_text(day)).replace(day=1)
    start = (end - timedelta(days=1)).replace(day=1)
    return Period((start - _EPOCH).days, (end - _EPOCH).days)


def month_after(month: str) -> Period:
    """The whole month after the one of that name ("2026-05")."""
    following = date.fromisoformat(f"{month}-01") + timedelta(days=31)
    return month_before((following.replace(day=1) + timedelta(days=31) - _EPOCH).days)


def day_of(field: str, text: str) -> int:
    """The day that "2026-05-01" names, since 1970; raises InvalidField."""
    try:
        if len(text) != 10:
            raise ValueError
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        raise InvalidField(field, gettext("Give the day as 2026-05-01.")) from None
