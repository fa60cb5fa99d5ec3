"""The series of a fleet: sums over its hosts, and over how many of them.

Reads only, what app/store/glance tells of each object. Where a host was not seen, the sum of the
fleet is not known: its line is broken there, and the sum of those that were seen stands beside it,
so that a host that falls silent never looks like a fall in use.
"""

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace

from app.metrics import METRIC_BY_NAME, Metric
from app.store import schema
from app.store.engine import Store
from app.store.glance import Buckets, Values, edges_of, glance
from app.store.series import RAW
from app.store.together import buckets_of, hosts_of, sum_of

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
# What nearly every host tells: whether it was seen, where its scans are packed away.
_SEEN_BY = "running_domains"

Line = list[float | None]


class Part(Struct, frozen=True):
    """A stretch in which `counted` of the `known` hosts were seen: some, and not all."""

    from_ms: int
    to_ms: int
    counted: int
    known: int


class FleetSeries(Struct, frozen=True):
    """Lines over the same buckets, by name. `lines` have a value where all hosts tell theirs,
    `counted_lines` the sum of those that do. How many hosts were seen in each bucket, and how many
    there were. `gaps`: from and to, when none was seen; `parts`: when not all were.
    """

    buckets: Buckets
    tier: str
    lines: dict[str, Line]
    counted_lines: dict[str, Line]
    counted: list[int]
    known: list[int]
    gaps: list[tuple[int, int]]
    parts: list[Part]


def fleet_series(
    store: Store,
    cpus: Mapping[int, int | None],
    names: Sequence[str],
    from_ms: int,
    to_ms: int,
    points: int,
    *,
    disabled: Collection[int] = (),
) -> FleetSeries:
    """Sums over the hosts `cpus` (with how many CPUs each has, by id); `cpu` is the share of all
    their CPUs. A host counts from when it was added on; one that is `disabled`, up to the last
    look at it. Raises StoreError for a damaged chunk.
    """
    with store.reading() as connection:
        ids = list(cpus)
        buckets, tier = buckets_of(connection, ids, from_ms, to_ms, points)
        edges = edges_of(connection, ids, buckets) if tier == RAW else None
        read = {
            name: glance(connection, FLEET_METRICS[name], ids, buckets, edges)
            for name in dict.fromkeys((*names, _SEEN_BY))
        }
        hosts = hosts_of(connection, {number for values in read.values() for number in values})
        since = _since(connection, ids)
        until = _last_looks(connection, disabled)
    if "cpu" in read:
        read["cpu"] = _divided(read["cpu"], {n: cpus.get(hosts[n]) for n in read["cpu"]})
    seen = _seen(read, hosts, buckets)
    for host_id, mine in (edges or {}).items():
        for place in mine:
            if place >= 0:
                seen[place].add(host_id)
    known = [
        {
            number
            for number in ids
            if since[number] < min(begin_ms + buckets.width_ms, buckets.end_ms)
            and begin_ms <= until.get(number, begin_ms)
        }
        for begin_ms in _starts(buckets)
    ]
    counted_lines, lines = {}, {}
    for name in names:
        values = read[name]
        told = counted_lines[name] = (
            _share(values, hosts, cpus, buckets)
            if name == "cpu"
            else sum_of(values.values(), buckets)
        )
        lacking = _lacking(values, hosts, seen, known)
        lines[name] = [None if some else value for value, some in zip(told, lacking, strict=True)]
    counted = [len(here & there) for here, there in zip(seen, known, strict=True)]
    gaps, parts = _stretches(seen, known, buckets, from_ms)
    return FleetSeries(
        buckets, tier, lines, counted_lines, counted, [len(there) for there in known], gaps, parts
    )


