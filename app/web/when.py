"""Times as people read them, in the zone of the settings or else the server's.

Pure: the same moment makes the same text whenever it is drawn, so that data alone decides the
bytes of a page; how long ago something was is written by the browser.
"""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from app.clock import rfc3339, utc
from app.language import gettext
from app.web.locales import date, date_and_time, with_weekday


@dataclass(frozen=True)
class When:
    """One moment in words: `iso` for machines, `short` "14:02" on the page's day else "11 May",
    `clock` "14:02:04", `full` with date and zone.
    """

    at_ms: int
    iso: str
    short: str
    clock: str
    full: str


class Zone:
    """Where the reader's clock stands; an empty name is the server's own zone."""

    def __init__(self, name: str = "") -> None:
        self._zone: tzinfo | None = ZoneInfo(name) if name else None

    def local(self, at_ms: int) -> datetime:
        """`at_ms` as an aware datetime of this zone."""
        return utc(at_ms).astimezone(self._zone)

    def at(self, local: datetime) -> int:
        """When a clock of this zone shows `local` (naive), in milliseconds since 1970 UTC: the
        first of the two times where clocks go back.
        """
        aware = local.replace(tzinfo=self._zone) if self._zone else local.astimezone()
        return round(aware.timestamp() * 1000)

    def when(self, at_ms: int, page_ms: int | None) -> When:
        """`at_ms` in words on a page whose data are of `page_ms`."""
        at = self.local(at_ms)
        page = self.local(page_ms) if page_ms is not None else at
        clock = at.strftime("%H:%M:%S")
        return When(
            at_ms, rfc3339(at_ms), _short(at, page), clock, f"{date(at)} {clock} {_zone(at)}"
        )

    def maybe(self, at_ms: int | None, page_ms: int | None) -> When | None:
        """`at_ms` in words, or None."""
        return None if at_ms is None else self.when(at_ms, page_ms)

    def stamp(self, at_ms: int) -> str:
        """Date and time: "2026-05-12 14:07:31"."""
        return self.local(at_ms).strftime("%Y-%m-%d %H:%M:%S")

    def day_and_time(self, at_ms: int) -> str:
        """In full: "Friday 1 May 2026, 09:30"."""
        return with_weekday(self.local(at_ms), self.date_and_time(at_ms))

    def date_and_time(self, at_ms: int) -> str:
        """Without the day of the week: "1 May 2026, 09:30"."""
        at = self.local(at_ms)
        seconds = ":%S" if at.second else ""
        return date_and_time(at, at.strftime("%H:%M" + seconds))

    def day(self, at_ms: int) -> str:
        """The day in full: "Friday 1 May 2026"."""
        at = self.local(at_ms)
        return with_weekday(at, date(at))

    def name(self, at_ms: int) -> str:
        """The zone's offset at `at_ms`: "UTC+02:00"."""
        return _zone(self.local(at_ms))


def _short(at: datetime, page: datetime) -> str:
    if at.date() == page.date():
        return at.strftime("%H:%M")
    if at.year == page.year:
        return month_day(at)
    return date(at)


def _zone(at: datetime) -> str:
    minutes = round((at.utcoffset() or at - at).total_seconds() / 60)
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours:02d}:{rest:02d}"


def month_day(at: datetime) -> str:
    """Day and month: "12 May"."""
    return date(at, year=False)


def since_text(when: When | None) -> str:
    """What stands small beside a state that holds since then; "" where that is not known."""
    return "" if when is None else gettext("since %(time)s", time=when.short)
