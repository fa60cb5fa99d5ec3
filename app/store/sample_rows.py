"""Rows of samples, read column by column. Read only.

There are many numbers in a day: a thousand domains have some twenty million. SQLite writes each
column of many rows into one text, which numpy reads: half of what it takes to hand the numbers
over one by one.
"""

from collections.abc import Iterator, Sequence
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
    measured: dict[str, Numbers]

    def part(self, which: Numbers) -> "Rows":
        """Some of the rows, by their places or by whether they are wanted."""
        return Rows(
            self.times_ms[which],
            self.entity_ids[which],
            self.intervals_ms[which],
            {name: values[which] for name, values in self.measured.items()},
        )


def put_together(parts: list[Rows]) -> Rows:
    """The rows of parts that follow each other; a column that one does not have was not measured in
    it. The parts are taken apart, for all of them twice would take much memory.
    """
    if len(parts) == 1:
        return parts[0]
    names = dict.fromkeys(name for part in parts for name in part.measured)
    measured = {name: np.concatenate([_taken(part, name) for part in parts]) for name in names}
    return Rows(
        np.concatenate([part.times_ms for part in parts]),
        np.concatenate([part.entity_ids for part in parts]),
        np.concatenate([part.intervals_ms for part in parts]),
        measured,
    )


def _taken(part: Rows, name: str) -> Numbers:
    found = part.measured.pop(name, None)
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
    planned = connection.execute(_planned(), parameters).all()
    count, others, *texts = connection.execute(_query(asked.kind, names), parameters).one()
    columns = [_numbers(text) for text in texts]
    if any(len(column) != count for column in columns):
        # Something is null, which is rare enough to be asked for only then.
        query = _query(asked.kind, names, nullable=True)
        count, others, *texts = connection.execute(query, {**parameters, "null": UNKNOWN}).one()
        columns = [_numbers(text) for text in texts]
        if any(len(column) != count for column in columns):
            raise damaged(_SAMPLES_ARE, "they hold something else than numbers")
    which, *columns = _in_order(columns)
    after_ms, places = np.divmod(which, asked.last_id - asked.first_id + 1)
    times_ms = after_ms + asked.from_ms
    scans = np.array(list(map(tuple, planned)), np.int64).reshape(-1, 2)
    intervals_ms = scans[np.searchsorted(scans[:, 0], times_ms), 1]
    measured = dict(zip(names, columns, strict=True))
    return Rows(times_ms, places + asked.first_id, intervals_ms, measured), others


def _numbers(text: str | None) -> Numbers:
    if text is None:
        return np.zeros(0, np.int64)
    try:
        return np.fromstring(text, np.int64, sep=",")
    except (ValueError, DeprecationWarning) as error:
        # Some versions of numpy, and some settings, say so; else there are too few.
        raise damaged(_SAMPLES_ARE, error) from None


def _in_order(columns: Sequence[Numbers]) -> Sequence[Numbers]:
    """Columns by the first of them. That is the order in which SQLite meets their rows, but it
    does not promise so.
    """
    which = columns[0]
    if (which[1:] > which[:-1]).all():
        return columns
    order = np.argsort(which)
    return [column[order] for column in columns]


def _columns(kind: KindName) -> tuple[str, ...]:
    return schema.sample_columns(KIND_BY_NAME[kind])


@lru_cache(maxsize=64)
def _query(kind: KindName, names: Sequence[str], *, nullable: bool = False) -> sa.Select[Any]:
    """How many rows there are, in how many of them a column holds something that is not one of
    `names`, and the numbers of each column: which row it is, by time and object in one number, and
    the columns `names`, with the parameter `null` for nothing if wanted; else nothing is left out.
    """
    sample = schema.samples[kind]
    after_ms = sample.c.ts - sa.bindparam("from")
    objects: sa.ColumnElement[int] = sa.bindparam("last") - sa.bindparam("first") + 1
    which = after_ms * objects + (sample.c.entity - sa.bindparam("first"))
    columns: list[sa.ColumnElement[Any]] = [sample.c[name] for name in names]
    if nullable:
        columns = [sa.func.ifnull(column, sa.bindparam("null")) for column in columns]
    others = [column for column in list(sample.c)[2:] if column.name not in names]
    held = sa.func.count(sa.func.coalesce(*others, sa.null())) if others else sa.literal(0)
    texts = [sa.func.group_concat(one) for one in (which, *columns)]
    return _of_host(sa.select(sa.func.count(), held, *texts), kind)


@cache
def _planned() -> sa.Select[Any]:
    """When scans were and how long after each the next was planned, as `Rows` tells it."""
    scan = schema.scan
    interval_ms = sa.case(
        (scan.c.clock_stepped != 0, -scan.c.interval_ms), else_=scan.c.interval_ms
    )
    return sa.select(scan.c.at_ms, interval_ms).where(*_scans()).order_by(scan.c.at_ms)


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
        .where(*_scans())
    )


def _scans() -> Iterator[sa.ColumnElement[bool]]:
    """The conditions for the scans that are asked for."""
    scan = schema.scan
    yield scan.c.host_id == sa.bindparam("host")
    yield scan.c.at_ms >= sa.bindparam("from")
    yield scan.c.at_ms < sa.bindparam("to")
