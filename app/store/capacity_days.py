"""The rows of the days that a capacity review reads: those of hosts and pools, and what domains
did of late. Reads only, a query a kind, past SQLAlchemy's rows: there are many.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import groupby
from operator import add, itemgetter
from typing import Any, cast

import sqlalchemy as sa
from msgspec import Struct, field

from app.capacity.daily import Daily
from app.capacity.evidence import NOTHING, DomainUse
from app.inventory import KindName
from app.store import schema
from app.store.engine import Store
from app.store.known_days import KnownDays, known_days
from app.store.tiers import day_number, day_text

_COLUMNS: Mapping[KindName, tuple[str, ...]] = {
    "host": (
        "cpu_p95", "cpu_max", "memory_used_bytes_p95", "memory_used_bytes_max",
        "assigned_vcpus_max", "assigned_memory_bytes_max",
    ),
    "pool": ("allocation_bytes_last",),
}  # fmt: skip
_ALLOCATION, _CAPACITY = "allocation_bytes_last", "capacity_bytes_last"
# How large pools were is asked of the day from which last month's forecast goes on alone.
_MONTH = 30
# As many as a forecast looks at.
_POOL_DAYS = 400


class Days(Struct, frozen=True):
    """What was read: of each object, by kind and id, a series for each column; and what domains
    did. `first_day`: the first of which anything is kept.
    """

    first_day: int | None
    columns: Mapping[tuple[KindName, int], Mapping[str, Daily]] = field(default_factory=dict)
    uses: Mapping[int, DomainUse] = field(default_factory=dict)

    def series(self, kind: KindName, entity_id: int, column: str) -> Daily:
        """One column of an object; no days where nothing was measured."""
        return self.columns.get((kind, entity_id), {}).get(column, NOTHING)


def compacted(connection: sa.Connection) -> tuple[tuple[int, int, int], ...]:
    """Up to which day each host's days were put together, and with which last scan."""
    table = schema.compacted
    query = sa.select(table.c.host_id, table.c.before_day, table.c.last_scan_ms)
    rows = connection.execute(query.order_by(table.c.host_id))
    return tuple((row.host_id, row.before_day, row.last_scan_ms) for row in rows)


def read_days(
    connection: sa.Connection, day: int, days: int, use_days: int, known: KnownDays
) -> Days:
    """The rows of so many days before `day`, as far as they were known."""
    found: dict[tuple[KindName, int], Mapping[str, Daily]] = {}
    for kind, names in _COLUMNS.items():
        for entity_id, columns in _columns(connection, kind, names, day - days, known).items():
            found[kind, entity_id] = columns
    then = day - _MONTH - 1
    sizes = _columns(connection, "pool", (_CAPACITY,), then, known, until=then + 1)
    for entity_id, columns in sizes.items():
        found["pool", entity_id] = {**found.get(("pool", entity_id), {}), **columns}
    return Days(_first_day(connection, known), found, _uses(connection, day - use_days, known))


def _first_day(connection: sa.Connection, known: KnownDays) -> int | None:
    table = schema.dailies["host"]
    query = sa.select(table.c.day, table.c.entity).order_by(table.c.day)
    rows: Any = connection.execute(query.where(table.c.day < day_text(known.end))).cursor
    first = next(iter(known.rows(rows)), None)
    return None if first is None else day_number(first[0])


