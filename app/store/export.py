"""What the store holds, row by row, for files that other programs read.

Reads only, a piece at a time, so that years of a fleet need no memory. Every column carries its
unit in its name; what was not seen is None. Rates are per second, `cpu` is a ratio.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from msgspec import Struct

from app.clock import DAY_MS, rfc3339
from app.inventory import KIND_BY_NAME, KINDS, KindName
from app.metrics import METRIC_BY_NAME, METRICS, Metric
from app.store import schema, tiers
from app.store.engine import Store
from app.store.raw import Object, facts_between
from app.store.tiers import Tier
from app.store.values import line

TierName = Literal["recent", "1m", "10m", "1h", "daily"]
TIERS: tuple[TierName, ...] = ("recent", "1m", "10m", "1h", "daily")
TABLES = ("hosts", "entities", "revisions", "changes", "scans", "audit")
_TABLE = {
    "hosts": schema.host, "entities": schema.entity, "revisions": schema.revision,
    "changes": schema.change, "scans": schema.scan, "audit": schema.audit,
}  # fmt: skip
_SUFFIX = {"ratio": "_ratio", "bytes": "", "bytes/s": "_per_second", "1/s": "_per_second",
           "count": ""}  # fmt: skip
_PIECE = 2_000

Row = tuple[Any, ...]


class Rows(Struct):
    """Names of columns with the type of what is in each (or None), and the rows below them, read
    while they are asked for.
    """

    columns: tuple[str, ...]
    types: tuple[type, ...]
    rows: Iterator[Row]


class Wanted(Struct, frozen=True):
    """Which measurements: of a kind and tier, of some hosts (empty: all) and one object or all,
    of some metrics (empty: all), from a time on and before another, in milliseconds.
    """

    kind: KindName
    tier: TierName
    host_ids: frozenset[int] = frozenset()
    key: str = ""
    metrics: tuple[str, ...] = ()
    from_ms: int = 0
    to_ms: int = 1 << 53


def metric_names(kind: KindName) -> tuple[str, ...]:
    """The metrics that a kind has."""
    return tuple(metric.name for metric in METRICS if metric.kind == kind)


def measurements(store: Store, wanted: Wanted) -> Rows:
    """What was measured. Raises StoreError while the rows are read."""
    if wanted.tier == "recent":
        columns = schema.sample_columns(KIND_BY_NAME[wanted.kind])
        return _rows(("time", "host", "key"), columns, int, _recent(store, wanted))
    names = wanted.metrics or metric_names(wanted.kind)
    metrics = [METRIC_BY_NAME[wanted.kind, name] for name in names]
    figures = schema.DAILY_FIGURES if wanted.tier == "daily" else ("avg", "min", "max")
    columns = tuple(_column(metric, figure) for metric in metrics for figure in figures)
    if wanted.tier == "daily":
        return _rows(("day", "host", "key"), columns, float, _daily(store, wanted, metrics))
    tier = next(one for one in tiers.TIERS if one.name == wanted.tier)
    buckets = _buckets(store, wanted, metrics, tier)
    return _rows(("time", "host", "key"), columns, float, buckets)


def _rows(texts: Sequence[str], numbers: Sequence[str], number: type, rows: Iterator[Row]) -> Rows:
    types = (*(str for _ in texts), *(number for _ in numbers))
    return Rows((*texts, *numbers), types, rows)


def table(store: Store, name: str) -> Rows:
    """A plain table of the store (one of TABLES) as it is."""
    found = _TABLE[name]
    types = tuple(column.type.python_type for column in found.c)
    return Rows(tuple(found.c.keys()), types, _whole(store, found))


def _column(metric: Metric, figure: str) -> str:
    return f"{metric.name}{_SUFFIX[metric.unit]}_{figure}"


def _objects(connection: sa.Connection, wanted: Wanted) -> list[Any]:
    """Id, host's id and name, and key of the objects, in a fixed order."""
    entity, host = schema.entity, schema.host
    query = (
        sa.select(entity.c.id, entity.c.host_id, entity.c.key, host.c.slug)
        .join(host, host.c.id == entity.c.host_id)
        .where(entity.c.kind == wanted.kind)
        .order_by(entity.c.id)
    )
    if wanted.host_ids:
        query = query.where(entity.c.host_id.in_(wanted.host_ids))
    if wanted.key:
        query = query.where(entity.c.key == wanted.key)
    return list(connection.execute(query).all())


