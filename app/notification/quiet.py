"""Quiet hours: whether it is quiet, and when that ends, by the clock on the wall. Pure.

A wall clock skips an hour in spring and shows one twice in autumn. Quiet is what it shows: an end
within the skipped hour is at the skip, and an hour that is shown twice is quiet twice.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.clock import MINUTE_MS, utc
from app.notification.values import QuietHours

# No quiet hours are longer than a day, and no day is longer than this.
_MOST_MINUTES = 26 * 60


def is_quiet(hours: QuietHours, at_ms: int) -> bool:
    """Whether it is quiet at a moment."""
    return _shown(hours, utc(at_ms).astimezone(ZoneInfo(hours.zone)))


def quiet_until(hours: QuietHours | None, at_ms: int) -> int:
    """When something of `at_ms` may be told, in milliseconds since 1970: then, or when the quiet
    hours that it falls into end.
    """
    if hours is None or not is_quiet(hours, at_ms):
        return at_ms
    zone = ZoneInfo(hours.zone)
    # Zones are offset by whole minutes, and change at them.
    minute = utc(at_ms - at_ms % MINUTE_MS)
    for later in range(1, _MOST_MINUTES):
        then = minute + timedelta(minutes=later)
        if not _shown(hours, then.astimezone(zone)):
            return round(then.timestamp() * 1000)
    return at_ms


def _shown(hours: QuietHours, local: datetime) -> bool:
    minute = local.hour * 60 + local.minute
    if hours.from_minute <= hours.to_minute:
        return hours.from_minute <= minute < hours.to_minute
    return minute >= hours.from_minute or minute < hours.to_minute
