"""The only reader of the clock.

Wall-clock times are integer milliseconds since 1970 UTC and serve as labels only; intervals and
deadlines use `monotonic_s`. Everybody else is handed a time. Where the two come from can be
changed for a while (`injected`), so that what a stepping clock does can be seen without one. How
long a minute, an hour and a day are stands here, too.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# Two readings further apart were not taken together: the thread was put off in between.
_TOGETHER_S = 0.005
_ATTEMPTS = 5


class Clock(Protocol):
    """Where the times come from."""

    def now_ms(self) -> int:
        """The wall clock, in milliseconds since 1970 UTC."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never steps."""


class _System:
    """The clocks of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


_clock: Clock = _System()


@contextmanager
def injected(clock: Clock) -> Iterator[None]:
    """Have every time of this process come from `clock` meanwhile."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before


def now_ms() -> int:
    """The wall clock, in milliseconds since 1970 UTC."""
    return _clock.now_ms()


def monotonic_s() -> float:
    """Seconds on a clock that never steps; only differences mean something."""
    return _clock.monotonic_s()


def both() -> tuple[int, float]:
    """`now_ms` and `monotonic_s` of the same instant, or nearly so on a very busy machine."""
    for _ in range(_ATTEMPTS):
        before_s = _clock.monotonic_s()
        at_ms = _clock.now_ms()
        after_s = _clock.monotonic_s()
        if after_s - before_s < _TOGETHER_S:
            break
    return at_ms, after_s


def took_ms(since_s: float) -> int:
    """Whole milliseconds since `since_s`, a value of `monotonic_s`."""
    return round((_clock.monotonic_s() - since_s) * 1000)


def utc(at_ms: int) -> datetime:
    """`at_ms` as an aware datetime in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)


def rfc3339(at_ms: int) -> str:
    """`at_ms` as RFC 3339 in UTC with `Z`; milliseconds only where there are any."""
    whole, rest = divmod(at_ms, 1000)
    text = datetime.fromtimestamp(whole, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:03d}Z" if rest else f"{text}Z"
