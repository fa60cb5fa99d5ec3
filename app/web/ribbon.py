"""The ribbon: the last 24 hours of changes, failed scans and gaps, as numbers for an SVG.

Makes no markup; positions are percentages, because no attribute but SVG's own may size anything.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

from app.store.engine import Store
from app.store.history import Density, Fleet, change_density
from app.web.moment import Moment
from app.web.when import Zone, month_day

BUCKET_MS = 600_000
BUCKETS = 144
_SPAN_MS = BUCKET_MS * BUCKETS
_HEIGHT = 22.0
# The bars follow the newest scan within this time.
_FRESH_MS = 15_000


class Bar(NamedTuple):
    """One bar of changes; `css` is "ev" for many, "bad" for a failed scan."""

    x: str
    y: str
    height: str
    css: str


class Gap(NamedTuple):
    """A stretch in which no host was scanned, in percent."""

    x: str
    width: str


class Label(NamedTuple):
    """An hour or a day under the track."""

    x: str
    text: str
    css: str


def draw_ribbon(
    store: Store, fleet: Fleet, at: Moment, now_ms: int, zone: Zone, scope: frozenset[int] | None
) -> dict[str, object]:
    """The context of ribbon.html for the 24 hours before `now_ms`, of the hosts in `scope`."""
    end_ms = (now_ms // BUCKET_MS + 1) * BUCKET_MS
    start_ms = end_ms - _SPAN_MS
    density = _density(store, start_ms, end_ms, scope, (fleet.as_of_ms or 0) // _FRESH_MS)
    past_end = (now_ms - start_ms) // BUCKET_MS
    changes = [bucket.changes for bucket in density]
    failed = [bucket.failed for bucket in density]
    gaps = [bucket.gap and position < past_end for position, bucket in enumerate(density)]
    return {
        "bars": _bars(changes, failed),
        "gaps": _gaps(gaps),
        "labels": _labels(start_ms, end_ms, zone),
        "knob": _percent((now_ms - start_ms) / _SPAN_MS) if at.past else "100",
        "scanned": zone.maybe(fleet.as_of_ms, now_ms),
        "moment_text": zone.day_and_time(now_ms) if at.past else "",
        "zone_text": zone.name(now_ms),
        "host_count": len(fleet.hosts),
        "answering": sum(host.status.known for host in fleet.hosts),
    }


@lru_cache(maxsize=8)
def _density(
    store: Store, start_ms: int, end_ms: int, scope: frozenset[int] | None, _quarter: int
) -> list[Density]:
    """A day of scans is much to count; a few seconds more or less show in no bar."""
    return change_density(store, start_ms, end_ms, BUCKETS, scope)


def _bars(changes: Sequence[int], failed: Sequence[int]) -> list[Bar]:
    most = max(max(changes, default=0), 4)
    bars = []
    for position, (count, failures) in enumerate(zip(changes, failed, strict=True)):
        if not count and not failures:
            continue
        height = _HEIGHT if failures else max(2.0, _HEIGHT * count / most)
        css = "bad" if failures else "ev" if count > most / 3 else ""
        bars.append(
            Bar(_percent(position / BUCKETS), f"{_HEIGHT - height + 3:.1f}", f"{height:.1f}", css)
        )
    return bars


def _gaps(gaps: Sequence[bool]) -> list[Gap]:
    found = []
    start: int | None = None
    for position, gap in enumerate([*gaps, False]):
        if gap and start is None:
            start = position
        elif not gap and start is not None:
            width = _percent((position - start) / BUCKETS)
            found.append(Gap(_percent(start / BUCKETS), width))
            start = None
    return found


def _labels(start_ms: int, end_ms: int, zone: Zone) -> list[Label]:
    """Every second full hour; midnight carries its day, every third label stays on a phone."""
    labels = []
    at = zone.local(start_ms).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    while (at_ms := round(at.timestamp() * 1000)) < end_ms - 2 * BUCKET_MS:
        if at.hour % 2 == 0 and at_ms > start_ms + 2 * BUCKET_MS:
            css = "day" if at.hour == 0 else ""
            wide = "" if at.hour % 6 == 4 else "only-wide"
            text = month_day(at) if at.hour == 0 else at.strftime("%H:%M")
            labels.append(
                Label(_percent((at_ms - start_ms) / _SPAN_MS), text, f"{css} {wide}".strip())
            )
        at += timedelta(hours=1)
    return labels


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".")
