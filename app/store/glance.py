"""Many objects at a glance: one coarse series of every object of a kind on some hosts.

For sparklines, for what the VMs of a host take of it, and for the fleet. Reads only. Recent
stretches come out of the scans at the edges of the buckets: what a counter says at two edges is
its exact mean between them, whatever lies between; a gauge is told as it was at the end of its
bucket. Where samples are gone the keyframes tell the mean of each hour, and the rows of the days
that of each day where no less is asked for. What was not seen is None.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import sqlalchemy as sa
from msgspec import Struct

from app.clock import DAY_MS, HOUR_MS
from app.inventory import KindName
from app.metrics import Metric, Series, series_of
from app.store import keyframes, schema, tiers
from app.store.looks import MISSED_TICKS
from app.store.raw import facts_of_many
from app.store.sampled import CLOCK
from app.store.values import Divisors

Values = dict[int, list[float | None]]
# So many times fit into one statement.
_TIMES = 400


class Buckets(Struct, frozen=True):
    """`count` buckets of `width_ms` from `from_ms` on; nothing that was seen from `until_ms` on is
    told in them.
    """

    from_ms: int
    width_ms: int
    count: int
    until_ms: int | None = None

    @property
    def to_ms(self) -> int:
        """Where the last one ends."""
        return self.from_ms + self.width_ms * self.count

    @property
    def end_ms(self) -> int:
        """Before when all lies that is told."""
        return self.to_ms if self.until_ms is None else min(self.to_ms, self.until_ms)

    def nothing(self) -> list[float | None]:
        """A value for each: unknown."""
        return [None] * self.count


class Edge(Struct, frozen=True):
    """The last good scan of a host in a bucket, and the time between its scans then."""

    at_ms: int
    interval_ms: int
    # The wall clock stepped since the bucket before.
    stepped: int = 0


# By host and bucket; -1 is the bucket before the first.
Edges = Mapping[int, Mapping[int, Edge]]


def glance(
    connection: sa.Connection,
    metric: Metric,
    host_ids: Collection[int],
    buckets: Buckets,
    edges: Edges | None = None,
) -> Values:
    """By object, the metric in each bucket, in its unit but not divided by CPUs: `cpu` is how many
    CPUs were busy. Buckets of less than an hour are told only where the samples are kept. `edges`
    are those of the same buckets, where they are known. Raises StoreError for a damaged keyframe.
    """
    if not host_ids:
        return {}
    recent_ms = tiers.horizon_ms(connection, "recent")
    is_warm = buckets.from_ms - buckets.width_ms >= recent_ms
    if is_warm and buckets.width_ms <= HOUR_MS:
        edges = edges_of(connection, host_ids, buckets) if edges is None else edges
        return _by_samples(connection, metric, host_ids, buckets, edges)
    sums = _Sums(buckets)
    # The first hour of which the samples tell all.
    warm_ms = max(buckets.from_ms, (-(-recent_ms // HOUR_MS) + 1) * HOUR_MS)
    cold_ms = min(warm_ms, buckets.end_ms)
    if cold_ms <= buckets.from_ms:
        pass
    elif buckets.width_ms % DAY_MS == 0:
        warm_ms = -(-warm_ms // DAY_MS) * DAY_MS
        _add_days(connection, metric, host_ids, min(warm_ms, buckets.end_ms), sums)
    else:
        _add_keyframes(connection, metric, host_ids, cold_ms, sums)
    if warm_ms < buckets.end_ms:
        _add_samples(connection, metric, host_ids, warm_ms, buckets.end_ms, sums)
    return sums.means()


def edges_of(connection: sa.Connection, host_ids: Collection[int], buckets: Buckets) -> Edges:
    """By host and bucket (-1: the one before the first) its last good scan."""
    table = schema.scan
    number = (table.c.at_ms - buckets.from_ms + buckets.width_ms) / buckets.width_ms
    bucket = sa.cast(number, sa.Integer).label("bucket")
    query = (
        sa.select(
            table.c.host_id,
            bucket,
            sa.func.max(table.c.at_ms),
            sa.func.max(table.c.interval_ms),
            sa.func.max(table.c.clock_stepped),
        )
        .where(table.c.host_id.in_(host_ids), table.c.ok == 1)
        .where(table.c.at_ms >= buckets.from_ms - buckets.width_ms)
        .where(table.c.at_ms < buckets.end_ms)
        .group_by(table.c.host_id, bucket)
    )
    found: dict[int, dict[int, Edge]] = {}
    for host_id, position, *edge in connection.execute(query):
        found.setdefault(host_id, {})[position - 1] = Edge(*edge)
    return found


# --- out of samples ----------------------------------------------------------------------------


def _by_samples(
    connection: sa.Connection,
    metric: Metric,
    host_ids: Collection[int],
    buckets: Buckets,
    edges: Edges,
) -> Values:
    series = _series(metric)
    times = sorted({edge.at_ms for mine in edges.values() for edge in mine.values()})
    read = _read(connection, metric.kind, series, host_ids, times)
    found: Values = {}
    for host_id, mine in edges.items():
        for place in range(buckets.count):
            now, before = mine.get(place), mine.get(place - 1)
            if now is None:
                continue
            rows = read.get((host_id, now.at_ms), {})
            told: list[tuple[int, float | None]]
            if series.type == "gauge":
                told = [(number, value) for number, (value, _) in rows.items()]
            else:
                told = _rates(rows, now, before, read.get((host_id, _at(before)), {}), buckets)
            for entity_id, value in told:
                if value is not None:
                    column = found.get(entity_id)
                    if column is None:
                        column = found[entity_id] = buckets.nothing()
                    column[place] = value * metric.scale
    return found


# Of each object what a series says, and what never falls while the same thing counts.
_Row = tuple[int | None, int | None]


def _at(edge: Edge | None) -> int:
    return -1 if edge is None else edge.at_ms


def _rates(
    rows: Mapping[int, _Row],
    now: Edge,
    before: Edge | None,
    earlier: Mapping[int, _Row],
    buckets: Buckets,
) -> list[tuple[int, float | None]]:
    """What counters counted a second between two edges; nothing across a restart or a gap."""
    if before is None or now.stepped:
        return []
    elapsed_ms = now.at_ms - before.at_ms
    if elapsed_ms > buckets.width_ms + MISSED_TICKS * now.interval_ms:
        return []
    found: list[tuple[int, float | None]] = []
    for entity_id, (new, ticks) in rows.items():
        old, ticked = earlier.get(entity_id, _NO_ROW)
        if old is None or new is None or new < old:
            continue
        if ticked is not None and ticks is not None and ticks < ticked:
            continue
        found.append((entity_id, (new - old) * 1000 / elapsed_ms))
    return found


_NO_ROW: _Row = (None, None)


def _add_samples(
    connection: sa.Connection,
    metric: Metric,
    host_ids: Collection[int],
    from_ms: int,
    until_ms: int,
    sums: "_Sums",
) -> None:
    """Add the hours from a full hour on: a stretch of a bucket that began anew, or was not seen
    whole, is told by its other hours.
    """
    count = -(-(until_ms - from_ms) // HOUR_MS)
    hours = Buckets(from_ms, HOUR_MS, count, until_ms)
    edges = edges_of(connection, host_ids, hours)
    for entity_id, values in _by_samples(connection, metric, host_ids, hours, edges).items():
        for hour, value in enumerate(values):
            if value is not None:
                sums.add(entity_id, from_ms + hour * HOUR_MS, value, 1)


def _read(
    connection: sa.Connection,
    kind: KindName,
    series: Series,
    host_ids: Collection[int],
    times: Sequence[int],
) -> dict[tuple[int, int], dict[int, _Row]]:
    """By host and time, and then by object, what its sample says."""
    entity, table = schema.entity, schema.samples[kind]
    mine = sa.select(entity.c.id, entity.c.host_id).where(
        entity.c.kind == kind, entity.c.host_id.in_(host_ids)
    )
    host_of = {row.id: row.host_id for row in connection.execute(mine)}
    names, of, clock = _columns(series, None), series.of, CLOCK.get(kind)
    found: dict[tuple[int, int], dict[int, _Row]] = {}
    columns = [table.c[name] for name in (*names, *([clock] if clock else []))]
    end = 2 + len(names)
    for start in range(0, len(times), _TIMES):
        query = sa.select(table.c.ts, table.c.entity, *columns).where(
            table.c.ts.in_(times[start : start + _TIMES])
        )
        # Past SQLAlchemy's rows: there are many, and nothing in them needs translating.
        cursor = connection.execute(query).cursor
        assert cursor is not None
        for row in cursor.fetchall():
            host_id = host_of.get(row[1])
            if host_id is not None:
                rows = found.get((host_id, row[0]))
                if rows is None:
                    rows = found[(host_id, row[0])] = {}
                value = row[2] if of is None else of(*row[2:end])
                rows[row[1]] = (value, row[-1] if clock else None)
    return found


def _series(metric: Metric) -> Series:
    return next(one for one in series_of(metric.kind) if one.name == metric.series)


def _columns(series: Series, clock: str | None) -> list[str]:
    """The columns of a sample that a series is made of, and the clock's."""
    return list(dict.fromkeys([*(series.inputs or (series.name,)), *([clock] if clock else [])]))


