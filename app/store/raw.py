"""The samples of one object as they were measured, read for roll-ups and charts.

Read only. Knows where an interval between two samples tells nothing: gaps, and domains that were
started anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from operator import gt, itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.inventory import KIND_BY_NAME, Device, Domain, Fact, Host, KindName
from app.metrics import Series, series_of
from app.store import schema
from app.store.codec import damaged
from app.store.looks import MISSED_TICKS
from app.store.rollup import Samples, usable_intervals

# What never falls while the same host or the same run of a domain counts.
CLOCK = {"host": "cpu_idle_ns", "domain": "cpu_time_ns"}
# One in so many scans is looked at to see what is measured at all.
_PROBED = 97


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
            raise damaged("A revision of the store is", error) from None
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
    every = schema.sample_columns(KIND_BY_NAME[wanted.kind])
    rows = connection.execute(_query(wanted.kind, every), asked).all()
    return _samples(wanted.kind, every, rows, from_ms, facts, names, {})


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
    names, rows = _measured_rows(connection, kind, asked)
    known: _Intervals = {}
    made = {
        entity_id: _samples(kind, names, mine, from_ms, facts[entity_id], None, known)
        for entity_id, mine in _by_object(rows, sorted(facts))
        if mine
    }
    for samples in made.values():
        samples.series = {
            name: (type_, values)
            for name, (type_, values) in samples.series.items()
            if values[0] is not None or values.count(None) < len(values)
        }
    return made


def _measured_rows(
    connection: sa.Connection, kind: KindName, asked: Mapping[str, int]
) -> tuple[Sequence[str], list[Any]]:
    """The rows of what `asked` says, and the names of their measured columns: without those that
    hold nothing at all, for to read nothing takes as long as to read something.
    """
    every = schema.sample_columns(KIND_BY_NAME[kind])
    held = connection.execute(_probe(kind), asked).one()
    names = tuple(name for name, value in zip(every, held, strict=True) if value is not None)
    rows = _fetched(connection, _query(kind, names), asked)
    if len(names) == len(every) or all(row[-1] is None for row in rows):
        return names, rows
    return every, _fetched(connection, _query(kind, every), asked)


def _fetched(
    connection: sa.Connection, query: sa.Select[Any], asked: Mapping[str, int]
) -> list[Any]:
    # Past SQLAlchemy's rows: there are many, and nothing in them needs translating.
    cursor = connection.execute(query, asked).cursor
    assert cursor is not None
    return list(cursor.fetchall())


def _by_object(rows: list[Any], entity_ids: Sequence[int]) -> Iterator[tuple[int, list[Any]]]:
    """The rows of each object, in the order of time."""
    count = len(entity_ids)
    every = len(rows) // count
    if (
        len(rows) == every * count
        and list(map(_ENTITY, rows)) == [*entity_ids] * every
        and list(map(_TIME, rows[::count])) == list(map(_TIME, rows[count - 1 :: count]))
    ):
        # All were measured at each scan, as most are.
        for place, entity_id in enumerate(entity_ids):
            yield entity_id, rows[place::count]
        return
    found: dict[int, list[Any]] = {entity_id: [] for entity_id in entity_ids}
    for row in rows:
        mine = found.get(row[1])
        if mine is not None:
            mine.append(row)
    yield from found.items()


_TIME, _ENTITY = itemgetter(0), itemgetter(1)
# What was found of intervals without restarts, by the times and the planned intervals.
_Intervals = dict[tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], list[int]]]


def _samples(
    kind: KindName,
    columns: Sequence[str],
    rows: Sequence[Any],
    from_ms: int,
    facts: Sequence[Since],
    names: frozenset[str] | None,
    known: _Intervals,
) -> Samples:
    """From rows of time, object, planned interval and the measured `columns`, of one object."""
    series = [one for one in series_of(kind) if names is None or one.name in names]
    if not rows:
        return Samples([], [], {one.name: (one.type, []) for one in series})
    times, _, intervals, *values = zip(*rows, strict=True)
    nothing = (None,) * len(times)
    by_name: dict[str, Sequence[int | None]] = dict(zip(columns, values, strict=False))
    clock = CLOCK.get(kind)
    clocks = by_name.get(clock, nothing) if clock else ()
    shared_times, elapsed = _elapsed(times, intervals, facts, clocks, known)
    return Samples(
        shared_times,
        elapsed,
        {one.name: (one.type, _values(one, by_name, nothing)) for one in series},
        skip=int(times[0] < from_ms),
    )


def _elapsed(
    times: Sequence[int],
    intervals: Sequence[int],
    facts: Sequence[Since],
    clocks: Sequence[int | None],
    known: _Intervals,
) -> tuple[Sequence[int], list[int]]:
    """The times and the usable intervals. Most objects of a host share the times, and nothing
    broke: then they share the lists, too.
    """
    restarts = _restarts(facts)
    broken = None in clocks or any(map(gt, clocks, clocks[1:]))  # type: ignore[arg-type]  # no None
    if restarts or broken:
        # What has no clock of its own is told by its domain's restarts alone.
        ticks = clocks or [None] * len(times)
        return times, usable_intervals(times, longest_between(intervals), restarts, ticks)
    key = (times, intervals)
    found = known.get(key)
    if found is None:
        nothing = [None] * len(times)
        usable = usable_intervals(times, longest_between(intervals), (), nothing)
        found = known[key] = (times, usable)
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


def _values(
    series: Series, columns: Mapping[str, Sequence[int | None]], nothing: Sequence[None]
) -> Sequence[int | None]:
    if series.of is None:
        return columns.get(series.name, nothing)
    inputs = [columns.get(name, nothing) for name in series.inputs]
    told = None if series.of_all is None else series.of_all(*inputs)
    return list(map(series.of, *inputs)) if told is None else told


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
def _query(kind: KindName, names: Sequence[str]) -> sa.Select[Any]:
    """Time, object, planned interval and the measured columns `names`, of the objects between two
    ids; and in the end whether any other column holds something (None: no).
    """
    scan, sample = schema.scan, schema.samples[kind]
    # After a step of the wall clock the labels do not tell how long the counters counted.
    interval_ms = scan.c.interval_ms
    planned = sa.case((scan.c.clock_stepped != 0, -interval_ms), else_=interval_ms)
    others = [column for column in list(sample.c)[2:] if column.name not in names]
    other = [sa.func.coalesce(*others, sa.null())] if others else []
    columns = [sample.c[name] for name in names]
    query = sa.select(sample.c.ts, sample.c.entity, planned, *columns, *other)
    return _of_host(query, kind).order_by(scan.c.at_ms)


@cache
def _probe(kind: KindName) -> sa.Select[Any]:
    """Something that each measured column holds in a few of the scans, if it does."""
    scan, sample = schema.scan, schema.samples[kind]
    most = [sa.func.max(column) for column in list(sample.c)[2:]]
    return _of_host(sa.select(*most), kind).where(scan.c.id % _PROBED == 0)


def _of_host(query: sa.Select[Any], kind: KindName) -> sa.Select[Any]:
    scan, sample = schema.scan, schema.samples[kind]
    mine = sample.c.entity.between(sa.bindparam("first"), sa.bindparam("last"))
    return (
        query.select_from(scan)
        .join(sample, sa.and_(sample.c.ts == scan.c.at_ms, mine))
        .where(
            scan.c.host_id == sa.bindparam("host"),
            scan.c.at_ms >= sa.bindparam("from"),
            scan.c.at_ms < sa.bindparam("to"),
        )
    )
