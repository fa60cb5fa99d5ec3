"""The ribbon: changes, troubles and gaps of a stretch of time, as numbers for an SVG, and the
ways from the moment shown to others.

Makes no markup; positions are percentages or parts of a thousand, because no attribute but SVG's
own may size anything. The axis is of seconds since 1970; only its labels know of a zone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from app.clock import DAY_MS, HOUR_MS, rfc3339
from app.errors import InvalidField
from app.store.changes import step
from app.store.density import Density, density
from app.store.engine import Store
from app.store.history import Fleet
from app.web.moment import Moment
from app.web.when import Zone, month_day

BUCKETS = 144
_HEIGHT = 22.0
# A change shows within this time.
_FRESH_MS = 15_000
# A look that is late by so many intervals is a gap.
_MISSED = 4


class Span(NamedTuple):
    """How much time the ribbon shows; `step_s` is what one press of an arrow key moves."""

    name: str
    label: str
    days: int
    step_s: int

    @property
    def ms(self) -> int:
        """Its length."""
        return self.days * DAY_MS

    @property
    def bucket_ms(self) -> int:
        """The length of one of its buckets."""
        return self.ms // BUCKETS


SPANS: Mapping[str, Span] = {
    span.name: span
    for span in (
        Span("day", "Day", 1, 300), Span("week", "Week", 7, 1800), Span("6w", "6 weeks", 42, 10800)
    )
}  # fmt: skip


class Label(NamedTuple):
    """An hour or a day under the track."""

    x: str
    text: str
    css: str


class Asked(NamedTuple):
    """What the ribbon is drawn for: the moment, the span (None: the shortest that reaches from
    now to the moment), the present, and how often hosts are looked at.
    """

    at: Moment
    span: Span | None
    now_ms: int
    interval_ms: int


def check_span(text: str | None) -> None:
    """Refuse a span that the ribbon cannot show; raises InvalidField."""
    if text and text not in SPANS:
        raise InvalidField("span", f"The ribbon shows one of: {', '.join(SPANS)}.")


def draw_ribbon(
    store: Store, fleet: Fleet, asked: Asked, zone: Zone, scope: frozenset[int] | None
) -> dict[str, object]:
    """The context of ribbon.html: what `fleet`, of the moment asked for, stands in."""
    at_ms, now_ms = asked.at.at_ms, asked.now_ms
    span = asked.span or _fitting(at_ms, now_ms)
    start_ms, end_ms = window(span, at_ms, now_ms)
    longest_ms = max(span.ms // (2 * BUCKETS), _MISSED * asked.interval_ms)
    # The longer the buckets, the less does a new look show in one.
    fresh_ms = max(_FRESH_MS, span.bucket_ms // 40)
    fresh = (now_ms if asked.at.past else fleet.as_of_ms or 0) // fresh_ms
    until_ms = now_ms // fresh_ms * fresh_ms
    found = _density(store, start_ms, end_ms, longest_ms, until_ms, scope, fresh)
    knob_ms = now_ms if at_ms is None else at_ms
    before = step(store, knob_ms, "previous", scope)
    after = None if at_ms is None else step(store, at_ms, "next", scope)
    return {
        "ticks": ticks(found, start_ms, span.bucket_ms, now_ms),
        "gaps": [
            (_percent((a - start_ms) / span.ms), _percent((b - a) / span.ms)) for a, b in found.gaps
        ],
        "labels": list(labels(start_ms, end_ms, now_ms, span, zone)),
        "start_s": start_ms // 1000,
        "end_s": end_ms // 1000,
        "now_s": now_ms // 1000,
        "knob_s": knob_ms // 1000,
        "span": span,
        "spans": tuple(SPANS.values()),
        "chosen_span": asked.span,
        "offsets": " ".join(_offsets(start_ms, end_ms, zone)),
        "before": _way(before, zone),
        "after": _way(after, zone),
        "scanned": zone.maybe(fleet.as_of_ms, knob_ms),
        "scan_text": _scan_text(fleet.as_of_ms, knob_ms, zone),
        "shown": zone.when(knob_ms, knob_ms),
        "moment_text": zone.day_and_time(knob_ms),
        "typed": zone.local(knob_ms).strftime("%Y-%m-%d %H:%M"),
        "zone_text": zone.name(knob_ms),
        "host_count": len(fleet.hosts),
        "answering": sum(host.status.known for host in fleet.hosts),
    }


def _scan_text(scan_ms: int | None, page_ms: int, zone: Zone) -> str:
    """When the newest scan was: its time, and its day where that is another."""
    if scan_ms is None:
        return ""
    at = zone.when(scan_ms, page_ms)
    return (
        at.clock
        if zone.local(scan_ms).date() == zone.local(page_ms).date()
        else (f"{at.short}, {at.clock}")
    )


def window(span: Span, at_ms: int | None, now_ms: int) -> tuple[int, int]:
    """From when to when the ribbon reaches. It ends now as long as the moment is well within;
    further back it moves by half its length, so that it stays where it is while one looks around.
    """
    end_ms = (now_ms // span.bucket_ms + 1) * span.bucket_ms
    if at_ms is not None and at_ms < end_ms - span.ms * 9 // 10:
        half = span.ms // 2
        end_ms -= max(1, round((end_ms - at_ms - half) / half)) * half
    return end_ms - span.ms, end_ms


def _fitting(at_ms: int | None, now_ms: int) -> Span:
    age_ms = 0 if at_ms is None else now_ms - at_ms
    return next((span for span in SPANS.values() if age_ms < span.ms * 9 // 10), SPANS["6w"])


@lru_cache(maxsize=32)
def _density(
    store: Store,
    start_ms: int,
    end_ms: int,
    longest_ms: int,
    until_ms: int,
    scope: frozenset[int] | None,
    _fresh: int,
) -> Density:
    """A few seconds more or less show in no bar."""
    return density(
        store, start_ms, end_ms, BUCKETS, longest_ms=longest_ms, until_ms=until_ms,
        host_ids=scope,
    )  # fmt: skip


def ticks(found: Density, start_ms: int, bucket_ms: int, now_ms: int) -> list[tuple[str, str]]:
    """Class and path of the bars, on a canvas 1000 wide: what was looked at and stayed the same
    has a small one, trouble ("bad") a full one.
    """
    most = _most(found.changes)
    paths: dict[str, list[str]] = {"still": [], "": [], "ev": [], "bad": []}
    for place, (changes, troubles) in enumerate(zip(found.changes, found.troubles, strict=True)):
        middle_ms = start_ms + place * bucket_ms + bucket_ms // 2
        if troubles:
            height, css = _HEIGHT, "bad"
        elif changes:
            height = max(5.0, _HEIGHT * math.sqrt(min(1.0, changes / most)))
            css = "ev" if changes > most / 3 else ""
        elif middle_ms > now_ms or any(a <= middle_ms < b for a, b in found.gaps):
            continue
        else:
            height, css = 2.0, "still"
        x = place * 1000 / BUCKETS
        paths[css].append(f"M{x:.0f} {_HEIGHT - height:.0f}h4v{height:.0f}h-4z")
    return [(css, "".join(parts)) for css, parts in paths.items() if parts]


def _most(changes: Sequence[int]) -> int:
    """What a full bar stands for: not the one day on which everything was new."""
    busy = sorted(count for count in changes if count)
    return max(busy[len(busy) * 9 // 10] if busy else 0, 4)


def _way(at_ms: int | None, zone: Zone) -> tuple[str, str] | None:
    """Where a step leads: the moment as `at` takes it, and in words."""
    if at_ms is None:
        return None
    at = zone.local(at_ms)
    return rfc3339(at_ms), f"{month_day(at)} {at.strftime('%H:%M')}"


def _offsets(start_ms: int, end_ms: int, zone: Zone) -> Iterator[str]:
    """The zone's offsets in minutes with the second from which each holds, for the browser."""
    before: float | None = None
    for at_ms in range(start_ms, end_ms, HOUR_MS):
        offset = zone.local(at_ms).utcoffset() or timedelta()
        if offset.total_seconds() != before:
            before = offset.total_seconds()
            yield f"{at_ms // 1000}:{before / 60:.0f}"


