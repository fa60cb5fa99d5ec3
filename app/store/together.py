"""Series of many objects put together: what each VM takes of its host, and what all sums share.

Reads only, what app/store/glance tells of each object.
"""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from msgspec import Struct

from app.clock import DAY_MS, HOUR_MS
from app.metrics import METRIC_BY_NAME
from app.store import schema, tiers
from app.store.engine import Store
from app.store.gaps import gaps_of, interval_of
from app.store.glance import Buckets, glance
from app.store.series import DAILY, RAW, nice_width_ms

# Longer stretches are told by days.
_HOURS_MS = 62 * DAY_MS
OTHERS = ""

STACK_METRICS = (
    "cpu", "memory_used_bytes", "memory_rss_bytes", "disk_read_bytes", "disk_write_bytes",
    "net_rx_bytes", "net_tx_bytes",
)  # fmt: skip


class Part(Struct, frozen=True):
    """What one domain takes; the key OTHERS stands for all that are not told one by one."""

    key: str
    values: list[float | None]


class Stack(Struct, frozen=True):
    """Parts over the same buckets, the greatest first. `gaps`: from and to, when their host was
    not seen.
    """

    buckets: Buckets
    tier: str
    parts: list[Part]
    gaps: list[tuple[int, int]]


def stack(
    store: Store,
    host_id: int,
    name: str,
    from_ms: int,
    to_ms: int,
    points: int,
    *,
    most: int = 8,
) -> Stack:
    """What the domains of a host took of it: the `most` that took most, one by one, and all others
    together. `cpu` is in CPUs. Raises StoreError for a damaged keyframe.
    """
    metric = METRIC_BY_NAME["domain", name]
    with store.reading() as connection:
        buckets, tier = buckets_of(connection, [host_id], from_ms, to_ms, points)
        values = glance(connection, metric, [host_id], buckets)
        keys = _keys(connection, values)
        gaps = gaps_of(connection, host_id, from_ms, to_ms)
    ordered = sorted(values, key=lambda number: (-_total(values[number]), keys[number]))
    parts = [Part(keys[number], values[number]) for number in ordered[:most]]
    others = [values[number] for number in ordered[most:]]
    if others:
        parts.append(Part(OTHERS, sum_of(others, buckets)))
    return Stack(buckets, tier, parts, gaps)


def buckets_of(
    connection: sa.Connection, host_ids: Sequence[int], from_ms: int, to_ms: int, points: int
) -> tuple[Buckets, str]:
    """Buckets for a stretch, and out of which tier they are told."""
    # The time between two scans may have become another within the stretch.
    planned = (
        interval_of(connection, host_id, at_ms)
        for host_id in host_ids
        for at_ms in (from_ms, to_ms)
    )
    interval_ms = max(planned, default=0)
    width_ms = nice_width_ms(max((to_ms - from_ms) / points, 2 * interval_ms, 1))
    tier = RAW
    if from_ms - 2 * width_ms < tiers.horizon_ms(connection, "recent"):
        tier = tiers.HOURS.name
        width_ms = nice_width_ms(max(width_ms, HOUR_MS))
        if to_ms - from_ms > _HOURS_MS:
            tier = DAILY
            width_ms = nice_width_ms(max(width_ms, DAY_MS))
    first = from_ms // width_ms
    return Buckets(first * width_ms, width_ms, -(-to_ms // width_ms) - first, to_ms), tier


def hosts_of(connection: sa.Connection, entity_ids: Collection[int]) -> dict[int, int]:
    """By object the host that it is of."""
    table = schema.entity
    query = sa.select(table.c.id, table.c.host_id).where(table.c.id.in_(entity_ids))
    return {row.id: row.host_id for row in connection.execute(query)}


def _keys(connection: sa.Connection, entity_ids: Collection[int]) -> dict[int, str]:
    table = schema.entity
    query = sa.select(table.c.id, table.c.key).where(table.c.id.in_(entity_ids))
    return {row.id: row.key for row in connection.execute(query)}


def sum_of(lines: Collection[Sequence[float | None]], buckets: Buckets) -> list[float | None]:
    """What is known of the lines in each bucket, added up; None where nothing is."""
    found: list[float | None] = []
    for place in range(buckets.count):
        known = [value for line in lines if (value := line[place]) is not None]
        found.append(sum(known) if known else None)
    return found


def _total(line: Sequence[float | None]) -> float:
    return sum(value for value in line if value is not None)
