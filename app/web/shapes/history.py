"""The shapes of what happened: changes, scans, comparisons, and series of what was measured."""

from collections.abc import Sequence
from typing import Annotated, TypedDict

from msgspec import Meta

from app.inventory import Missing
from app.store.scan_list import ScanOutcome
from app.web.change_words import KINDS, WHATS
from app.web.comparing import WHATS as FATES
from app.web.shapes.common import Page, Scans, Shape, Time

Seconds = Annotated[float, Meta(description="Epoch seconds.")]
Column = list[float | None]


class Change(Shape):
    """One change. The scan of `at` told it and the one of `after` did not yet."""

    id: int
    at: Time
    after: Time | None
    host: str | None
    kind: Annotated[str, Meta(extra_json_schema={"enum": list(KINDS)})]
    key: str
    name: str
    what: Annotated[str, Meta(extra_json_schema={"enum": list(WHATS)})]
    part: str | None
    old: str | None
    new: str | None
    text: str
    by: Annotated[str, Meta(extra_json_schema={"enum": ["npvirt", "outside", "scan"]})]
    who: str | None
    audit_id: int | None
    url: str | None
    xml_url: str | None


class ChangePage(Page):
    """Changes, newest first; `counts` by `what`, whatever `what` was asked for."""

    items: list[Change]


class Xml(Shape):
    """A definition, as it was used and as it was saved."""

    live_xml: str | None
    inactive_xml: str | None


class ChangeAlone(Change, Scans):
    """A change with the definition before and after it; null where none came with it."""

    xml_before: Xml | None
    xml_after: Xml | None


# --- scans ---------------------------------------------------------------------------------------


class ScanItem(Shape):
    """One scan of a host; `partial`: it was good but lacks a part. `calls` are those to libvirt,
    null where nobody counted them; `interval_ms` is when the next one was planned.
    """

    host: str
    at: Time
    outcome: ScanOutcome
    took_ms: int
    calls: int | None
    changes: int
    problem: str | None
    sentence: str | None
    missing: Sequence[Missing]
    clock_stepped: bool
    interval_ms: int


class ScanPage(Page):
    """Scans, newest first; `counts` by outcome, whichever was asked for."""

    items: list[ScanItem]


# The word is Python's own.
_GapFrom = TypedDict("_GapFrom", {"from": Time})


class GapItem(_GapFrom):
    """A stretch in which nobody looked at a host, or it did not answer; `failed_scans`: so many
    looked in vain. `to` and `duration_ms` null: it goes on, or reaches beyond the end asked for.
    """

    host: str
    to: Time | None
    duration_ms: int | None
    failed_scans: int


class GapPage(Page):
    """Gaps, newest first; `counts` by host."""

    items: list[GapItem]


# --- compare -------------------------------------------------------------------------------------


class Side(Shape):
    """Where an object was and in which state, at one of the two moments."""

    host: str
    state: str | None


class Difference(Shape):
    """One field that differs."""

    what: str
    field: str | None
    part: str | None
    old: str | None
    new: str | None


class ComparedItem(Shape):
    """An object that differs; `then` or `now` is null where it was not there."""

    kind: str
    host: str
    key: str
    name: str
    what: Annotated[str, Meta(extra_json_schema={"enum": list(FATES)})]
    then: Side | None
    now: Side | None
    differences: list[Difference]


# The words are Python's own.
_With = TypedDict("_With", {"with": Time | None})
_From = TypedDict("_From", {"from": Seconds})


class Compared(_With):
    """What differs between two moments; `with` null is the present."""

    at: Time
    as_of: list[Time | None]
    counts: dict[str, dict[str, int]]
    items: list[ComparedItem]


# --- series --------------------------------------------------------------------------------------


class _Columns(Shape):
    avg: Column
    min: Column | None
    max: Column | None


class Line(_Columns):
    """One metric's columns, beside those of `t`."""

    metric: str
    label: str
    unit: str


class _Stretch(_Columns, _From):
    t: list[Seconds]
    to: Seconds
    step_seconds: float
    tier: Annotated[str, Meta(extra_json_schema={"enum": ["raw", "1m", "10m", "1h", "1d"]})]
    # Stretches in which nobody looked or the host did not answer, as [from, to].
    gaps: list[list[Seconds]]
    as_of: Time


class ObjectSeries(_Stretch):
    """What was measured of one object, in columns; null where nothing was seen."""

    series: list[Line]


class StackLine(Line):
    """What one VM took, or all others together (`key` "others")."""

    key: str


class Stack(_Stretch):
    """What the VMs of a host took of one resource, in columns."""

    series: list[StackLine]


class FleetLine(Line):
    """A sum over the fleet; `avg_counted` is that of the hosts that were seen."""

    avg_counted: Column


class FleetSeries(_Stretch):
    """The sums over all hosts that one may see, in columns."""

    series: list[FleetLine]
    hosts_counted: list[int]
    hosts_known: list[int]
    hosts_total: int
    # Stretches in which some were not seen, as [from, to, counted, known].
    partial: list[list[float]]