def _recent(store: Store, wanted: Wanted) -> Iterator[Row]:
    """Samples in the order of time, a piece of them in each read transaction."""
    samples = schema.samples[wanted.kind]
    with store.reading() as connection:
        of = {row.id: row for row in _objects(connection, wanted)}
    after: tuple[int, int] = (wanted.from_ms - 1, 1 << 53)
    while True:
        query = (
            sa.select(samples)
            .where(sa.tuple_(samples.c.ts, samples.c.entity) > after)
            .where(samples.c.ts < wanted.to_ms)
            .order_by(samples.c.ts, samples.c.entity)
            .limit(_PIECE)
        )
        with store.reading() as connection:
            rows = connection.execute(query).all()
        for at_ms, entity_id, *values in rows:
            known = of.get(entity_id)
            if known is not None:
                yield (rfc3339(at_ms), known.slug, known.key, *values)
        if len(rows) < _PIECE:
            return
        after = (rows[-1].ts, rows[-1].entity)


def _buckets(store: Store, wanted: Wanted, metrics: Sequence[Metric], tier: Tier) -> Iterator[Row]:
    """Object after object, the buckets of a tier in their order."""
    with store.reading() as connection:
        objects = _objects(connection, wanted)
    names = frozenset(metric.series for metric in metrics)
    for known in objects:
        of = Object(known.id, known.host_id, wanted.kind)
        for first_ms, end_ms in _spans(store, known.id, wanted, tier):
            with store.reading() as connection:
                facts = facts_between(connection, of, first_ms, end_ms)
                parts = list(tiers.read(connection, known.id, tier, first_ms, end_ms, names))
            cpus = tiers.divisors(facts)
            for part in parts:
                lines = [line(metric, part, tier.width_ms, cpus) for metric in metrics]
                for place, number in enumerate(part.starts):
                    at_ms = number * tier.width_ms
                    if first_ms <= at_ms < end_ms:
                        values = [
                            value
                            for one in lines
                            for value in (one.average[place], one.least[place], one.greatest[place])
                        ]
                        yield (rfc3339(at_ms), known.slug, known.key, *values)


def _spans(store: Store, entity_id: int, wanted: Wanted, tier: Tier) -> Iterator[tuple[int, int]]:
    """Stretches of a chunk's length, from the first chunk of an object to the last one."""
    low, high = tiers.chunk_id(entity_id, tier, 0), tiers.chunk_id(entity_id, tier, (1 << 30) - 1)
    chunk = schema.chunk
    query = sa.select(sa.func.min(chunk.c.id), sa.func.max(chunk.c.id)).where(
        chunk.c.id >= low, chunk.c.id <= high
    )
    with store.reading() as connection:
        first, last = connection.execute(query).one()
    if first is None:
        return
    span_ms = tier.span_days * DAY_MS
    at_ms = max(wanted.from_ms, (first - low) * DAY_MS)
    end_ms = min(wanted.to_ms, (last - low) * DAY_MS + span_ms)
    while at_ms < end_ms:
        following = min(end_ms, (at_ms // span_ms + 1) * span_ms)
        yield at_ms, following
        at_ms = following


def _daily(store: Store, wanted: Wanted, metrics: Sequence[Metric]) -> Iterator[Row]:
    """Rows of days, day after day."""
    daily = schema.dailies[wanted.kind]
    with store.reading() as connection:
        of = {row.id: row for row in _objects(connection, wanted)}
        days = connection.execute(
            sa.select(daily.c.day)
            .where(daily.c.day >= tiers.day_text(wanted.from_ms // DAY_MS))
            .distinct()
            .order_by(daily.c.day)
        )
        days_found = [day for (day,) in days if tiers.day_number(day) * DAY_MS < wanted.to_ms]
    columns = [
        daily.c[f"{metric.name}_{figure}"] for metric in metrics for figure in schema.DAILY_FIGURES
    ]
    for day in days_found:
        query = sa.select(daily.c.entity, *columns).where(daily.c.day == day)
        with store.reading() as connection:
            rows = connection.execute(query.order_by(daily.c.entity)).all()
        for entity_id, *values in rows:
            known = of.get(entity_id)
            if known is not None:
                yield (day, known.slug, known.key, *values)


def _whole(store: Store, found: sa.Table) -> Iterator[Row]:
    after = -1
    while True:
        query = sa.select(found).where(found.c.id > after).order_by(found.c.id).limit(_PIECE)
        with store.reading() as connection:
            rows = connection.execute(query).all()
        yield from (tuple(row) for row in rows)
        if len(rows) < _PIECE:
            return
        after = rows[-1].id


def kinds_measured() -> tuple[KindName, ...]:
    """The kinds of which something is measured."""
    return tuple(kind.name for kind in KINDS if kind.sample)
