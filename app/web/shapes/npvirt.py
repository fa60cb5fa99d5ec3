"""The shapes of what npvirt tells of itself: its health, its store, its audit."""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

from app.collect.process import ProcessFigures
from app.inventory import Missing
from app.store.audit import OUTCOMES
from app.store.scan_figures import ScanFigures
from app.web.shapes.common import Page, Shape, Time
from app.web.shapes.fleet import Condition
from app.web.streams import StreamCounts

Outcome = Annotated[str, Meta(extra_json_schema={"enum": list(OUTCOMES)})]


# --- audit ---------------------------------------------------------------------------------------


class AuditRecord(Shape):
    """Who asked for what, and what came of it; `outcome` null: it goes on."""

    id: int
    at: Time
    who: str
    role: str
    peer: str | None
    action: str
    kind: str
    host: str | None
    key: str | None
    name: str | None
    parameters: dict[str, Any]
    outcome: Outcome | None
    sentence: str | None
    took_ms: int | None
    ended_at: Time | None
    request_id: str | None
    # libvirt's own words: for admins.
    detail: NotRequired[str | None]


class AuditPage(Page):
    """Records of the audit, newest first; `counts` by outcome, whichever was asked for."""

    items: list[AuditRecord]


# --- health --------------------------------------------------------------------------------------


class Collector(Shape):
    """Which process scans."""

    this_process: bool
    pid: int
    machine: str
    since: Time
    tick_age_seconds: float | None
    late: bool


class Scheduler(Shape):
    """The schedule of this process."""

    ok: bool
    sentence: str
    tick_seconds: float
    tick_age_seconds: float | None
    ticks: int
    missed_ticks: int
    late_seconds: float | None
    latest_seconds: float | None
    replaced: int


class Step(Shape):
    """A step of the wall clock."""

    at: Time
    by_seconds: float


class Clock(Shape):
    """Whether the wall clock has stepped since npvirt started."""

    steps: int
    last_step: Step | None


class Worker(Shape):
    """What scans a host."""

    looks: int
    looking_seconds: float | None
    late_seconds: float | None


class HostHealth(Shape):
    """How scanning a host goes."""

    host: str
    condition: Condition
    last_ok_at: Time | None
    last_try_at: Time | None
    next_try_at: Time | None
    failures_in_a_row: int | None
    problem: str | None
    took_ms: int | None
    calls: int | None
    missing: Sequence[Missing]
    worker: Worker | None
    worker_replaced: int
    last_day: ScanFigures


class LastTime(Shape):
    """When something was last done to the store, and whether it went well."""

    at: Time
    took_ms: int | None
    ok: bool
    sentence: str | None


class StoreHealth(Shape):
    """How the store does."""

    file_bytes: int | None
    wal_bytes: int | None
    disk_free_bytes: int | None
    compacted_at: Time | None
    retained_at: Time | None
    trouble: str | None
    verified: LastTime | None
    backup: LastTime | None
    dropped_scans: int
    dropped_samples: int


class LastDay(Shape):
    """How many messages ended in the last day, by outcome."""

    sent: int
    failed: int
    unknown: int


class TargetHealth(Shape):
    """Whether notifications reach a target; `sentence`: what came of the last try at what waits."""

    target: str
    enabled: bool
    waiting: int
    waiting_since: Time | None
    waiting_events: int
    sentence: str | None
    last_day: LastDay
    last_sent_at: Time | None
    last_failed_at: Time | None


class NotificationHealth(Shape):
    """How notifications go."""

    rules: int
    enabled_rules: int
    targets: list[TargetHealth]


class HealthReport(Shape):
    """npvirt's own health; `troubles` are sentences, and empty while all is well."""

    as_of: Time
    ok: bool
    troubles: Sequence[str]
    collector: Collector | None
    scheduler: Scheduler
    clock: Clock
    hosts: list[HostHealth]
    store: StoreHealth
    streams: StreamCounts
    process: ProcessFigures
    # For who sees all hosts; null for others.
    notifications: NotificationHealth | None


# --- store ---------------------------------------------------------------------------------------


class TierPart(Shape):
    """What one kind takes in a tier."""

    bytes: int
    bytes_per_object_and_day: float
    measured: bool


# The word is Python's own.
_From = TypedDict("_From", {"from": Time | None})


class Tier(_From):
    """What one tier holds, and would."""

    tier: str
    keep_seconds: int
    bytes: int
    kinds: dict[str, TierPart]
    estimate_bytes: int


class MetricCost(Shape):
    """What a series takes of a day of an object, by tier."""

    kind: str
    series: str
    metrics: list[str]
    bytes_per_object_and_day: dict[str, float]


class Estimate(Shape):
    """What the store would take, for that many objects and the lengths that were asked for."""

    objects: dict[str, int]
    bytes: int


class StoreHoldings(Shape):
    """What the store holds, and what other lengths of history would cost."""

    file_bytes: int
    free_bytes: int
    first_at: Time | None
    counts: dict[str, int]
    tiers: list[Tier]
    rest_bytes: int | None
    metrics: list[MetricCost]
    estimate: Estimate


class OpenApi(Shape):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    security: list[dict[str, Any]]
    tags: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, Any]