def _since(connection: sa.Connection, host_ids: Collection[int]) -> dict[int, int]:
    """From when on each host is one of the fleet."""
    host, entity = schema.host, schema.entity
    first = sa.and_(entity.c.host_id == host.c.id, entity.c.kind == "host")
    query = (
        sa.select(host.c.id, host.c.created_at_ms, sa.func.min(entity.c.first_seen_ms))
        .join(entity, first, isouter=True)
        .where(host.c.id.in_(host_ids))
        .group_by(host.c.id, host.c.created_at_ms)
    )
    return {
        number: added_ms if seen_ms is None else min(added_ms, seen_ms)
        for number, added_ms, seen_ms in connection.execute(query)
    }


def _last_looks(connection: sa.Connection, host_ids: Collection[int]) -> dict[int, int]:
    """When hosts were last looked at, whether they answered or not."""
    table = schema.scan
    query = (
        sa.select(table.c.host_id, sa.func.max(table.c.at_ms))
        .where(table.c.host_id.in_(host_ids))
        .group_by(table.c.host_id)
    )
    found = {number: int(at_ms) for number, at_ms in connection.execute(query)}
    return {number: found.get(number, 0) for number in host_ids}


def _starts(buckets: Buckets) -> list[int]:
    return [buckets.from_ms + place * buckets.width_ms for place in range(buckets.count)]


def _seen(read: Mapping[str, Values], hosts: Mapping[int, int], buckets: Buckets) -> list[set[int]]:
    """The hosts that tell anything in each bucket."""
    found: list[set[int]] = [set() for _ in range(buckets.count)]
    for values in read.values():
        for entity_id, line in values.items():
            for place, value in enumerate(line):
                if value is not None:
                    found[place].add(hosts[entity_id])
    return found


def _lacking(
    values: Values,
    hosts: Mapping[int, int],
    seen: Sequence[set[int]],
    known: Sequence[set[int]],
) -> list[bool]:
    """In which buckets a host of the fleet was not seen, or does not tell what it tells in others.
    One that is seen and never tells it lacks in none.
    """
    tells: dict[int, list[bool]] = {}
    for entity_id, line in values.items():
        mine = tells.setdefault(hosts[entity_id], [False] * len(line))
        for place, value in enumerate(line):
            mine[place] = mine[place] or value is not None
    return [
        not there <= here or any(not tells[n][place] for n in there & tells.keys())
        for place, (here, there) in enumerate(zip(seen, known, strict=True))
    ]


def _stretches(
    seen: Sequence[set[int]], known: Sequence[set[int]], buckets: Buckets, from_ms: int
) -> tuple[list[tuple[int, int]], list[Part]]:
    """Where no host was seen, and where not all of them were. A last bucket that is not over says
    nothing by itself: hosts may yet be looked at in it.
    """
    gaps: list[tuple[int, int]] = []
    parts: list[Part] = []
    if not any(known):
        return gaps, parts
    for place, begin_ms in enumerate(_starts(buckets)):
        here, there = seen[place], known[place]
        if here and there <= here:
            continue
        end_ms = begin_ms + buckets.width_ms
        joins_gap = bool(gaps) and gaps[-1][1] == begin_ms
        last = parts.pop() if parts and parts[-1].to_ms == begin_ms else None
        if end_ms > buckets.end_ms:
            if joins_gap:
                gaps[-1] = (gaps[-1][0], buckets.end_ms)
            elif last is not None:
                last = replace(last, to_ms=buckets.end_ms)
        elif not here:
            since_ms = gaps.pop()[0] if joins_gap else max(begin_ms, from_ms)
            gaps.append((since_ms, end_ms))
        else:
            now = Part(max(begin_ms, from_ms), end_ms, len(here & there), len(there))
            if last is not None and (last.counted, last.known) == (now.counted, now.known):
                now, last = replace(now, from_ms=last.from_ms), None
            parts += [now] if last is None else [last, now]
            continue
        parts += [] if last is None else [last]
    return gaps, parts


def _share(
    values: Values,
    hosts: Mapping[int, int],
    cpus: Mapping[int, int | None],
    buckets: Buckets,
) -> Line:
    """The shares of the hosts that were seen, each weighed by its CPUs."""
    found: Line = []
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
