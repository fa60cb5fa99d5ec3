"""The rows of the days that a capacity review reads: those of hosts and pools, and what domains
did of late. Reads only, a query a kind, past SQLAlchemy's rows: there are many.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from msgspec import Struct, field

from app.capacity.daily import Daily
from app.capacity.evidence import NOTHING, DomainUse
from app.inventory import KindName
from app.store import schema
from app.store.compaction import end_of_done_days
from app.store.engine import Store
from app.store.tiers import day_number, day_text

_COLUMNS: Mapping[KindName, tuple[str, ...]] = {
    "host": (
        "cpu_p95", "cpu_max", "memory_used_bytes_p95", "memory_used_bytes_max",
        "memory_total_bytes_last", "assigned_vcpus_max", "assigned_memory_bytes_max",
        "defined_domains_last",
    ),
    "pool": ("allocation_bytes_last", "capacity_bytes_last", "volumes_capacity_bytes_max"),
}  # fmt: skip
_ALLOCATION = "allocation_bytes_last"
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


def compacted(connection: sa.Connection) -> tuple[tuple[int, int], ...]:
    """Up to which day each host's days were put together."""
    table = schema.compacted
    query = sa.select(table.c.host_id, table.c.before_day).order_by(table.c.host_id)
    return tuple((row.host_id, row.before_day) for row in connection.execute(query))


def read_days(connection: sa.Connection, day: int, days: int, use_days: int, *, end: int) -> Days:
    """The rows of so many days before `day`, as far as they are before `end`, too."""
    found: dict[tuple[KindName, int], Mapping[str, Daily]] = {}
    for kind, names in _COLUMNS.items():
        for entity_id, columns in _columns(connection, kind, names, day - days, end).items():
            found[kind, entity_id] = columns
    table = schema.dailies["host"]
    first: str | None = connection.scalar(sa.select(sa.func.min(table.c.day)))
    first_day = None if first is None else day_number(first)
    if first_day is not None and first_day >= end:
        first_day = None
    return Days(first_day, found, _uses(connection, day - use_days, end))


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
                found = _columns(connection, "pool", (_ALLOCATION,), day - _POOL_DAYS, day)
                self._series = {one: columns[_ALLOCATION] for one, columns in found.items()}
                self._asked = asked
        return self._series


def pool_days(store: Store, at_ms: int, entity_ids: Sequence[int]) -> Mapping[int, Daily]:
    """The same of some pools as known at a past moment, and not kept: such moments are looked at by
    chance.
    """
    end = end_of_done_days(at_ms)
    with store.reading() as connection:
        found = _columns(
            connection, "pool", (_ALLOCATION,), end - _POOL_DAYS, end, entity_ids
        )  # fmt: skip
    return {one: columns[_ALLOCATION] for one, columns in found.items()}


def _columns(
    connection: sa.Connection,
    kind: KindName,
    names: Sequence[str],
    first: int,
    end: int,
    entity_ids: Sequence[int] | None = None,
) -> dict[int, dict[str, Daily]]:
    numbers = _numbers(first, end)
    found = {}
    rows = _rows(connection, schema.dailies[kind], names, first, end, entity_ids)
    for entity_id, (days, _, *columns) in _by_object(rows):
        places = [numbers[text] for text in days]
        found[entity_id] = {
            name: _dense(places, column) for name, column in zip(names, columns, strict=True)
        }
    return found


def _by_object(
    rows: Iterable[Sequence[Any]],
) -> Iterator[tuple[int, tuple[tuple[Any, ...], ...]]]:
    """Rows, the earliest first, as columns by the object that is their second value."""
    gathered: dict[int, list[Sequence[Any]]] = {}
    for row in rows:
        of_one = gathered.get(row[1])
        if of_one is None:
            of_one = gathered[row[1]] = []
        of_one.append(row)
    for entity_id, of_one in gathered.items():
        yield entity_id, tuple(zip(*of_one, strict=True))


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
    "cpu_p95", "cpu_max", "memory_used_bytes_p95", "memory_used_bytes_max", "disk_read_bytes_avg",
    "disk_write_bytes_avg", "net_rx_bytes_avg", "net_tx_bytes_avg",
)  # fmt: skip


def _uses(connection: sa.Connection, first: int, end: int) -> dict[int, DomainUse]:
    numbers = _numbers(first, end)
    found = {}
    rows = _rows(connection, schema.dailies["domain"], _USE, first, end)
    for entity_id, columns in _by_object(rows):
        days, _, p95, most, memory, memory_most, read, written, received, sent = columns
        found[entity_id] = DomainUse(
            [numbers[text] for text in days], list(p95), list(most), list(memory),
            list(memory_most), list(map(_together, read, written)),
            list(map(_together, received, sent)),
        )  # fmt: skip
    return found


def _together(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _numbers(first: int, end: int) -> dict[str, int]:
    return {day_text(day): day for day in range(max(0, first), end)}


def _rows(
    connection: sa.Connection, table: sa.Table, names: Sequence[str], first: int, end: int,
    entity_ids: Sequence[int] | None = None,
) -> Sequence[Any]:  # fmt: skip
    query = sa.select(table.c.day, table.c.entity, *(table.c[name] for name in names)).where(
        table.c.day >= day_text(max(0, first)), table.c.day < day_text(end)
    )
    if entity_ids is not None:
        query = query.where(table.c.entity.in_(entity_ids))
    cursor = connection.execute(query).cursor
    assert cursor is not None
    rows: Sequence[Any] = cursor.fetchall()
    return rows
