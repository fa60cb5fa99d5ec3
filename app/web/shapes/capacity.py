"""The shapes of the capacity review; what is told just as it was judged has its shape from
app/capacity.
"""

from typing import Annotated, TypedDict

from msgspec import Meta

from app.capacity.losses import Loss
from app.capacity.overcommit import Promises
from app.capacity.placement import Reason as PlaceReason
from app.capacity.placement import Verdict as PlaceVerdict
from app.capacity.reclaim import FindingKind, Freed
from app.capacity.report import Promised
from app.web.shapes.common import Counted, Scans, Shape, Share, Time

Day = Annotated[str, Meta(extra_json_schema={"format": "date"})]
_PeriodFrom = TypedDict("_PeriodFrom", {"from": Day})


class Period(_PeriodFrom):
    """The days that are told of, the last one included; `cut` where more was asked for."""

    to: Day
    cut: list[str]


class Band(Shape):
    """What is likely at the end of a day, and within what it stays with 50 % and 80 %."""

    day: Day
    likely: float
    low_50: float
    high_50: float
    low_80: float
    high_80: float


class Step(Shape):
    """A change that is no part of the trend."""

    day: Day
    size: float


class Forecast(Shape):
    """How it goes on; `days_seen` is from how many days."""

    days_seen: int
    per_day: float
    weekly: bool
    steps: list[Step]
    bands: list[Band]


class Quality(Shape):
    """How good the forecast of a month ago was: which shares of the days came within the bands,
    and the mean errors, as shares of the capacity, of it and of two simple guesses.
    """

    days: int
    within_50: Share
    within_80: Share
    error: float
    error_last_value: float
    error_line: float


class Outlook(Shape):
    """A storage (one or several pools), a host's memory or CPUs (p95 of a day), or, without a
    host, all storages. Bytes, of CPUs shares. Without a forecast `refusal` says why.
    """

    what: Annotated[str, Meta(extra_json_schema={"enum": ["storage", "memory", "cpu"]})]
    host: str | None
    pool: str | None
    names: list[str]
    known: bool
    value: float | None
    limit: float | None
    full_at: Time | None
    full_early_at: Time | None
    full_late_at: Time | None
    forecast: Forecast | None
    refusal: str | None
    last_month: Quality | None


class Overcommit(Promises, frozen=True):
    """What a host promised to its domains beside what it has, and what was used in the period.

    Ratios are null where either side is not known; `defined_…` counts the domains that are off as
    well.
    """

    seen_at: Time | None


class Dismissed(Shape):
    """Who dismissed a finding, when and why."""

    at: Time
    who: str
    note: str


class Finding(Shape):
    """Something that could be taken back, and what that would free."""

    kind: FindingKind
    host: str
    key: str
    subject: str
    known: bool
    seen_at: Time
    since: Time | None
    frees_vcpus: int | None
    frees_memory_bytes: int | None
    frees_disk_bytes: int | None
    vcpus: int | None
    memory_bytes: int | None
    peak_vcpus: float | None
    peak_memory_bytes: float | None
    enough_vcpus: int | None
    enough_memory_bytes: int | None
    facts_digest: str
    dismissed: Dismissed | None


class FindingDismissed(Shape):
    """The finding, dismissed."""

    item: Finding


class FindingUndone(Shape):
    """The finding that counts again; null where there is none any more."""

    item: Finding | None


class Growth(Shape):
    """What a group grew by in a month ("2026-05"; "" the whole period); `partial`: that time is not
    over, or was not seen whole.
    """

    period: str
    group: str
    partial: bool
    created: int
    deleted: int
    resized: int
    moved_here: int
    moved_away: int
    vcpus: int
    memory_bytes: int
    volumes_created: int
    volumes_deleted: int
    promised_bytes: int
    unknown: int
    allocated_bytes: float | None


class Compared(Shape):
    """A group in two periods; `period` is empty in both. `first` is null in a report where nothing
    is known of the month before.
    """

    group: str
    first: Growth | None
    second: Growth


class Comparison(Shape):
    """What grew in the period of the review (the second) beside another one (the first)."""

    period: Period
    groups: list[Compared]


class Fit(Shape):
    """One host and pool for the wished domain, and what would be left after one of them."""

    host: str
    pool: str
    pool_uuid: str
    verdict: PlaceVerdict
    reasons: list[PlaceReason]
    room: int
    limited_by: str
    vcpus_per_cpu: float | None
    memory_ratio: float | None
    memory_left_bytes: int | None
    disk_left_bytes: int | None
    pool_share_before: float | None
    pool_share_after: float | None
    full_before_at: Time | None
    full_after_at: Time | None
    placed: int


class Wish(Shape):
    """What each new domain is to have."""

    vcpus: int
    memory_bytes: int
    disk_bytes: int
    count: int


class Placement(Shape):
    """Every host and pool, the best first; `placed` of the wished count found a place."""

    wish: Wish
    fits: list[Fit]
    placed: int


class Review(Scans):
    """The capacity review as of a moment."""

    at: Time
    history_from: Day | None
    period: Period
    outlook: list[Outlook]
    overcommit: list[Overcommit]
    reclaim: list[Finding]
    freed: Freed
    growth: list[Growth]
    comparison: Comparison | None
    losses: list[Loss]
    placement: Placement | None


class KeptReport(Shape):
    """A report that is kept: of which month ("2026-10"), as known when, and made when."""

    month: str
    at: Time
    made_at: Time


class KeptReports(Counted):
    """The reports that are kept, the newest month first; `counts` is empty, they have no states."""

    items: list[KeptReport]


class Foreseen(Shape):
    """How full a storage, or a host's memory or CPUs, was at the month's end, how it goes on, and
    when it is full; without a forecast `refusal` says why.
    """

    what: Annotated[str, Meta(extra_json_schema={"enum": ["storage", "memory", "cpu"]})]
    host: str | None
    names: list[str]
    known: bool
    value: float | None
    limit: float | None
    per_day: float | None
    furthest_days: int | None
    full_at: Time | None
    refusal: str | None


class Report(KeptReport):
    """The capacity report of a month, as it was made; `growth` is of the fleet ("") and each host,
    beside the month before where that is known.
    """

    period: Period
    month_before: Period | None
    hosts: int
    not_judged: list[str]
    domains: int
    running: int
    foreseen: list[Foreseen]
    promised: list[Promised]
    reclaim: list[Finding]
    freed: Freed
    growth: list[Compared]
    losses: list[Loss]