class PoolDays:
    """What was allocated of the pools at the end of each day, read anew only once there are more
    days.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: object = None
        self._series: Mapping[int, Daily] = {}

    def before(self, day: int) -> Mapping[int, Daily]:
        """By pool (entity), of the days before `day`. Raises StoreError."""
        with self._store.reading() as connection:
            asked = (day, compacted(connection))
            if asked != self._asked:
                known = KnownDays(day)
                found = _columns(connection, "pool", (_ALLOCATION,), day - _POOL_DAYS, known)
                self._series = {one: columns[_ALLOCATION] for one, columns in found.items()}
                self._asked = asked
        return self._series


def pool_days(store: Store, at_ms: int, entity_ids: Sequence[int]) -> Mapping[int, Daily]:
    """The same of some pools as known at a past moment, and not kept: such moments are looked at by
    chance.
    """
    with store.reading() as connection:
        known = known_days(connection, at_ms)
        found = _columns(
            connection, "pool", (_ALLOCATION,), known.end - _POOL_DAYS, known, entity_ids=entity_ids
        )
    return {one: columns[_ALLOCATION] for one, columns in found.items()}


def _columns(
    connection: sa.Connection,
    kind: KindName,
    names: Sequence[str],
    first: int,
    known: KnownDays,
    *,
    until: int | None = None,
    entity_ids: Sequence[int] | None = None,
) -> dict[int, dict[str, Daily]]:
    columns = [(name,) for name in names]
    rows = _rows(connection, kind, columns, first, known, until=until, entity_ids=entity_ids)
    return {
        entity_id: {name: _dense(days, one) for name, one in zip(names, values, strict=True)}
        for entity_id, (days, values) in _by_object(rows).items()
    }


# The days of one object, and the values of each column on them.
_Told = tuple[Sequence[int], Sequence[tuple[Any, ...]]]


def _by_object(rows: Iterable[Sequence[Any]]) -> dict[int, _Told]:
    """Rows of day and object, in this order, as columns by object.

    Mostly the same objects are there day after day: the rows of such days are turned together.
    """
    found: dict[int, _Told] = {}
    days: list[int] = []
    same: tuple[int, ...] = ()
    alike: list[tuple[tuple[Any, ...], ...]] = []
    for text, of_day in groupby(rows, key=itemgetter(0)):
        _, entities, *columns = zip(*of_day, strict=True)
        if entities != same:
            _add(found, same, days, alike)
            same, days, alike = entities, [], []
        days.append(day_number(text))
        alike.append(tuple(columns))
    _add(found, same, days, alike)
    return found


def _add(
    found: dict[int, _Told], entities: Sequence[int], days: Sequence[int],
    alike: Sequence[tuple[tuple[Any, ...], ...]],
) -> None:  # fmt: skip
    """Add to each of some objects the days on which all of them were there."""
    by_column = zip(*alike, strict=True)
    turned = [zip(*column, strict=True) for column in by_column]
    for entity_id, *values in zip(entities, *turned, strict=True):
        before = found.get(entity_id)
        if before is None:
            found[entity_id] = days, values
        else:
            joined = [old + new for old, new in zip(before[1], values, strict=True)]
            found[entity_id] = (*before[0], *days), joined


def _dense(days: Sequence[int], values: tuple[float | None, ...]) -> Daily:
    """Values in the order of their days as a series."""
    first, count = days[0], days[-1] - days[0] + 1
    if count == len(days):
        return Daily(first, values)
    spread: list[float | None] = [None] * count
    for day, value in zip(days, values, strict=True):
        spread[day - first] = value
    return Daily(first, tuple(spread))


_USE = (
    ("cpu_p95",), ("cpu_max",), ("memory_used_bytes_p95",), ("memory_used_bytes_max",),
    ("disk_read_bytes_avg", "disk_write_bytes_avg"), ("net_rx_bytes_avg", "net_tx_bytes_avg"),
)  # fmt: skip


def _uses(connection: sa.Connection, first: int, known: KnownDays) -> dict[int, DomainUse]:
    rows = _rows(connection, "domain", _USE, first, known)
    return {
        entity_id: DomainUse(list(days), *map(list, values))
        for entity_id, (days, values) in _by_object(rows).items()
    }


def _rows(
    connection: sa.Connection, kind: KindName, columns: Sequence[Sequence[str]], first: int,
    known: KnownDays, *, until: int | None = None, entity_ids: Sequence[int] | None = None,
) -> Iterable[Sequence[Any]]:  # fmt: skip
    """Day, object, and for each of `columns` their sum, of the days from `first` on, in this order;
    while they are read the connection is not used otherwise.
    """
    table = schema.dailies[kind]
    end = known.end if until is None else min(until, known.end)
    sums = [reduce(add, (table.c[name] for name in names)) for names in columns]
    query = (
        sa.select(table.c.day, table.c.entity, *sums)
        .where(table.c.day >= day_text(max(0, first)), table.c.day < day_text(max(0, end)))
        .order_by(table.c.day, table.c.entity)
    )
    if entity_ids is not None:
        query = query.where(table.c.entity.in_(entity_ids))
    rows: Any = connection.execute(query).cursor
    return known.rows(cast(Iterable[Sequence[Any]], rows), columns)
