"""The moment that a page is drawn for: `?at=` read in one place.

Pure: is handed the time. No `at` means now, and only then does a page refresh itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from app.clock import rfc3339
from app.errors import InvalidField
from app.language import N_, gettext
from app.moments import RFC3339, parse_moment
from app.web.when import Zone

_TYPED = re.compile(
    r"(?:(\d{4})-(\d\d?)-(\d\d?))?(?:(?(1)[ T]+)(\d\d?):(\d\d)(?::(\d\d))?)?", re.ASCII
)
_HOW_TYPED = N_("Write date and time as 2026-05-01 09:30, the date alone, or the time alone.")


@dataclass(frozen=True)
class Moment:
    """`at_ms` None is now; otherwise milliseconds since 1970 UTC."""

    at_ms: int | None = None

    @property
    def past(self) -> bool:
        """Whether a moment was asked for."""
        return self.at_ms is not None

    @property
    def text(self) -> str:
        """The moment as `at` takes it; empty for now."""
        return "" if self.at_ms is None else rfc3339(self.at_ms)

    @property
    def query(self) -> str:
        """What a link appends that has no other parameter: "?at=…" or nothing."""
        return f"?at={self.text}" if self.past else ""

    @property
    def also(self) -> str:
        """What a link appends after other parameters: "&at=…" or nothing."""
        return f"&at={self.text}" if self.past else ""

    def of(self, page: str) -> str:
        """The address of `page` at this moment."""
        return f"{page}{self.also if '?' in page else self.query}"


LIVE = Moment()


def moment(arguments: Mapping[str, str], now_ms: int) -> Moment:
    """The moment that the query string asks for; raises InvalidField naming `at`."""
    text = arguments.get("at")
    if text is None:
        return LIVE
    at_ms = parse_moment("at", text)
    if at_ms > now_ms:
        raise InvalidField(
            "at", gettext("The moment lies in the future; nothing has been seen there yet.")
        )
    return Moment(at_ms)


def typed_moment(text: str, zone: Zone, now_ms: int) -> Moment:
    """The moment that a person typed: date and time of `zone` ("2026-05-01 09:30"), a date alone
    (its beginning), a time alone (when clocks last showed it), or what `at` takes.

    Raises InvalidField naming `time`.
    """
    text = text.strip()
    at_ms = parse_moment("time", text) if RFC3339.fullmatch(text) else _typed(text, zone, now_ms)
    if at_ms > now_ms:
        raise InvalidField(
            "time", gettext("This lies in the future; nothing has been seen there yet.")
        )
    if at_ms < 0:
        raise InvalidField("time", gettext(_HOW_TYPED))
    return Moment(at_ms)


def _typed(text: str, zone: Zone, now_ms: int) -> int:
    found = _TYPED.fullmatch(text)
    if not text or found is None:
        raise InvalidField("time", gettext(_HOW_TYPED))
    date, clock = found.groups()[:3], [int(part or 0) for part in found.groups()[3:]]
    try:
        local = zone.local(now_ms).replace(tzinfo=None)
        if date[0] is not None:
            # Month and day at once: not every day is one of the present month.
            year, month, day = map(int, date)
            local = local.replace(year=year, month=month, day=day)
        local = local.replace(hour=clock[0], minute=clock[1], second=clock[2], microsecond=0)
        at_ms = zone.at(local)
        if date[0] is None and at_ms > now_ms:
            local -= timedelta(days=1)
            at_ms = zone.at(local)
    except (ValueError, OverflowError):
        raise InvalidField(
            "time",
            gettext(
                "%(sentence)s %(next)s",
                sentence=gettext("There is no such date or time."), next=gettext(_HOW_TYPED),
            ),
        ) from None  # fmt: skip
    if zone.local(at_ms).replace(tzinfo=None) != local:
        raise InvalidField("time", gettext("Clocks skipped this time when summer time began."))
    return at_ms
