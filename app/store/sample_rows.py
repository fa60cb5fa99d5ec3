"""Rows of samples, read column by column. Read only.

There are many numbers in a day: a thousand domains have some twenty million. SQLite writes each
column of many rows into one text, which numpy reads: half of what it takes to hand the numbers
over one by one.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import sqlalchemy as sa
from msgspec import Struct

from app.inventory import KIND_BY_NAME, KindName
from app.store import schema
from app.store.codec import damaged
from app.store.numbers import Numbers

# Nothing, among whole numbers; none that is measured is that small.
UNKNOWN = -(2**63)
# One in so many scans is looked at to see what is measured at all.
_PROBED = 97
_SAMPLES_ARE = "Samples of the store are"


class Asked(Struct, frozen=True):
    """Which rows are wanted: of the objects of a kind between two ids, as the scans of one host
    measured them from a time on and before another.
    """

    host_id: int
    kind: KindName
    first_id: int
    last_id: int
    from_ms: int
    to_ms: int

    def parameters(self) -> dict[str, int]:
        """What queries are given."""
        return {
            "host": self.host_id, "first": self.first_id, "last": self.last_id,
            "from": self.from_ms, "to": self.to_ms,
        }  # fmt: skip


class Rows(Struct):
    """Rows by time, those of one time by object: when, whose, how long after that the next scan was
    planned, and what was measured, with `UNKNOWN` for nothing. An interval below zero is one
    before whose scan the wall clock stepped: labels do not tell how long the counters counted.
    """

    times_ms: Numbers
    entity_ids: Numbers
    intervals_ms: Numbers
    measured: Mapping[str, Numbers]

    def part(self, which: Numbers) -> "Rows":
        """Some of the rows, by their places or by whether they are wanted."""
        return Rows(
            self.times_ms[which],
            self.entity_ids[which],
            self.intervals_ms[which],
            {name: values[which] for name, values in self.measured.items()},
        )


def put_together(parts: Sequence[Rows]) -> Rows:
    """The rows of parts that follow each other; a column that one does not have was not measured in
    it.
    """
    if len(parts) == 1:
        return parts[0]
    names = dict.fromkeys(name for part in parts for name in part.measured)
    return Rows(
        np.concatenate([part.times_ms for part in parts]),
        np.concatenate([part.entity_ids for part in parts]),
        np.concatenate([part.intervals_ms for part in parts]),
        {name: np.concatenate([_column(part, name) for part in parts]) for name in names},
    )


def _column(part: Rows, name: str) -> Numbers:
    found = part.measured.get(name)
    return np.full(len(part.times_ms), UNKNOWN, np.int64) if found is None else found


def read(connection: sa.Connection, asked: Asked, names: Sequence[str]) -> Rows:
    """The rows with the columns `names`, whatever the others hold. Raises StoreError."""
    return _read(connection, asked, names)[0]


def read_measured(connection: sa.Connection, asked: Asked, names: Sequence[str]) -> Rows:
    """The rows with the columns `names`, and with all others where these hold anything. Raises
    StoreError.
    """
    rows, others = _read(connection, asked, names)
    return read(connection, asked, _columns(asked.kind)) if others else rows


def measured_columns(connection: sa.Connection, asked: Asked) -> tuple[str, ...]:
    """The columns that hold anything in a few of the scans: to read nothing takes nearly as long
    as to read something.
    """
    held = connection.execute(_probe(asked.kind), asked.parameters()).one()
    columns = zip(_columns(asked.kind), held, strict=True)
    return tuple(name for name, value in columns if value is not None)


def _read(connection: sa.Connection, asked: Asked, names: Sequence[str]) -> tuple[Rows, int]:
    """The rows, and in how many of them another column holds something."""
    names = tuple(names)
    parameters = asked.parameters()
    count, others, *texts = connection.execute(_query(asked.kind, names), parameters).one()
    columns = [_numbers(text) for text in texts]
    if any(len(column) != count for column in columns):
        # Something is null, which is rare enough to be asked for only then.
        query = _query(asked.kind, names, nullable=True)
        count, others, *texts = connection.execute(query, {**parameters, "null": UNKNOWN}).one()
        columns = [_numbers(text) for text in texts]
        if any(len(column) != count for column in columns):
            raise damaged(_SAMPLES_ARE, "they hold something else than numbers")
    times, entities, intervals, *measured = columns
    rows = Rows(times, entities, intervals, dict(zip(names, measured, strict=True)))
    return _in_order(rows), others


def _numbers(text: str | None) -> Numbers:
    if text is None:
        return np.zeros(0, np.int64)
    try:
        return np.fromstring(text, np.int64, sep=",")
    except (ValueError, DeprecationWarning) as error:
        # Some versions of numpy, and some settings, say so; else there are too few.
        raise damaged(_SAMPLES_ARE, error) from None


def _in_order(rows: Rows) -> Rows:
    """The rows by time and object. That is the order in which SQLite meets them, but it does not
    promise so.
    """
    times, entities = rows.times_ms, rows.entity_ids
    later = times[1:] > times[:-1]
    if (later | ((times[1:] == times[:-1]) & (entities[1:] > entities[:-1]))).all():
        return rows
    return rows.part(np.lexsort((entities, times)))


def _columns(kind: KindName) -> tuple[str, ...]:
    return schema.sample_columns(KIND_BY_NAME[kind])


@lru_cache(maxsize=64)
def _query(kind: KindName, names: Sequence[str], *, nullable: bool = False) -> sa.Select[Any]:
    """How many rows there are, in how many of them a column holds something that is not one of
    `names`, and the numbers of each column: time, object, interval and the columns `names`, with
    the parameter `null` for nothing if wanted; else nothing is left out.
    """
    scan, sample = schema.scan, schema.samples[kind]
    interval_ms = scan.c.interval_ms
    planned = sa.case((scan.c.clock_stepped != 0, -interval_ms), else_=interval_ms)
    columns: list[sa.ColumnElement[Any]] = [sample.c[name] for name in names]
    if nullable:
        columns = [sa.func.ifnull(column, sa.bindparam("null")) for column in columns]
    others = [column for column in list(sample.c)[2:] if column.name not in names]
    held = sa.func.count(sa.func.coalesce(*others, sa.null())) if others else sa.literal(0)
    texts = [sa.func.group_concat(one) for one in (sample.c.ts, sample.c.entity, planned, *columns)]
    return _of_host(sa.select(sa.func.count(), held, *texts), kind)


@cache
def _probe(kind: KindName) -> sa.Select[Any]:
    """Something that each measured column holds in a few of the scans, if it does."""
    scan, sample = schema.scan, schema.samples[kind]
    most = [sa.func.max(column) for column in list(sample.c)[2:]]
    return _of_host(sa.select(*most), kind).where(scan.c.id % _PROBED == 0)


def _of_host(query: sa.Select[Any], kind: KindName) -> sa.Select[Any]:
    scan, sample = schema.scan, schema.samples[kind]
    mine = sample.c.entity.between(sa.bindparam("first"), sa.bindparam("last"))
    return (
        query.select_from(scan)
        .join(sample, sa.and_(sample.c.ts == scan.c.at_ms, mine))
        .where(
            scan.c.host_id == sa.bindparam("host"),
            scan.c.at_ms >= sa.bindparam("from"),
            scan.c.at_ms < sa.bindparam("to"),
        )
    )
