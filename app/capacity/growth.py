"""How a fleet grew: per month, host, pool or owner, what was created, deleted, resized, allocated.

Pure. What a created or deleted domain had is known from the list of changes; what was allocated is
the difference of what the pools held at a month's ends, each storage once. None: not known.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from app.capacity.daily import Daily, bridged
from app.capacity.evidence import Event, Evidence
from app.capacity.owners import owner_of
from app.capacity.periods import Period, months
from app.capacity.storage import Storage, fleetwide, storages
from app.clock import DAY_MS

By = Literal["fleet", "host", "pool", "owner"]
# Domains of nobody who is told.
NOBODY = ""


class Growth(Struct, frozen=True):
    """What a group grew by in a month or a whole period ("": all of it). Counts are of domains,
    but for those of volumes; the rest is what was added, less what was taken away. `unknown` of
    what happened could not be counted. `partial`: that time is not over, or was not seen whole.
    """

    period: str
    group: str
    partial: bool
    created: int = 0
    deleted: int = 0
    resized: int = 0
    moved_here: int = 0
    moved_away: int = 0
    vcpus: int = 0
    memory_bytes: int = 0
    volumes_created: int = 0
    volumes_deleted: int = 0
    promised_bytes: int = 0
    unknown: int = 0
    allocated_bytes: float | None = None


class Compared(Struct, frozen=True):
    """A group in two periods; `first` is None where nothing is known of the first one."""

    group: str
    first: Growth | None
    second: Growth


def growth(
    evidence: Evidence, of: Period, by: By = "fleet", owner_pattern: str = ""
) -> list[Growth]:
    """Month by month, and in each by the group's name; months in which nothing happened too."""
    group_of = _grouping(by, owner_pattern)
    allocated = _allocations(evidence, by)
    found = []
    for name, first, end in months(of):
        begin, until = max(first, of.from_day), min(end, of.end_day)
        partial = (begin, until) != (first, end) or until > evidence.day
        part = Period(begin, until)
        found += _groups(evidence, part, by, group_of, allocated, (name, partial))
    return found


def over(evidence: Evidence, of: Period, by: By = "fleet", owner_pattern: str = "") -> list[Growth]:
    """The whole period at once."""
    return _groups(
        evidence, of, by, _grouping(by, owner_pattern), _allocations(evidence, by),
        ("", _partial(evidence, of)),
    )  # fmt: skip


def _partial(evidence: Evidence, of: Period) -> bool:
    return bool(of.cut) or of.end_day > evidence.day


def compared(
    evidence: Evidence, first: Period, second: Period, by: By = "fleet", owner_pattern: str = ""
) -> list[Compared]:
    """Two periods side by side."""
    sides = [
        (_partial(evidence, of), {one.group: one for one in over(evidence, of, by, owner_pattern)})
        for of in (first, second)
    ]
    groups = sorted({group for _, side in sides for group in side})
    return [
        Compared(group, *(side.get(group) or Growth("", group, partial) for partial, side in sides))
        for group in groups
    ]


def top(
    rows: Iterable[Growth],
    by: Literal["allocated_bytes", "promised_bytes", "memory_bytes", "vcpus", "created"],
    most: int = 10,
) -> list[Growth]:
    """Those that grew most by something, the first first; what shrank is not among them."""
    grown = [one for one in rows if (asdict(one)[by] or 0) > 0]
    return sorted(grown, key=lambda one: (-asdict(one)[by], one.group))[:most]


def _grouping(by: By, owner_pattern: str) -> Callable[[Event], str | None]:
    """Of what group an event tells; None: of none."""
    if by == "host":
        return lambda event: event.host
    if by == "pool":
        return lambda event: f"{event.host}/{event.pool}" if event.pool else None
    # What only moved made the fleet, or what an owner has, no larger.
    if by == "owner":
        return lambda event: (
            owner_of(owner_pattern, event.title, event.description) or NOBODY
            if event.kind == "domain" and not event.what.startswith("moved")
            else None
        )
    return lambda event: None if event.what.startswith("moved") else ""


def _groups(
    evidence: Evidence, of: Period, by: By, group_of: Callable[[Event], str | None],
    allocated: Sequence[tuple[str, Daily]], told: tuple[str, bool],
) -> list[Growth]:  # fmt: skip
    begin_ms, end_ms = of.from_day * DAY_MS, of.end_day * DAY_MS
    events: dict[str, list[Event]] = {group: [] for group, _ in allocated}
    if by == "fleet":
        events.setdefault("", [])
    elif by == "host":
        events.update({host.name: [] for host in evidence.hosts})
    for event in evidence.events:
        if begin_ms <= event.at_ms < end_ms:
            group = group_of(event)
            if group is not None:
                events.setdefault(group, []).append(event)
    grown: dict[str, list[float]] = {}
    for group, series in allocated:
        more = _more(series, of)
        if more is not None:
            grown.setdefault(group, []).append(more)
    return [
        _row(group, events[group], told, sum(grown[group]) if group in grown else None)
        for group in sorted(events)
    ]


def _row(
    group: str, events: Sequence[Event], told: tuple[str, bool], allocated: float | None
) -> Growth:
    domains = [event for event in events if event.kind == "domain"]
    volumes = [event for event in events if event.kind == "volume"]

    def count(some: Sequence[Event], what: str) -> int:
        return sum(event.what == what for event in some)

    return Growth(
        told[0], group, told[1],
        count(domains, "created"), count(domains, "deleted"), count(domains, "resized"),
        count(domains, "moved-here"), count(domains, "moved-away"),
        sum(event.vcpus or 0 for event in domains),
        sum(event.memory_bytes or 0 for event in domains),
        count(volumes, "created"), count(volumes, "deleted"),
        sum(event.capacity_bytes or 0 for event in volumes),
        sum(None in (e.vcpus, e.memory_bytes, e.capacity_bytes) for e in events), allocated,
    )  # fmt: skip


def _allocations(evidence: Evidence, by: By) -> list[tuple[str, Daily]]:
    """By group what was allocated each day; of several of one group they are added up."""
    if by == "owner":
        return []
    found = storages(evidence.pools)
    if by == "fleet":
        return [("", _with_now(evidence, fleetwide(found).allocation, found))]
    return [
        (
            one.pool.host if by == "host" else f"{one.pool.host}/{one.pool.name}",
            _with_now(evidence, one.pool.allocation, [one]),
        )
        for one in found
    ]


def _with_now(evidence: Evidence, series: Daily, found: Sequence[Storage]) -> Daily:
    """The series without its gaps and, for the day that is not over, what is allocated now."""
    kept = series.trimmed()
    known = [one.pool for one in found if one.pool.allocation_bytes is not None]
    is_known = bool(known) and all(pool.known for pool in known)
    if not kept.values or kept.end_day > evidence.day or not is_known:
        return Daily(kept.first_day, tuple(bridged(kept.values)))
    now = float(sum(pool.allocation_bytes or 0 for pool in known))
    # A day that is over counts only some time after midnight: until then it is a gap like others.
    unseen = (None,) * (evidence.day - kept.end_day)
    return Daily(kept.first_day, tuple(bridged((*kept.values, *unseen, now))))


def _more(series: Daily, of: Period) -> float | None:
    """By how much more is allocated at a period's end than at its beginning."""
    # The end of the day before is where it begins; what was not seen then tells nothing.
    begin, end = max(of.from_day - 1, series.first_day), min(of.end_day, series.end_day) - 1
    if end <= begin:
        return None
    before, after = series.at(begin), series.at(end)
    return None if before is None or after is None else after - before
