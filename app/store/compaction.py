"""Compaction: day after day of every host into chunks, an object at a time, beside the scans.

What a host's scans measured on a day is put together once the day is over. How far that has come
is kept per host; a day that was begun when npvirt ended is begun again, and gives the same.
"""

from collections.abc import Iterator

import sqlalchemy as sa

from app import clock
from app.inventory import KINDS
from app.store import schema, tiers
from app.store.engine import Store
from app.store.raw import Object

# A scan is stored when it ends: of the last scans of a day, some minutes into the next.
_GRACE_MS = 15 * 60_000
_MEASURED = tuple(kind.name for kind in KINDS if kind.sample)


class Compactor:
    """Compacts what is due, a slice at a time. One at a time may, for one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._work: Iterator[None] | None = None

    def step(self, now_ms: int, for_s: float = 0.05) -> bool:
        """Work for about `for_s` seconds; whether there is more to do. Raises StoreError, and
        what was begun is begun again at the next call.
        """
        until_s = clock.monotonic_s() + for_s
        if self._work is None:
            self._work = self._everything(now_ms)
        try:
            for _ in self._work:
                if clock.monotonic_s() >= until_s:
                    return True
        except BaseException:
            self._work = None
            raise
        self._work = None
        return False

    def _everything(self, now_ms: int) -> Iterator[None]:
        """All that is due, a yield after each small piece."""
        for host_id, day in self._due(now_ms):
            for wanted in self._objects(host_id, day):
                self._compact(wanted, day)
                yield
            with self._store.writing() as connection:
                _mark(connection, host_id, day + 1)
            yield

    def _due(self, now_ms: int) -> Iterator[tuple[int, int]]:
        """The hosts' days that are over, have scans, and are not done; the oldest first."""
        last_day = (now_ms - _GRACE_MS) // tiers.DAY_MS - 1
        done, scan = schema.compacted, schema.scan
        query = (
            sa.select(
                scan.c.host_id,
                sa.func.min(scan.c.at_ms).label("first_ms"),
                sa.func.max(scan.c.at_ms).label("last_ms"),
                sa.func.max(done.c.before_day).label("before_day"),
            )
            .join(done, done.c.host_id == scan.c.host_id, isouter=True)
            .group_by(scan.c.host_id)
        )
        with self._store.reading() as connection:
            hosts = connection.execute(query).all()
        found = []
        for host in hosts:
            first = host.first_ms // tiers.DAY_MS
            begin = first if host.before_day is None else max(first, host.before_day)
            end = min(last_day, host.last_ms // tiers.DAY_MS)
            found += [(day, host.host_id) for day in range(begin, end + 1)]
        return iter([(host_id, day) for day, host_id in sorted(found)])

    def _objects(self, host_id: int, day: int) -> list[Object]:
        """What of a host may have been measured on a day."""
        table = schema.entity
        query = sa.select(table.c.id, table.c.kind).where(
            table.c.host_id == host_id,
            table.c.kind.in_(_MEASURED),
            table.c.first_seen_ms < (day + 1) * tiers.DAY_MS,
            sa.or_(table.c.last_seen_ms.is_(None), table.c.last_seen_ms >= day * tiers.DAY_MS),
        )
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [Object(row.id, host_id, row.kind) for row in rows]

    def _compact(self, wanted: Object, day: int) -> None:
        with self._store.reading() as connection:
            found = tiers.compact(connection, wanted, day)
        ended = [
            tier
            for tier in tiers.tiers_of(wanted.kind)
            if tier.span_days > 1 and day % tier.span_days == 0
        ]
        if found is None and not ended:
            return
        with self._store.writing() as connection:
            if found is not None:
                tiers.write(connection, wanted.kind, found)
            for tier in ended:
                tiers.consolidate(connection, wanted, tier, day)


def _mark(connection: sa.Connection, host_id: int, before_day: int) -> None:
    table = schema.compacted
    connection.execute(sa.delete(table).where(table.c.host_id == host_id))
    connection.execute(sa.insert(table).values(host_id=host_id, before_day=before_day))
