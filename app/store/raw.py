"""The samples of one object as they were measured, read for roll-ups and charts.

Read only. Knows where an interval between two samples tells nothing: gaps, and domains that were
started anew.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.inventory import KIND_BY_NAME, Domain, Fact, Host, KindName
from app.metrics import Series, series_of
from app.store import schema
from app.store.rollup import Samples, usable_intervals

# Two samples further apart than so many of the planned intervals have a gap between them.
MISSED_TICKS = 3
# What never falls while the same host or the same run of a domain counts.
_CLOCK = {"host": "cpu_idle_ns", "domain": "cpu_time_ns"}


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
    table = schema.revision
    query = (
        sa.select(table.c.valid_from_ms, table.c.body)
        .where(table.c.entity_id == wanted.entity_id, table.c.valid_from_ms < to_ms)
        .where(sa.or_(table.c.valid_to_ms.is_(None), table.c.valid_to_ms > from_ms))
        .order_by(table.c.valid_from_ms)
    )
    fact = KIND_BY_NAME[wanted.kind].fact
    return [
        Since(row.valid_from_ms, msgspec.json.decode(row.body, type=fact))
        for row in connection.execute(query)
    ]


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
    before_ms = _sample_before(connection, wanted, from_ms)
    asked = {"entity": wanted.entity_id, "host": wanted.host_id, "to": to_ms}
    asked["from"] = from_ms if before_ms is None else before_ms
    rows: Sequence[Any] = connection.execute(_query(wanted.kind), asked).all()
    series = [one for one in series_of(wanted.kind) if names is None or one.name in names]
    if not rows:
        return Samples([], [], {one.name: (one.type, []) for one in series})
    times, intervals, *columns = zip(*rows, strict=True)
    by_name = dict(zip(schema.sample_columns(KIND_BY_NAME[wanted.kind]), columns, strict=True))
    clock = _CLOCK.get(wanted.kind)
    elapsed = usable_intervals(
        times,
        [MISSED_TICKS * interval for interval in intervals],
        _restarts(facts),
        by_name[clock] if clock else [None] * len(times),
    )
    return Samples(
        times,
        elapsed,
        {one.name: (one.type, _values(wanted.kind, one, by_name, rows)) for one in series},
        skip=int(times[0] < from_ms),
    )


def _values(
    kind: KindName, series: Series, columns: Mapping[str, Sequence[int | None]], rows: Sequence[Any]
) -> Sequence[int | None]:
    if series.of is None:
        return columns[series.name]
    sample = KIND_BY_NAME[kind].sample
    assert sample is not None
    return [series.of(sample(*row[2:])) for row in rows]


def _restarts(facts: Sequence[Since]) -> list[int]:
    """When a domain began to run anew: libvirt gives it another id then."""
    return [
        later.from_ms
        for earlier, later in pairwise(facts)
        if isinstance(earlier.fact, Domain)
        and isinstance(later.fact, Domain)
        and earlier.fact.id != later.fact.id
    ]


def _sample_before(connection: sa.Connection, wanted: Object, from_ms: int) -> int | None:
    """The time of the host's last scan before `from_ms`, if a sample of then may tell more."""
    table = schema.scan
    query = sa.select(sa.func.max(table.c.at_ms)).where(
        table.c.host_id == wanted.host_id, table.c.at_ms < from_ms, table.c.ok == 1
    )
    found: int | None = connection.scalar(query)
    return found


@cache
def _query(kind: KindName) -> sa.Select[Any]:
    scan, sample = schema.scan, schema.samples[kind]
    return (
        sa.select(sample.c.ts, scan.c.interval_ms, *list(sample.c)[2:])
        .join(
            sample, sa.and_(sample.c.ts == scan.c.at_ms, sample.c.entity == sa.bindparam("entity"))
        )
        .where(
            scan.c.host_id == sa.bindparam("host"),
            scan.c.at_ms >= sa.bindparam("from"),
            scan.c.at_ms < sa.bindparam("to"),
        )
        .order_by(scan.c.at_ms)
    )
