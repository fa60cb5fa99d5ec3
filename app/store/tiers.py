"""The tiers: what is kept of a day of one object's samples, written and read as chunks.

Owns the widths of the buckets, the ids of the chunks and how many days stand in one. A day that
is compacted twice is written the same twice.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import sqlalchemy as sa
from msgspec import Struct

from app.inventory import KindName
from app.metrics import METRICS
from app.store import schema
from app.store.codec import decode, encode
from app.store.raw import Object, Since, cpus_of, facts_between, samples_between
from app.store.rollup import Rolled, merge, roll
from app.store.values import Divisors, daily

DAY_MS = 86_400_000
MINUTE_MS = 60_000


class Tier(Struct, frozen=True):
    """Buckets of `width_ms`; in the end `span_days` days of them stand in one chunk."""

    number: int
    name: str
    width_ms: int
    span_days: int


MINUTES = Tier(0, "1m", MINUTE_MS, 1)
TENS = Tier(1, "10m", 10 * MINUTE_MS, 7)
HOURS = Tier(2, "1h", 60 * MINUTE_MS, 28)
TIERS = (MINUTES, TENS, HOURS)

# Of a volume alone the hours are kept: it is measured every few minutes, and changes slowly.
_KEPT: dict[KindName, tuple[Tier, ...]] = {"volume": (HOURS,)}


def tiers_of(kind: KindName) -> tuple[Tier, ...]:
    """The tiers that are kept of a kind, the finest first."""
    return _KEPT.get(kind, TIERS)


def chunk_id(entity_id: int, tier: Tier, day: int) -> int:
    """The id of the chunk that begins with `day` (since 1970): by object, tier and day."""
    return (entity_id << 32) | (tier.number << 30) | day


class Compacted(Struct):
    """What is to be kept of a day of one object: chunks by id, and its row of the day."""

    chunks: dict[int, bytes]
    day: dict[str, float | int | str] | None


def compact(connection: sa.Connection, wanted: Object, day: int) -> Compacted | None:
    """Read a day of an object and put it together; None when nothing of it was measured."""
    from_ms, to_ms = day * DAY_MS, (day + 1) * DAY_MS
    facts = facts_between(connection, wanted, from_ms, to_ms)
    samples = samples_between(connection, wanted, from_ms, to_ms, facts)
    if len(samples.times_ms) <= samples.skip:
        return None
    kept = tiers_of(wanted.kind)
    found: Rolled | None = None
    width_ms = 0
    chunks = {}
    row = None
    for tier in kept:
        if found is None:
            found = roll(samples, tier.width_ms)
            row = _daily_row(wanted, day, found, tier.width_ms, divisors(facts))
        else:
            found = merge([found], tier.width_ms // width_ms)
        width_ms = tier.width_ms
        chunks[chunk_id(wanted.entity_id, tier, day)] = encode(found)
    return Compacted(chunks, row)


def write(connection: sa.Connection, kind: KindName, compacted: Compacted) -> None:
    """Store what `compact` made, in place of what was there."""
    for number, body in compacted.chunks.items():
        _put(connection, number, body)
    if compacted.day is not None:
        table = schema.dailies[kind]
        connection.execute(
            sa.delete(table).where(
                table.c.day == compacted.day["day"], table.c.entity == compacted.day["entity"]
            )
        )
        connection.execute(sa.insert(table), [compacted.day])


def consolidate(connection: sa.Connection, wanted: Object, tier: Tier, day: int) -> None:
    """Put the chunks of the span that ended before `day` into one; in a write transaction."""
    first = chunk_id(wanted.entity_id, tier, day - tier.span_days)
    end = chunk_id(wanted.entity_id, tier, day)
    table = schema.chunk
    query = sa.select(table.c.id, table.c.body).where(table.c.id >= first, table.c.id < end)
    rows = connection.execute(query.order_by(table.c.id)).all()
    if len(rows) < 2:
        return
    body = encode(merge([decode(row.body) for row in rows], 1))
    connection.execute(sa.delete(table).where(table.c.id >= first, table.c.id < end))
    _put(connection, first, body)


def read(
    connection: sa.Connection,
    entity_id: int,
    tier: Tier,
    from_ms: int,
    to_ms: int,
    names: frozenset[str] | None = None,
) -> Iterator[Rolled]:
    """What the chunks of an object hold between two times, in their order; its edges may lie
    outside. Raises StoreError for a damaged chunk.
    """
    table = schema.chunk
    first = max(0, from_ms // DAY_MS - tier.span_days + 1)
    query = (
        sa.select(table.c.body)
        .where(table.c.id >= chunk_id(entity_id, tier, first))
        .where(table.c.id <= chunk_id(entity_id, tier, max(0, (to_ms - 1) // DAY_MS)))
        .order_by(table.c.id)
    )
    for body in connection.execute(query).scalars():
        yield decode(body, names)


def divisors(facts: list[Since]) -> Divisors:
    """How many CPUs an object had, over time."""
    return Divisors([one.from_ms for one in facts], [cpus_of(one.fact) for one in facts])


def day_text(day: int) -> str:
    """A day since 1970 as ISO 8601 has it."""
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


def day_number(text: str) -> int:
    """The day since 1970 that ISO 8601 writes so."""
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def _put(connection: sa.Connection, number: int, body: bytes) -> None:
    connection.execute(sa.delete(schema.chunk).where(schema.chunk.c.id == number))
    connection.execute(sa.insert(schema.chunk).values(id=number, body=body))


def _daily_row(
    wanted: Object, day: int, finest: Rolled, width_ms: int, cpus: Divisors
) -> dict[str, float | int | str] | None:
    row: dict[str, float | int | str] = {"day": day_text(day), "entity": wanted.entity_id}
    for metric in METRICS:
        if metric.kind != wanted.kind:
            continue
        told = daily(metric, finest, width_ms, cpus)
        if told is not None:
            figures = (told.least, told.average, told.greatest, told.p95, told.last)
            for figure, value in zip(schema.DAILY_FIGURES, figures, strict=True):
                row[f"{metric.name}_{figure}"] = value
    return row if len(row) > 2 else None
