"""Series of many objects put together: the sums of a fleet, and what each VM takes of its host.

Reads only, what app/store/glance tells of each object. A host that was not seen is in no sum of
that time; how many were is told beside it.
"""

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from msgspec import Struct

from app.clock import DAY_MS, HOUR_MS
from app.metrics import METRIC_BY_NAME, Metric
from app.store import schema, tiers
from app.store.engine import Store
from app.store.gaps import gaps_of, interval_of
from app.store.glance import Buckets, Values, glance
from app.store.series import DAILY, RAW, nice_width_ms

# Longer stretches are told by days.
_HOURS_MS = 62 * DAY_MS
OTHERS = ""

# What is told of a fleet, and of which kind it is the sum.
FLEET_METRICS: Mapping[str, Metric] = {
    name: METRIC_BY_NAME[kind, name]
    for kind, names in (
        ("host", ("cpu", "memory_used_bytes", "memory_total_bytes", "assigned_memory_bytes",
                  "running_domains", "defined_domains", "assigned_vcpus")),
        ("pool", ("allocation_bytes", "capacity_bytes", "available_bytes",
                  "volumes_capacity_bytes")),
    )
    for name in names
}  # fmt: skip
STACK_METRICS = (
    "cpu", "memory_used_bytes", "memory_rss_bytes", "disk_read_bytes", "disk_write_bytes",
    "net_rx_bytes", "net_tx_bytes",
)  # fmt: skip


class Together(Struct):
    """Lines over the same buckets, by name; `counted`: how many hosts were seen in each."""

    buckets: Buckets
    tier: str
    lines: dict[str, list[float | None]]
    counted: list[int]
    gaps: list[tuple[int, int]]


class Part(Struct, frozen=True):
    """What one domain takes; the key OTHERS stands for all that are not told one by one."""

    key: str
    values: list[float | None]


def fleet_series(
    store: Store,
    cpus: Mapping[int, int | None],
    names: Sequence[str],
    from_ms: int,
    to_ms: int,
    points: int,
) -> Together:
    """Sums over the hosts `cpus` (with how many CPUs each has, by id); `cpu` is the share of all
    the CPUs of those that were seen. Raises StoreError for a damaged chunk.
    """
    with store.reading() as connection:
        buckets, tier = _buckets(connection, list(cpus), from_ms, to_ms, points)
        read = {
            name: glance(connection, FLEET_METRICS[name], list(cpus), buckets) for name in names
        }
        hosts = _hosts(connection, {number for values in read.values() for number in values})
        if "cpu" in read:
            read["cpu"] = _divided(read["cpu"], {n: cpus.get(hosts[n]) for n in read["cpu"]})
        lines = {
            name: _share(values, hosts, cpus, buckets)
            if name == "cpu"
            else _sum(values.values(), buckets)
            for name, values in read.items()
        }
        counted = _counted(read, hosts, buckets)
        return Together(buckets, tier, lines, counted, _unseen(counted, buckets, from_ms))


def stack(
    store: Store,
    host_id: int,
    name: str,
    from_ms: int,
    to_ms: int,
    points: int,
    *,
    most: int = 8,
) -> tuple[Together, list[Part]]:
    """What the domains of a host took of it: the `most` that took most, one by one, and all others
    together. `cpu` is in CPUs. Raises StoreError for a damaged keyframe.
    """
    metric = METRIC_BY_NAME["domain", name]
    with store.reading() as connection:
        buckets, tier = _buckets(connection, [host_id], from_ms, to_ms, points)
        values = glance(connection, metric, [host_id], buckets)
        keys = _keys(connection, values)
        gaps = gaps_of(connection, host_id, from_ms, to_ms)
    ordered = sorted(values, key=lambda number: (-_total(values[number]), keys[number]))
    parts = [Part(keys[number], values[number]) for number in ordered[:most]]
    others = [values[number] for number in ordered[most:]]
    if others:
        parts.append(Part(OTHERS, _sum(others, buckets)))
    whole = _sum(values.values(), buckets)
    return Together(buckets, tier, {name: whole}, [], gaps), parts


def _buckets(
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


def _unseen(counted: Sequence[int], buckets: Buckets, from_ms: int) -> list[tuple[int, int]]:
    """The stretches of buckets of which no host tells anything; none where nothing is told at
    all. A last bucket that is not over says nothing by itself.
    """
    found: list[tuple[int, int]] = []
    for place, count in enumerate(counted if any(counted) else ()):
        begin_ms = buckets.from_ms + place * buckets.width_ms
        end_ms = min(begin_ms + buckets.width_ms, buckets.end_ms)
        if count:
            continue
        if found and found[-1][1] == begin_ms:
            found[-1] = (found[-1][0], end_ms)
        elif end_ms - begin_ms == buckets.width_ms:
            found.append((max(begin_ms, from_ms), end_ms))
    return found


def _hosts(connection: sa.Connection, entity_ids: Collection[int]) -> dict[int, int]:
    table = schema.entity
    query = sa.select(table.c.id, table.c.host_id).where(table.c.id.in_(entity_ids))
    return {row.id: row.host_id for row in connection.execute(query)}


def _keys(connection: sa.Connection, entity_ids: Collection[int]) -> dict[int, str]:
    table = schema.entity
    query = sa.select(table.c.id, table.c.key).where(table.c.id.in_(entity_ids))
    return {row.id: row.key for row in connection.execute(query)}


def _share(
    values: Values,
    hosts: Mapping[int, int],
    cpus: Mapping[int, int | None],
    buckets: Buckets,
) -> list[float | None]:
    """The shares of the hosts that were seen, each weighed by its CPUs."""
    found: list[float | None] = []
    for place in range(buckets.count):
        busy = weight = 0.0
        for entity_id, line in values.items():
            value, count = line[place], cpus.get(hosts[entity_id])
            if value is not None and count:
                busy, weight = busy + value * count, weight + count
        found.append(busy / weight if weight else None)
    return found


def _divided(values: Values, by: Mapping[int, float | None]) -> Values:
    """Each line divided by its own count; what has none is unknown."""
    return {
        number: [None if value is None else value / count for value in line]
        for number, line in values.items()
        if (count := by[number])
    }


def _sum(lines: Collection[Sequence[float | None]], buckets: Buckets) -> list[float | None]:
    found: list[float | None] = []
    for place in range(buckets.count):
        known = [value for line in lines if (value := line[place]) is not None]
        found.append(sum(known) if known else None)
    return found


def _counted(read: Mapping[str, Values], hosts: Mapping[int, int], buckets: Buckets) -> list[int]:
    """How many hosts were seen in each bucket."""
    found: list[set[int]] = [set() for _ in range(buckets.count)]
    for values in read.values():
        for entity_id, line in values.items():
            for place, value in enumerate(line):
                if value is not None:
                    found[place].add(hosts[entity_id])
    return [len(seen) for seen in found]


def _total(line: Sequence[float | None]) -> float:
    return sum(value for value in line if value is not None)