def labels(start_ms: int, end_ms: int, now_ms: int, span: Span, zone: Zone) -> Iterator[Label]:
    """The labels of the axis, in the zone; none twice where clocks go back."""
    edge_ms = span.ms // 50
    last_text = ""
    hourly = span.days == 1
    marks = _hours(start_ms, end_ms, zone) if hourly else _days(start_ms, span, zone)
    for at, css in marks:
        at_ms = round(at.timestamp() * 1000)
        text = at.strftime("%H:%M") if hourly and at.hour else month_day(at)
        # Where clocks go back an hour is there twice; its label is not.
        if start_ms + edge_ms < at_ms < end_ms - 2 * edge_ms and text != last_text:
            last_text = text
            yield Label(_percent((at_ms - start_ms) / span.ms), text, css)
    if span.days > 1 and end_ms > now_ms:
        yield Label(_percent((now_ms - start_ms) / span.ms), "now", "end")


def _hours(start_ms: int, end_ms: int, zone: Zone) -> Iterator[tuple[datetime, str]]:
    """Every second full hour; midnight is the day, every third label stays on a phone."""
    quarter_ms = 900_000
    for at_ms in range(-(-start_ms // quarter_ms) * quarter_ms, end_ms, quarter_ms):
        at = zone.local(at_ms)
        if at.minute == 0 and at.hour % 2 == 0:
            yield at, "day" if at.hour == 0 else "" if at.hour % 6 == 0 else "only-wide"


def _days(start_ms: int, span: Span, zone: Zone) -> Iterator[tuple[datetime, str]]:
    """Every day of a week, else every Monday; the first of a month's is bold."""
    day = zone.local(start_ms).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    month = day.month
    for number in range(span.days + 2):
        at = zone.local(zone.at(day + timedelta(days=number)))
        if span.days > 7 and at.weekday() != 0:
            continue
        css = "day" if at.month != month else "only-wide" if number % 2 else ""
        month = at.month
        yield at, css


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".")
