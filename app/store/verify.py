"""Whether the store is still as it was written: structure, declarations, every row, every sample.

All of it in small pieces, each in a read transaction of its own, so that the daily look goes on
beside the scans; `npvirt doctor` does them at once. Reads only. What is older than the samples'
checksums, and samples that were kept back from compaction, are not told.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.errors import StoreError
from app.store import schema, sums, tiers
from app.store.audit import first_broken
from app.store.engine import Store
from app.store.slices import Sliced

_ROWS = 500
_SCANS = 20
# So many things that are wrong are told one by one.
_MOST = 100


class Verified(Struct):
    """What was looked at and what was found: `wrong` has a sentence for each of the first hundred
    things that are not as they were written.
    """

    rows: int = 0
    scans: int = 0
    wrong: list[str] = msgspec.field(default_factory=list)
    count: int = 0

    def say(self, sentence: str) -> None:
        """Add something that is wrong."""
        self.count += 1
        if len(self.wrong) < _MOST:
            self.wrong.append(sentence)


class Verifier(Sliced):
    """Looks at all of the store, a slice at a time; `found` is of the look that ended last."""

    def __init__(self, store: Store) -> None:
        super().__init__(self._everything)
        self._store = store
        self.found = Verified()

    def _everything(self, _now_ms: int) -> Iterator[None]:
        found = Verified()
        for _ in pieces(self._store, found):
            yield
        self.found = found


def verify(store: Store) -> Verified:
    """Look at all of the store at once; takes some seconds for each gigabyte."""
    found = Verified()
    for _ in pieces(store, found):
        pass
    return found


def pieces(store: Store, found: Verified) -> Iterator[None]:
    """The whole look, a yield after each piece; what is wrong goes into `found`."""
    tables: list[str] = []
    _guarded(found, lambda: tables.extend(_declarations(store, found)))
    yield
    _guarded(found, lambda: _audit(store, found))
    yield
    for name in (*tables, "audit", *(f"sample_{kind}" for kind in schema.samples)):
        # With a name SQLite looks at one table and its indexes alone.
        _guarded(found, partial(_structure, store, name, found))
        yield
    for name in tables:
        yield from _each(found, _rows(store, name, found))
    yield from _each(found, _samples(store, found))


def _guarded(found: Verified, do: Callable[[], object]) -> None:
    """What cannot even be read is something that is wrong."""
    try:
        do()
    except StoreError as error:
        found.say(str(error))


def _each(found: Verified, work: Iterator[None]) -> Iterator[None]:
    try:
        yield from work
    except StoreError as error:
        found.say(str(error))


def _declarations(store: Store, found: Verified) -> Sequence[str]:
    """See that everything is declared as it was; the tables whose rows have checksums."""
    with store.reading() as connection:
        if not sums.schema_is_sealed(connection):
            found.say("How the tables are declared is not as it was written.")
        revision = connection.exec_driver_sql("SELECT * FROM alembic_version").scalars().all()
        if revision != [schema.REVISION]:
            found.say("Which schema the store has is not as it was written.")
        tables = sums.covered_tables(connection)
        for name in sorted({*schema.metadata.tables} - {*tables, "audit"}):
            if not name.startswith("sample_"):
                found.say(f"The table {name} is gone.")
        return tables


def _audit(store: Store, found: Verified) -> None:
    count, broken = first_broken(store)
    if broken is not None:
        found.say(f"Entry {broken} of {count} of the audit is not as it was written.")


def _structure(store: Store, table: str, found: Verified) -> None:
    with store.reading() as connection:
        said = connection.exec_driver_sql(f"PRAGMA integrity_check('{table}')").scalars().all()
    if said != ["ok"]:
        for sentence in said:
            found.say(f"{table}: {sentence}")


def _rows(store: Store, table: str, found: Verified) -> Iterator[None]:
    """Compare the checksum of every row, in the order of the key."""
    with store.reading() as connection:
        _, keys = sums.columns_of(connection, table)
        expression = sums.expression(connection, table)
    key = ", ".join(f'"{name}"' for name in keys)
    query = f'SELECT {key}, crc IS {expression} AS good FROM "{table}"'  # noqa: S608 (names of the schema)
    after = f"{query} WHERE ({key}) > ({', '.join('?' * len(keys))})"
    order = f" ORDER BY {key} LIMIT {_ROWS}"
    last: tuple[Any, ...] | None = None
    while True:
        with store.reading() as connection:
            done = connection.exec_driver_sql(
                (query if last is None else after) + order, () if last is None else last
            )
            rows = [tuple(row) for row in done]
        for *of, good in rows:
            if not good:
                found.say(f"{table}: the row {_named(of)} is not as it was written.")
        found.rows += len(rows)
        yield
        if len(rows) < _ROWS:
            return
        if last is not None and rows[-1][:-1] <= last:
            found.say(f"{table}: its rows are not in their order.")
            return
        last = rows[-1][:-1]


def _named(key: Sequence[Any]) -> str:
    return ", ".join(str(value) for value in key)


def _samples(store: Store, found: Verified) -> Iterator[None]:
    """Compare the checksum of the samples of every scan whose samples are all there, in the order
    of time.
    """
    hosts: dict[int, int] = {}
    last = (-1, -1)
    while True:
        with store.reading() as connection:
            scans = connection.execute(
                _SCANS_QUERY,
                {"at_ms": last[0], "host_id": last[1], "whole_ms": _whole_ms(connection)},
            ).all()
            if not scans:
                return
            sums_of = _sums_of(connection, scans[0].at_ms, scans[-1].at_ms, hosts)
        for scan in scans:
            total = sums_of.get((scan.at_ms, scan.host_id))
            if scan.samples_crc != (0 if total is None else total.value):
                found.say(f"The samples of scan {scan.id} are not as they were written.")
        found.scans += len(scans)
        yield
        if (scans[-1].at_ms, scans[-1].host_id) <= last:
            found.say("scan: its rows are not in their order.")
            return
        last = (scans[-1].at_ms, scans[-1].host_id)


def _whole_ms(connection: sa.Connection) -> int:
    return tiers.horizon_ms(connection, "recent")


_scan = schema.scan
_SCANS_QUERY = (
    sa.select(_scan.c.id, _scan.c.host_id, _scan.c.at_ms, _scan.c.samples_crc)
    .where(
        sa.tuple_(_scan.c.at_ms, _scan.c.host_id)
        > sa.tuple_(sa.bindparam("at_ms"), sa.bindparam("host_id")),
        _scan.c.at_ms >= sa.bindparam("whole_ms"),
        _scan.c.samples_crc.is_not(None),
    )
    .order_by(_scan.c.at_ms, _scan.c.host_id)
    .limit(_SCANS)
)


def _sums_of(
    connection: sa.Connection, first_ms: int, last_ms: int, hosts: dict[int, int]
) -> Mapping[tuple[int, int], sums.SamplesSum]:
    """The checksums of samples as they are, by time and host; `hosts` is whose every object is."""
    totals: dict[tuple[int, int], sums.SamplesSum] = {}
    for kind, table in schema.samples.items():
        query = sa.select(table).where(table.c.ts.between(first_ms, last_ms))
        rows = connection.execute(query.order_by(table.c.ts, table.c.entity)).all()
        if any(row[1] not in hosts for row in rows):
            hosts.update(_hosts(connection))
        mine: dict[tuple[int, int], list[tuple[int | None, ...]]] = {}
        for row in rows:
            mine.setdefault((row[0], hosts.get(row[1], 0)), []).append(tuple(row))
        for key, of_scan in mine.items():
            totals.setdefault(key, sums.SamplesSum()).add(kind, of_scan)
    return totals


def _hosts(connection: sa.Connection) -> Mapping[int, int]:
    """Whose every object is."""
    query = sa.select(schema.entity.c.id, schema.entity.c.host_id)
    return {row.id: row.host_id for row in connection.execute(query)}
