"""Filling a new store with a past that nobody scanned: for demonstrations, benchmarks and tests.

Writes what the scans, the compaction and the retention of that past would have left, quickly and
in transactions of the caller's. Never used on a store that looks at real hosts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import asdict

from app.clock import DAY_MS
from app.connection import Connection
from app.inventory import KindName, Scan
from app.store import archive, audit, keyframes, schema, tiers
from app.store.audit import Attempt, Outcome
from app.store.engine import Store
from app.store.hosts import HostRecord, host_record, row_values
from app.store.record import Recorder

_LISTED = sum(schema.KIND_BIT[kind] for kind in ("host", "domain", "pool", "network", "interface"))
_MEASURED = sum(schema.KIND_BIT[kind] for kind in ("host", "domain", "pool"))
_VOLUMES = schema.KIND_BIT["volume"]


class Tick(Struct, gc=False):
    """An ordinary scan, which found nothing new. `failed`: problem and sentence, where the host
    did not answer. `volumes`: whether it measured every volume.
    """

    at_ms: int
    took_ms: int
    volumes: bool = False
    failed: tuple[str, str] | None = None


class Done(Struct, gc=False):
    """An attempt of the past and what came of it."""

    attempt: Attempt
    at_ms: int
    took_ms: int
    outcome: Outcome = "ok"
    sentence: str = ""


@contextmanager
def filling(store: Store) -> Iterator["Filling"]:
    """A transaction in which a past is written; all of it becomes visible at the end."""
    with store.writing() as connection:
        yield Filling(store, connection)


class Filling:
    """The writing of one transaction."""

    def __init__(self, store: Store, connection: sa.Connection) -> None:
        self._store = store
        self._connection = connection

    def add_host(self, slug: str, fields: Connection, uuid: str, at_ms: int) -> HostRecord:
        """Register a host as if that had been done at `at_ms`."""
        table = schema.host
        values = row_values(fields) | {
            "slug": slug, "enabled": 1, "created_at_ms": at_ms, "host_uuid": uuid,
        }  # fmt: skip
        self._connection.execute(sa.insert(table).values(values))
        row = self._connection.execute(sa.select(table).where(table.c.slug == slug)).one()
        return host_record(row)

    def record(self, recorder: Recorder, scan: Scan) -> None:
        """Store a scan that found something new, after those of its host that were stored."""
        recorder.record_within(self._connection, scan)

    def went_on(self, recorder: Recorder, host_id: int, tick: Tick, interval_ms: int) -> None:
        """Store the ordinary scan right before one that finds something new."""
        self.ticks(host_id, [tick], interval_ms)
        recorder.went_on(tick.at_ms)

    def ticks(self, host_id: int, ticks: Iterable[Tick], interval_ms: int) -> None:
        """Store ordinary scans of a host; none of them may be stored already."""
        rows = [{"host_id": host_id} | asdict(_scan_row(tick, interval_ms)) for tick in ticks]
        if rows:
            self._connection.execute(sa.insert(schema.scan), rows)

    def scan_times(self, host_id: int) -> set[int]:
        """When a host was scanned, as far as it is stored."""
        table = schema.scan
        query = sa.select(table.c.at_ms).where(table.c.host_id == host_id)
        return set(self._connection.scalars(query))

    def archive(self, host_id: int, day: int, ticks: Iterable[Tick], interval_ms: int) -> None:
        """Store a day of ordinary scans as the archive holds those of long ago."""
        begin, end = day * DAY_MS, (day + 1) * DAY_MS
        table = schema.scan
        query = sa.select(table).where(
            table.c.host_id == host_id, table.c.at_ms >= begin, table.c.at_ms < end
        )
        known = self._connection.execute(query).all()
        times = {row.at_ms for row in known}
        fresh = {tick.at_ms: tick for tick in ticks if tick.at_ms not in times}
        new = [_scan_row(tick, interval_ms) for tick in fresh.values()]
        rows: list[Any] = sorted([*known, *new], key=lambda row: row.at_ms)
        kept = archive.stays(rows)
        packed = [row for row in new if row.at_ms not in kept]
        self.ticks(host_id, [tick for at, tick in fresh.items() if at in kept], interval_ms)
        if packed:
            self._connection.execute(
                sa.insert(schema.scan_day).values(
                    id=archive.day_id(host_id, day), from_ms=rows[0].at_ms,
                    until_ms=rows[-1].at_ms,
                    widest_ms=max((b.at_ms - a.at_ms for a, b in pairwise(rows)), default=0),
                    good=sum(row.ok for row in packed),
                    failed=sum(not row.ok for row in packed), body=archive.encode(packed),
                )
            )  # fmt: skip

    def keyframe(self, host_id: int, kind: KindName, day: int, body: bytes) -> None:
        """Store a keyframe."""
        keyframes.write(self._connection, host_id, day, {kind: body})

    def were_measured(self, host_id: int, from_ms: int) -> None:
        """Note that the good scans from then on were measured as well; the checksum of what one of
        them had measured by itself does not hold for what is added.
        """
        table = schema.scan
        self._connection.execute(
            sa.update(table)
            .where(table.c.host_id == host_id, table.c.at_ms >= from_ms, table.c.ok == 1)
            .values(sampled=table.c.sampled.op("|")(_MEASURED), samples_crc=None)
        )

    def done(self, entries: Iterable[Done]) -> None:
        """Write attempts into the audit, in the order of time."""
        for one in entries:
            audit.append_past(
                self._connection, one.attempt, one.at_ms, one.outcome, one.sentence, one.took_ms
            )

    def entity_ids(self, host_id: int) -> Mapping[tuple[str, str], int]:
        """The ids of what was seen on a host, by kind and key."""
        table = schema.entity
        query = sa.select(table.c.kind, table.c.key, table.c.id).where(table.c.host_id == host_id)
        return {(row.kind, row.key): row.id for row in self._connection.execute(query)}

    def samples(self, kind: KindName, rows: Sequence[tuple[int | None, ...]]) -> None:
        """Store samples: time, entity, and the columns of the kind in their order."""
        if rows:
            statement = sa.insert(schema.samples[kind]).compile(dialect=self._connection.dialect)
            self._connection.exec_driver_sql(str(statement), list(rows))

    def chunks(self, chunks: Mapping[int, bytes]) -> None:
        """Store chunks by their ids."""
        if chunks:
            table = schema.chunk
            self._connection.execute(
                sa.delete(table).where(table.c.id == sa.bindparam("row")),
                [{"row": number} for number in chunks],
            )
            self._connection.execute(
                sa.insert(table), [{"id": n, "body": body} for n, body in chunks.items()]
            )

    def days(self, kind: KindName, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store rows of the day, as tiers.daily_row makes them."""
        if rows:
            table = schema.dailies[kind]
            self._connection.execute(
                sa.delete(table).where(
                    table.c.day == sa.bindparam("the_day"), table.c.entity == sa.bindparam("of")
                ),
                [{"the_day": row["day"], "of": row["entity"]} for row in rows],
            )
            every = dict.fromkeys(column.name for column in table.c)
            self._connection.execute(sa.insert(table), [every | dict(row) for row in rows])

    def compacted(self, host_id: int, before_day: int) -> None:
        """Note that a host's days before that one stand in chunks."""
        scan, table = schema.scan, schema.compacted
        last_ms = self._connection.scalar(
            sa.select(sa.func.max(scan.c.at_ms)).where(
                scan.c.host_id == host_id, scan.c.at_ms < before_day * DAY_MS
            )
        )
        self._connection.execute(
            sa.insert(table).values(
                host_id=host_id, before_day=before_day, last_scan_ms=last_ms or 0
            )
        )

    def horizon(self, tier: str, from_ms: int) -> None:
        """Note from when on a tier is whole."""
        tiers.move_horizon(self._connection, tier, from_ms)


def _scan_row(tick: Tick, interval_ms: int) -> archive.ScanRow:
    good = tick.failed is None
    problem, sentence = tick.failed or (None, None)
    return archive.ScanRow(
        at_ms=tick.at_ms, took_ms=tick.took_ms, ok=int(good), rpc_count=20 if good else None,
        clock_stepped=0, interval_ms=interval_ms, next_at_ms=tick.at_ms + interval_ms,
        listed=_LISTED if good else 0,
        sampled=_MEASURED | (_VOLUMES if tick.volumes else 0) if good else 0, changes=0,
        problem=problem, sentence=sentence, detail=None, missing=None,
    )  # fmt: skip
