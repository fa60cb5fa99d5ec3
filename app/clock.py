"""The only reader of the clock.

Wall-clock times are integer milliseconds since 1970 UTC and serve as labels only; intervals and
deadlines use `monotonic_s`. Everybody else is handed a time. How long a minute, an hour and a day
are stands here, too.
"""

import time
from datetime import UTC, datetime

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def now_ms() -> int:
    """The wall clock, in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Seconds on a clock that never steps; only differences mean something."""
    return time.monotonic()


def took_ms(since_s: float) -> int:
    """Whole milliseconds since `since_s`, a value of `monotonic_s`."""
    return round((time.monotonic() - since_s) * 1000)


def utc(at_ms: int) -> datetime:
    """`at_ms` as an aware datetime in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)


def rfc3339(at_ms: int) -> str:
    """`at_ms` as RFC 3339 in UTC with `Z`; milliseconds only where there are any."""
    whole, rest = divmod(at_ms, 1000)
    text = datetime.fromtimestamp(whole, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:03d}Z" if rest else f"{text}Z"