def _reader(series: Series) -> Callable[[Mapping[str, int | None]], int | None]:
    """Gives the value of a series out of the columns that it is made of."""
    name, of, inputs = series.name, series.of, series.inputs
    if of is None:
        return lambda row: row.get(name)
    derive = of
    return lambda row: derive(*(row.get(one) for one in inputs))


# --- out of what is kept for long -------------------------------------------------------------


class _Sums:
    """Means of hours and days being put together into buckets, by how long each of them is."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._sums: dict[int, tuple[list[float], list[int]]] = {}

    @property
    def from_ms(self) -> int:
        """Where the first bucket begins."""
        return self._buckets.from_ms

    def add(self, entity_id: int, at_ms: int, value: float, hours: int) -> None:
        """Count a mean of `hours` from `at_ms` on, where that is in a bucket."""
        place = (at_ms - self._buckets.from_ms) // self._buckets.width_ms
        if not 0 <= place < self._buckets.count:
            return
        count = self._buckets.count
        sums = self._sums.get(entity_id)
        if sums is None:
            sums = self._sums[entity_id] = ([0.0] * count, [0] * count)
        sums[0][place] += value * hours
        sums[1][place] += hours

    def means(self) -> Values:
        """By object the mean in each bucket."""
        return {
            entity_id: [
                None if not hours else total / hours
                for total, hours in zip(totals, counts, strict=True)
            ]
            for entity_id, (totals, counts) in self._sums.items()
        }


def _add_keyframes(
    connection: sa.Connection,
    metric: Metric,
    host_ids: Collection[int],
    until_ms: int,
    sums: _Sums,
) -> None:
    """Add the hours that are over by `until_ms`."""
    days = range(sums.from_ms // DAY_MS, (until_ms - 1) // DAY_MS + 1)
    numbers = {
        keyframes.keyframe_id(host_id, metric.kind, day): day
        for host_id in host_ids
        for day in days
    }
    series = _series(metric)
    value_of, names = _reader(series), _columns(series, None)
    table = schema.keyframe
    ids = list(numbers)
    for start in range(0, len(ids), _TIMES):
        query = sa.select(table.c.id, table.c.body).where(
            table.c.id.in_(ids[start : start + _TIMES])
        )
        for number, body in connection.execute(query):
            day = keyframes.decode_day(body, names)
            first_ms = numbers[number] * DAY_MS
            hours = min(keyframes.HOURS, (until_ms - first_ms) // HOUR_MS)
            for hour in range(max(0, (sums.from_ms - first_ms) // HOUR_MS), hours):
                _add_hour(day, hour, first_ms + hour * HOUR_MS, value_of, metric.scale, sums)


def _add_hour(
    day: keyframes.Day,
    hour: int,
    at_ms: int,
    value_of: Callable[[Mapping[str, int | None]], int | None],
    scale: float,
    sums: _Sums,
) -> None:
    first = hour * len(day.entity_ids)
    for place, entity_id in enumerate(day.entity_ids, start=first):
        row = {
            name: (value - 1 if (value := values[place]) else None)
            for name, values in day.values.items()
        }
        told = value_of(row)
        if told is not None:
            sums.add(entity_id, at_ms, told * scale, 1)


def _add_days(
    connection: sa.Connection,
    metric: Metric,
    host_ids: Collection[int],
    until_ms: int,
    sums: _Sums,
) -> None:
    """Add the days that are over by `until_ms`."""
    table, entity = schema.dailies[metric.kind], schema.entity
    mine = sa.select(entity.c.id).where(
        entity.c.kind == metric.kind, entity.c.host_id.in_(host_ids)
    )
    mean = table.c[f"{metric.name}_avg"]
    query = (
        sa.select(table.c.day, table.c.entity, mean)
        .where(table.c.day >= tiers.day_text(sums.from_ms // DAY_MS))
        .where(table.c.day < tiers.day_text(until_ms // DAY_MS))
        .where(table.c.entity.in_(mine), mean.is_not(None))
    )
    rows = connection.execute(query).all()
    cpus: Mapping[int, Divisors] = {}
    if metric.per == "cpu":
        ids = sorted({row.entity for row in rows})
        facts = facts_of_many(connection, metric.kind, ids, sums.from_ms, until_ms)
        cpus = {entity_id: tiers.divisors(since) for entity_id, since in facts.items()}
    for text, entity_id, value in rows:
        at_ms = tiers.day_number(text) * DAY_MS
        many = cpus[entity_id].at(at_ms) if metric.per == "cpu" else 1
        if many:
            sums.add(entity_id, at_ms, value * many, keyframes.HOURS)
