"""The tiers: what is kept of a day of one object's samples, written and read as chunks.

Owns the widths of the buckets, the ids of the chunks and how many days stand in one. A day that
is compacted twice is written the same twice.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app.clock import DAY_MS, MINUTE_MS
from app.inventory import KindName
from app.metrics import METRICS, Metric
from app.store import schema
from app.store.buckets import Rolled, told
from app.store.codec import decode, encode, encode_each
from app.store.raw import Object, Together, cpus_of
from app.store.rollup import Samples, merge, readings, roll
from app.store.sampled import Since
from app.store.values import Divisors, daily


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

# What a guest uses is mostly its memory less what it could use.
_DIFFERENCES = (
    ("memory_used_bytes", "memory_bytes", "memory_usable_bytes"),
    ("memory_used_bytes", "memory_bytes", "memory_unused_bytes"),
)
# Of a volume alone the hours are kept: it is measured every few minutes, and changes slowly.
_KEPT: dict[KindName, tuple[Tier, ...]] = {"volume": (HOURS,)}


def tiers_of(kind: KindName) -> tuple[Tier, ...]:
    """The tiers that are kept of a kind, the finest first."""
    return _KEPT.get(kind, TIERS)


def chunk_id(entity_id: int, tier: Tier, day: int) -> int:
    """The id of the chunk that begins with `day` (since 1970): by object, tier and day."""
    return (entity_id << 32) | (tier.number << 30) | day


class Compacted(Struct):
    """What is to be kept of a day of objects, of each in turn: chunks by id, and its row of the
    day; and the hours of all, of which the day's keyframe is made.
    """

    chunks: list[dict[int, bytes]]
    days: list[dict[str, float | int | str] | None]
    hours: Rolled

    @property
    def rows(self) -> Iterator[dict[str, float | int | str]]:
        """The rows of the day that there are."""
        return (day for day in self.days if day is not None)


def compact(wanted: Object, day: int, samples: Samples, facts: Sequence[Since]) -> Compacted | None:
    """Put a day of an object together; None when nothing of it was measured."""
    series = {
        name: (type_, readings(values).wide()) for name, (type_, values) in samples.series.items()
    }
    alone = Samples(samples.times_ms, samples.elapsed_ms, series, samples.skip)
    together = Together([wanted.entity_id], alone)
    work = compacting(wanted.kind, day, together, {wanted.entity_id: facts})
    while True:
        try:
            next(work)
        except StopIteration as ended:
            found: Compacted | None = ended.value
            return found


def compacting(
    kind: KindName, day: int, together: Together, facts: Mapping[int, Sequence[Since]]
) -> Generator[None, None, Compacted | None]:
    """Put a day of several objects together, in pieces; None when nothing was measured."""
    samples, entity_ids = together.samples, together.entity_ids
    if len(samples.times_ms) <= samples.skip:
        return None
    kept = tiers_of(kind)
    rolled = [roll(samples, kept[0].width_ms)]
    finest = coarsest = told(rolled[0])
    for finer, tier in pairwise(kept):
        coarsest = merge([coarsest], tier.width_ms // finer.width_ms)
        rolled.append(coarsest)
    yield
    chunks: list[dict[int, bytes]] = [{} for _ in entity_ids]
    for tier, one in zip(kept, rolled, strict=True):
        blobs = encode_each(one, len(entity_ids), _DIFFERENCES)
        for mine, entity_id, blob in zip(chunks, entity_ids, blobs, strict=True):
            mine[chunk_id(entity_id, tier, day)] = blob
        yield
    cpus = [divisors(facts[entity_id]) for entity_id in entity_ids]
    rows = _daily_rows(kind, entity_ids, day, finest, coarsest, kept[0].width_ms, cpus)
    return Compacted(chunks, rows, rolled[-1])


def write(connection: sa.Connection, kind: KindName, found: Sequence[Compacted]) -> None:
    """Store what `compact` made of objects of a kind, in place of what was there."""
    chunks = [
        {"id": number, "body": body}
        for together in found
        for one in together.chunks
        for number, body in one.items()
    ]
    days = [row for together in found for row in together.rows]
    if chunks:
        table = schema.chunk
        connection.execute(
            sa.delete(table).where(table.c.id == sa.bindparam("row")),
            [{"row": chunk["id"]} for chunk in chunks],
        )
        connection.execute(sa.insert(table), chunks)
    if days:
        table = schema.dailies[kind]
        connection.execute(
            sa.delete(table).where(
                table.c.day == sa.bindparam("the_day"), table.c.entity == sa.bindparam("of")
            ),
            [{"the_day": row["day"], "of": row["entity"]} for row in days],
        )
        every = dict.fromkeys(column.name for column in table.c)
        connection.execute(sa.insert(table), [every | row for row in days])


def consolidated(
    connection: sa.Connection, entity_id: int, tier: Tier, first_day: int
) -> bytes | None:
    """One chunk for those of the span that begins with `first_day`; None where there is one at
    most. Raises StoreError for a damaged one.
    """
    table = schema.chunk
    query = sa.select(table.c.body).where(_of_span(entity_id, tier, first_day))
    bodies = connection.execute(query.order_by(table.c.id)).scalars().all()
    if len(bodies) < 2:
        return None
    return encode(merge([decode(body) for body in bodies], 1), _DIFFERENCES)


def replace(
    connection: sa.Connection, entity_id: int, tier: Tier, first_day: int, body: bytes
) -> None:
    """Store what `consolidated` made in place of what it was made of."""
    table = schema.chunk
    connection.execute(sa.delete(table).where(_of_span(entity_id, tier, first_day)))
    number = chunk_id(entity_id, tier, first_day)
    connection.execute(sa.insert(table).values(id=number, body=body))


def _of_span(entity_id: int, tier: Tier, first_day: int) -> sa.ColumnElement[bool]:
    return schema.chunk.c.id.between(
        chunk_id(entity_id, tier, first_day),
        chunk_id(entity_id, tier, first_day + tier.span_days - 1),
    )


def horizon_ms(connection: sa.Connection, tier: str) -> int:
    """From when on what is kept of a tier ("recent": the samples, or a tier's name, or "1d") is
    whole; 0: from the beginning.
    """
    found: int | None = connection.scalar(_horizon_query(), {"tier": tier})
    return found or 0


@cache
def _horizon_query() -> sa.Select[Any]:
    """Put together once: that costs more than running it."""
    table = schema.horizon
    return sa.select(table.c.from_ms).where(table.c.tier == sa.bindparam("tier"))


def move_horizon(connection: sa.Connection, tier: str, from_ms: int) -> None:
    """Remember that of a tier nothing before `from_ms` is kept for sure."""
    table = schema.horizon
    connection.execute(sa.delete(table).where(table.c.tier == tier))
    connection.execute(sa.insert(table).values(tier=tier, from_ms=from_ms))


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


def divisors(facts: Sequence[Since]) -> Divisors:
    """How many CPUs an object had, over time."""
    return Divisors([one.from_ms for one in facts], [cpus_of(one.fact) for one in facts])


def day_text(day: int) -> str:
    """A day since 1970 as ISO 8601 has it."""
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


def day_number(text: str) -> int:
    """The day since 1970 that ISO 8601 writes so."""
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def daily_row(
    wanted: Object, day: int, finest: Rolled, coarsest: Rolled, width_ms: int, cpus: Divisors
) -> dict[str, float | int | str] | None:
    """The row of an object's day, of which `finest` and `coarsest` are the buckets, the former
    `width_ms` wide; None when nothing was seen.
    """
    entity_ids = [wanted.entity_id]
    finest, coarsest = finest.wide(), coarsest.wide()
    return _daily_rows(wanted.kind, entity_ids, day, finest, coarsest, width_ms, [cpus])[0]


def _daily_rows(
    kind: KindName,
    entity_ids: Sequence[int],
    day: int,
    finest: Rolled,
    coarsest: Rolled,
    width_ms: int,
    cpus: Sequence[Divisors],
) -> list[dict[str, float | int | str] | None]:
    """The same of several objects."""
    text = day_text(day)
    rows: list[dict[str, float | int | str]] = [
        {"day": text, "entity": entity_id} for entity_id in entity_ids
    ]
    for metric, columns in _daily_metrics(kind):
        for row, one in zip(rows, daily(metric, finest, coarsest, width_ms, cpus), strict=True):
            if one is not None:
                row.update(zip(columns, one, strict=True))
    return [row if len(row) > 2 else None for row in rows]


@cache
def _daily_metrics(kind: KindName) -> tuple[tuple[Metric, tuple[str, ...]], ...]:
    """The metrics of a kind, each with its columns in the row of the day."""
    return tuple(
        (metric, tuple(f"{metric.name}_{figure}" for figure in schema.DAILY_FIGURES))
        for metric in METRICS
        if metric.kind == kind
    )
