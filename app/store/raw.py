"""The samples of one object as they were measured, read for roll-ups and charts.

Read only. What they tell is told by app/store/sampled.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from msgspec import Struct

from app.inventory import KIND_BY_NAME, Domain, Fact, Host, KindName
from app.metrics import Series, series_of
from app.store import schema
from app.store.codec import damaged
from app.store.numbers import Numbers
from app.store.rollup import Readings, Samples
from app.store.sampled import CLOCK, FIRST, OTHERS, UNKNOWN, Since, Table, is_measured, tables

# One in so many scans is looked at to see what is measured at all.
_PROBED = 97


class Object(Struct, frozen=True):
    """An object whose samples are wanted."""

    entity_id: int
    host_id: int
    kind: KindName


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


class Together(Struct):
    """Objects that were looked at together, and the samples of all of them."""

    entity_ids: Sequence[int]
    samples: Samples


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
    series = [one for one in series_of(wanted.kind) if names is None or one.name in names]
    columns = _columns_of(wanted.kind, series)
    rows = _fetched(connection, wanted.kind, columns, asked)
    table = Table(wanted.kind, columns, rows, [wanted.entity_id])
    samples = table.samples([0], from_ms, facts)
    told = {one.name: (one.type, table.readings(one, [0])) for one in series}
    samples.series = {
        name: (type_, Readings(one.values[:, 0], None if one.known is None else one.known[:, 0]))
        for name, (type_, one) in told.items()
    }
    return samples


def samples_of_many(
    connection: sa.Connection,
    host_id: int,
    kind: KindName,
    facts: Mapping[int, Sequence[Since]],
    from_ms: int,
    to_ms: int,
) -> list[Together]:
    """The samples of several objects of one host and kind, each as `samples_between` gives those
    of one; of those that were measured. Those that have the same intervals and series are
    together. `facts` says what each was. Series that were not measured are left out.
    """
    before_ms = _sample_before(connection, host_id, from_ms)
    asked = {"first": min(facts), "last": max(facts), "host": host_id, "to": to_ms}
    asked["from"] = from_ms if before_ms is None else before_ms
    columns, rows = _measured_rows(connection, kind, asked)
    found = []
    for table in tables(kind, columns, rows, sorted(facts)):
        for places in table.alike(facts):
            ids = [table.entity_ids[place] for place in places]
            samples = table.samples(places, from_ms, facts[ids[0]])
            told = ((one, table.readings(one, places)) for one in series_of(kind))
            samples.series = {
                one.name: (one.type, values) for one, values in told if is_measured(values)
            }
            found.append(Together(ids, samples))
    return found


def _columns_of(kind: KindName, series: Sequence[Series]) -> tuple[str, ...]:
    """The measured columns that series are made of, and the one by which restarts are known."""
    wanted = {name for one in series for name in one.inputs or (one.name,)} | {CLOCK.get(kind)}
    return tuple(name for name in schema.sample_columns(KIND_BY_NAME[kind]) if name in wanted)


def _measured_rows(
    connection: sa.Connection, kind: KindName, asked: Mapping[str, int]
) -> tuple[Sequence[str], Numbers]:
    """The rows of what `asked` says, and the names of their measured columns: without those that
    hold nothing at all, for to read nothing takes as long as to read something.
    """
    every = schema.sample_columns(KIND_BY_NAME[kind])
    held = connection.execute(_probe(kind), asked).one()
    names = tuple(name for name, value in zip(every, held, strict=True) if value is not None)
    rows = _fetched(connection, kind, names, asked)
    if not rows[:, OTHERS].any():
        return names, rows
    return every, _fetched(connection, kind, every, asked)


def _fetched(
    connection: sa.Connection, kind: KindName, names: Sequence[str], asked: Mapping[str, int]
) -> Numbers:
    """Rows of time, object, planned interval, whether other columns hold something, and the
    columns `names`, with `UNKNOWN` for nothing.
    """
    try:
        flat = _flat(connection, _query(kind, names, nullable=False), asked)
    except TypeError:
        # Something in them is null, which is rare enough to be asked for only then.
        query = _query(kind, names, nullable=True)
        flat = _flat(connection, query, {**asked, "null": UNKNOWN})
    return flat.reshape(-1, FIRST + len(names))


def _flat(connection: sa.Connection, query: sa.Select[Any], asked: Mapping[str, int]) -> Numbers:
    # Past SQLAlchemy's rows: there are many, and nothing in them needs translating.
    result = connection.execute(query, asked)
    cursor: Any = result.cursor
    try:
        return np.fromiter(chain.from_iterable(cursor), np.int64)
    finally:
        result.close()


def _sample_before(connection: sa.Connection, host_id: int, from_ms: int) -> int | None:
    """The time of the host's last scan before `from_ms`, if a sample of then may tell more."""
    table = schema.scan
    query = sa.select(sa.func.max(table.c.at_ms)).where(
        table.c.host_id == host_id, table.c.at_ms < from_ms, table.c.ok == 1
    )
    found: int | None = connection.scalar(query)
    return found


@lru_cache(maxsize=64)
def _query(kind: KindName, names: Sequence[str], *, nullable: bool) -> sa.Select[Any]:
    """Time, object, planned interval, whether any other column holds something, and the measured
    columns `names`, of the objects between two ids; the parameter `null` for nothing, if wanted.
    """
    scan, sample = schema.scan, schema.samples[kind]
    # After a step of the wall clock the labels do not tell how long the counters counted.
    interval_ms = scan.c.interval_ms
    planned = sa.case((scan.c.clock_stepped != 0, -interval_ms), else_=interval_ms)
    columns: list[sa.ColumnElement[Any]] = [sample.c[name] for name in names]
    if nullable:
        columns = [sa.func.ifnull(column, sa.bindparam("null")) for column in columns]
    others = [column for column in list(sample.c)[2:] if column.name not in names]
    other = sa.func.coalesce(*others, sa.null()).is_not(None) if others else sa.literal(0)
    query = sa.select(sample.c.ts, sample.c.entity, planned, other, *columns)
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
