"""The samples of one object as they were measured, read for roll-ups and charts.

Read only. Knows where an interval between two samples tells nothing: gaps, and domains that were
started anew.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from operator import gt
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.errors import StoreError
from app.inventory import KIND_BY_NAME, Device, Domain, Fact, Host, KindName
from app.metrics import Series, series_of
from app.store import schema
from app.store.looks import MISSED_TICKS
from app.store.rollup import Samples, usable_intervals

# What never falls while the same host or the same run of a domain counts.
CLOCK = {"host": "cpu_idle_ns", "domain": "cpu_time_ns"}


class Object(Struct, frozen=True):
    """An object whose samples are wanted."""

    entity_id: int
    host_id: int
    kind: KindName


class Since(Struct, frozen=True):
    """A fact of an object and the time from which it held."""

    from_ms: int
    fact: Fact


def facts_between(
    connection: sa.Connection, wanted: Object, from_ms: int, to_ms: int
) -> list[Since]:
    """What the object was, in the order of time; the first may hold since before `from_ms`."""
    return facts_of_many(connection, wanted.kind, [wanted.entity_id], from_ms, to_ms)[
        wanted.entity_id
    ]


def facts_of_many(
    connection: sa.Connection, kind: KindName, entity_ids: Sequence[int], from_ms: int, to_ms: int
) -> dict[int, list[Since]]:
    """What several objects of a kind were, by id; raises StoreError for a damaged revision."""
    table = schema.revision
    query = (
        sa.select(table.c.entity_id, table.c.valid_from_ms, table.c.body)
        .where(table.c.entity_id.in_(entity_ids), table.c.valid_from_ms < to_ms)
        # What ended right then is wanted, too: a domain may have been started anew at that time.
        .where(sa.or_(table.c.valid_to_ms.is_(None), table.c.valid_to_ms >= from_ms))
        .order_by(table.c.valid_from_ms)
    )
    fact = KIND_BY_NAME[kind].fact
    found: dict[int, list[Since]] = {entity_id: [] for entity_id in entity_ids}
    for row in connection.execute(query):
        try:
            decoded = msgspec.json.decode(row.body, type=fact)
        except msgspec.DecodeError as error:
            raise StoreError(f"A revision of the store is damaged: {error}.") from None
        found[row.entity_id].append(Since(row.valid_from_ms, decoded))
    return found


def cpus_of(fact: Fact) -> int | None:
    """How many CPUs a host or a domain has; None where that is unknown or no question."""
    if isinstance(fact, Host):
        return fact.cpus_online or fact.cpus
    return fact.vcpus if isinstance(fact, Domain) else None


def samples_between(
    connection: sa.Connection,
    wanted: Object,
    from_ms: int,
    to_ms: int,
    facts: Sequence[Since],
    names: frozenset[str] | None = None,
) -> Samples:
    """The samples from `from_ms` on and before `to_ms`, of the series `names` (None: all).

    One sample before `from_ms` is looked for, so that the first interval is known; it is to be
    skipped.
    """
    before_ms = _sample_before(connection, wanted.host_id, from_ms)
    asked = {"first": wanted.entity_id, "last": wanted.entity_id, "host": wanted.host_id}
    asked |= {"from": from_ms if before_ms is None else before_ms, "to": to_ms}
    rows = connection.execute(_query(wanted.kind), asked).all()
    return _samples(wanted.kind, rows, from_ms, facts, names, {})


def samples_of_many(
    connection: sa.Connection,
    host_id: int,
    kind: KindName,
    facts: Mapping[int, Sequence[Since]],
    from_ms: int,
    to_ms: int,
) -> dict[int, Samples]:
    """The samples of several objects of one host and kind, as `samples_between` gives those of
    one: by id, of those that were measured. `facts` says what each was. Series that were not
    measured are left out.
    """
    before_ms = _sample_before(connection, host_id, from_ms)
    asked = {"first": min(facts), "last": max(facts), "host": host_id, "to": to_ms}
    asked["from"] = from_ms if before_ms is None else before_ms
    # Past SQLAlchemy's rows: there are many, and nothing in them needs translating.
    cursor = connection.execute(_query(kind), asked).cursor
    assert cursor is not None
    found: dict[int, list[Any]] = {entity_id: [] for entity_id in facts}
    for row in cursor.fetchall():
        mine = found.get(row[1])
        if mine is not None:
            mine.append(row)
    known: _Intervals = {}
    made = {
        entity_id: _samples(kind, rows, from_ms, facts[entity_id], None, known)
        for entity_id, rows in found.items()
        if rows
    }
    for samples in made.values():
        samples.series = {
            name: (type_, values)
            for name, (type_, values) in samples.series.items()
            if values[0] is not None or values.count(None) < len(values)
        }
    return made


# What was found of intervals without restarts, by the times and the planned intervals.
_Intervals = dict[tuple[Sequence[int], Sequence[int]], list[int]]


def _samples(
    kind: KindName,
    rows: Sequence[Any],
    from_ms: int,
    facts: Sequence[Since],
    names: frozenset[str] | None,
    known: _Intervals,
) -> Samples:
    """From rows of time, object, planned interval and the measured columns, of one object."""
    series = [one for one in series_of(kind) if names is None or one.name in names]
    if not rows:
        return Samples([], [], {one.name: (one.type, []) for one in series})
    times, _, intervals, *columns = zip(*rows, strict=True)
    by_name = dict(zip(schema.sample_columns(KIND_BY_NAME[kind]), columns, strict=True))
    clock = CLOCK.get(kind)
    return Samples(
        times,
        _elapsed(times, intervals, facts, by_name[clock] if clock else (), known),
        {one.name: (one.type, _values(one, by_name)) for one in series},
        skip=int(times[0] < from_ms),
    )


def _elapsed(
    times: Sequence[int],
    intervals: Sequence[int],
    facts: Sequence[Since],
    clocks: Sequence[int | None],
    known: _Intervals,
) -> list[int]:
    """The usable intervals. Most objects of a host share the times, and nothing broke: then they
    share what is found, too.
    """
    restarts = _restarts(facts)
    broken = None in clocks or any(map(gt, clocks, clocks[1:]))  # type: ignore[arg-type]  # no None
    if restarts or broken:
        # What has no clock of its own is told by its domain's restarts alone.
        ticks = clocks or [None] * len(times)
        return usable_intervals(times, longest_between(intervals), restarts, ticks)
    key = (times, intervals)
    found = known.get(key)
    if found is None:
        nothing = [None] * len(times)
        found = known[key] = usable_intervals(times, longest_between(intervals), (), nothing)
    return found


def longest_between(intervals: Sequence[int]) -> list[int]:
    """How long before each scan the one before it can be without a gap, by the time that each
    of them planned to the next: that may have been made longer or shorter between the two. An
    interval below zero is one before whose scan the wall clock stepped: nothing is usable there.
    """
    return [
        0 if now < 0 else MISSED_TICKS * max(abs(before), now)
        for before, now in pairwise((0, *intervals))
    ]


def _values(series: Series, columns: Mapping[str, Sequence[int | None]]) -> Sequence[int | None]:
    if series.of is None:
        return columns[series.name]
    return list(map(series.of, *(columns[name] for name in series.inputs)))


def _restarts(facts: Sequence[Since]) -> list[int]:
    """When a domain, or that of a device, began to run anew: libvirt gives it another id then."""
    return [
        later.from_ms
        for earlier, later in pairwise(facts)
        if _run(earlier.fact) != _run(later.fact)
    ]


def _run(fact: Fact) -> int | None:
    if isinstance(fact, Domain):
        return fact.id
    return fact.run if isinstance(fact, Device) else None


def _sample_before(connection: sa.Connection, host_id: int, from_ms: int) -> int | None:
    """The time of the host's last scan before `from_ms`, if a sample of then may tell more."""
    table = schema.scan
    query = sa.select(sa.func.max(table.c.at_ms)).where(
        table.c.host_id == host_id, table.c.at_ms < from_ms, table.c.ok == 1
    )
    found: int | None = connection.scalar(query)
    return found


@cache
def _query(kind: KindName) -> sa.Select[Any]:
    """Time, object, planned interval and measured columns, of the objects between two ids."""
    scan, sample = schema.scan, schema.samples[kind]
    mine = sample.c.entity.between(sa.bindparam("first"), sa.bindparam("last"))
    # After a step of the wall clock the labels do not tell how long the counters counted.
    interval_ms = scan.c.interval_ms
    planned = sa.case((scan.c.clock_stepped != 0, -interval_ms), else_=interval_ms)
    return (
        sa.select(sample.c.ts, sample.c.entity, planned, *list(sample.c)[2:])
        .join(sample, sa.and_(sample.c.ts == scan.c.at_ms, mine))
        .where(
            scan.c.host_id == sa.bindparam("host"),
            scan.c.at_ms >= sa.bindparam("from"),
            scan.c.at_ms < sa.bindparam("to"),
        )
        .order_by(scan.c.at_ms)
    )
