"""Compaction: day after day of every host into chunks, some objects at a time, beside the scans.

What a host's scans measured on a day is put together once the day is over. How far that has come
is kept per host; a day that was begun when npvirt ended is begun again, and gives the same. What
cannot be put together is written down, and its samples are kept; the rest goes on.
"""

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence

import sqlalchemy as sa
from msgspec import Struct

from app.clock import DAY_MS
from app.errors import StoreError
from app.inventory import KIND_BY_NAME, KINDS, KindName
from app.store import keyframes, schema, tiers
from app.store.engine import Store
from app.store.keyframes import Hours
from app.store.known_days import keep_replaced, mark_late
from app.store.raw import Together, facts_of_many, samples_of_many
from app.store.sampled import Since
from app.store.slices import Sliced

log = logging.getLogger(__name__)

# A scan is stored when it ends: of the last scans of a day, some minutes into the next.
_GRACE_MS = 15 * 60_000
_MEASURED: tuple[KindName, ...] = tuple(kind.name for kind in KINDS if kind.sample)
# Objects that are read together, and how many numbers these may have at most: eight bytes each,
# and twice as many for a moment.
_BATCH = 128
_MOST_NUMBERS = 3_200_000


class _HostDay(Struct, frozen=True):
    """A host's day that is due; `again`: it was put together before."""

    day: int
    host_id: int
    again: bool


class Compactor(Sliced):
    """Compacts what is due, a slice at a time."""

    def __init__(self, store: Store) -> None:
        super().__init__(self._everything)
        self._store = store

    def _everything(self, now_ms: int) -> Iterator[None]:
        """All that is due, a yield after each small piece."""
        for due in self._due(now_ms):
            yield from self._one_day(due, now_ms)

    def _one_day(self, due: _HostDay, now_ms: int) -> Iterator[None]:
        with self._store.reading() as connection:
            done_day = _done_day(connection, due.host_id)
            last_scan_ms = _last_scan_ms(connection, due)
            scans = _scans(connection, due)
        hours: dict[KindName, list[Hours]] = {kind: [] for kind in keyframes.KINDS_SHOWN}
        for kind, entity_ids in self._objects(due).items():
            numbers = scans * len(schema.sample_columns(KIND_BY_NAME[kind]))
            size = max(1, min(_BATCH, _MOST_NUMBERS // max(1, numbers)))
            for start in range(0, len(entity_ids), size):
                batch = entity_ids[start : start + size]
                yield from self._compact(due, kind, batch, now_ms, hours.get(kind, []))
                yield
        made = {}
        for kind in keyframes.KINDS_SHOWN:
            made[kind] = yield from keyframes.encoding(kind, due.day, hours[kind])
            yield
        if done_day is not None:
            yield from self._consolidate(due, done_day)
        with self._store.writing() as connection:
            keyframes.write(connection, due.host_id, due.day, made)
            if not due.again:
                mark_late(connection, due.host_id, due.day, self.now_ms)
            _mark(connection, due, last_scan_ms)
        yield

    def _due(self, now_ms: int) -> list[_HostDay]:
        """The hosts' days that are over and have scans that are not put together; the oldest
        first. A scan that was stored after its day was done makes it due again, as long as the
        day's samples are all there.
        """
        last_day = (now_ms - _GRACE_MS) // DAY_MS - 1
        done, scan = schema.compacted, schema.scan
        query = (
            sa.select(
                scan.c.host_id,
                sa.func.min(scan.c.at_ms).label("first_ms"),
                sa.func.max(scan.c.at_ms).label("last_ms"),
                sa.func.max(done.c.before_day).label("before_day"),
            )
            .join(done, done.c.host_id == scan.c.host_id, isouter=True)
            .where(scan.c.at_ms > sa.func.coalesce(done.c.last_scan_ms, -1))
            .group_by(scan.c.host_id)
        )
        with self._store.reading() as connection:
            hosts = connection.execute(query).all()
            whole_from_ms = tiers.horizon_ms(connection, "recent")
        found = []
        for host in hosts:
            first = max(
                host.first_ms // DAY_MS,
                -(-whole_from_ms // DAY_MS),
                # Days before may stand in one chunk with others.
                (host.before_day or 1) - 1,
            )
            end = min(last_day, host.last_ms // DAY_MS)
            before_day = host.before_day or 0
            found += [
                _HostDay(day, host.host_id, day < before_day) for day in range(first, end + 1)
            ]
        return sorted(found, key=lambda due: (due.day, due.host_id))

    def _objects(self, due: _HostDay) -> Mapping[KindName, Sequence[int]]:
        """What of the host may have been measured on the day, by kind."""
        table = schema.entity
        from_ms, to_ms = due.day * DAY_MS, (due.day + 1) * DAY_MS
        query = (
            sa.select(table.c.id, table.c.kind)
            .where(
                table.c.host_id == due.host_id,
                table.c.kind.in_(_MEASURED),
                table.c.first_seen_ms < to_ms,
                sa.or_(table.c.last_seen_ms.is_(None), table.c.last_seen_ms >= from_ms),
            )
            .order_by(table.c.id)
        )
        found: dict[KindName, list[int]] = {kind: [] for kind in _MEASURED}
        with self._store.reading() as connection:
            for row in connection.execute(query):
                found[row.kind].append(row.id)
        return found

    def _compact(
        self,
        due: _HostDay,
        kind: KindName,
        batch: Sequence[int],
        now_ms: int,
        hours: list[Hours],
    ) -> Iterator[None]:
        """Put the day of some objects together and store it, and add their hours to `hours`; what
        cannot be put together is written down.
        """
        made: list[tiers.Compacted] = []
        failed: dict[int, StoreError] = {}
        for found, facts in (yield from self._read(due, kind, batch, failed)):
            for together in found:
                yield
                day = yield from tiers.compacting(kind, due.day, together, facts)
                if day is not None:
                    made.append(day)
                    hours.append(Hours(together.entity_ids, day.hours))
        yield
        with self._store.writing() as connection:
            if due.again:
                rows = {int(row["entity"]): row for one in made for row in one.rows}
                keep_replaced(connection, kind, due.day, rows, self.now_ms)
            tiers.write(connection, kind, made)
            for entity_id, error in failed.items():
                _write_down(connection, entity_id, due.day, error, now_ms)

    def _read(
        self,
        due: _HostDay,
        kind: KindName,
        batch: Sequence[int],
        failed: dict[int, StoreError],
    ) -> Generator[None, None, list[tuple[Iterator[Together], Mapping[int, Sequence[Since]]]]]:
        """The objects that were measured, with their samples and facts. Where they cannot be read
        together, by halves; those that cannot be read at all are in `failed`.
        """
        from_ms, to_ms = due.day * DAY_MS, (due.day + 1) * DAY_MS
        try:
            with self._store.reading() as connection:
                facts = facts_of_many(connection, kind, batch, from_ms, to_ms)
            yield
            work = samples_of_many(self._store, due.host_id, kind, facts, from_ms, to_ms)
            return [((yield from work), facts)]
        except StoreError as error:
            if len(batch) == 1:
                failed[batch[0]] = error
                return []
        middle = len(batch) // 2
        first = yield from self._read(due, kind, batch[:middle], failed)
        return first + (yield from self._read(due, kind, batch[middle:], failed))

    def _consolidate(self, due: _HostDay, done_day: int) -> Iterator[None]:
        """Where a span of days ended between the day done last and this one: its chunks into one,
        for each object.
        """
        table = schema.entity
        for tier in tiers.TIERS:
            first = done_day - done_day % tier.span_days
            if tier.span_days == 1 or due.day < first + tier.span_days:
                continue
            query = sa.select(table.c.id).where(
                table.c.host_id == due.host_id,
                table.c.kind.in_(_MEASURED),
                sa.or_(table.c.last_seen_ms.is_(None), table.c.last_seen_ms >= first * DAY_MS),
            )
            with self._store.reading() as connection:
                entity_ids = connection.execute(query.order_by(table.c.id)).scalars().all()
            for entity_id in entity_ids:
                self._consolidate_one(entity_id, tier, first)
                yield

    def _consolidate_one(self, entity_id: int, tier: tiers.Tier, first_day: int) -> None:
        with self._store.reading() as connection:
            try:
                found = tiers.consolidated(connection, entity_id, tier, first_day)
            except StoreError as error:
                # They stay as they are: days apart tell as much, only in more bytes.
                log.error("Object %d: days are left apart: %s", entity_id, error)
                return
        if found is not None:
            with self._store.writing() as connection:
                tiers.replace(connection, entity_id, tier, first_day, found)


def _done_day(connection: sa.Connection, host_id: int) -> int | None:
    """The last day that was put together before."""
    table = schema.compacted
    before_day: int | None = connection.scalar(
        sa.select(table.c.before_day).where(table.c.host_id == host_id)
    )
    return None if before_day is None else before_day - 1


def _last_scan_ms(connection: sa.Connection, due: _HostDay) -> int:
    """The host's last scan up to the end of the day, as far as it is stored."""
    table = schema.scan
    found: int | None = connection.scalar(
        sa.select(sa.func.max(table.c.at_ms)).where(
            table.c.host_id == due.host_id, table.c.at_ms < (due.day + 1) * DAY_MS
        )
    )
    return found or 0


def _scans(connection: sa.Connection, due: _HostDay) -> int:
    """How many scans of the day there are."""
    table = schema.scan
    query = sa.select(sa.func.count()).where(
        table.c.host_id == due.host_id,
        table.c.at_ms >= due.day * DAY_MS,
        table.c.at_ms < (due.day + 1) * DAY_MS,
    )
    return connection.scalar(query) or 0


def _mark(connection: sa.Connection, due: _HostDay, last_scan_ms: int) -> None:
    """Remember that the day is done, with all scans up to `last_scan_ms`."""
    table = schema.compacted
    done_day = _done_day(connection, due.host_id)
    day = due.day if done_day is None else max(due.day, done_day)
    connection.execute(sa.delete(table).where(table.c.host_id == due.host_id))
    connection.execute(
        sa.insert(table).values(host_id=due.host_id, before_day=day + 1, last_scan_ms=last_scan_ms)
    )


def _write_down(
    connection: sa.Connection, entity_id: int, day: int, error: StoreError, now_ms: int
) -> None:
    table = schema.not_compacted
    log.error("Object %d: its day %s stays as it is: %s", entity_id, tiers.day_text(day), error)
    connection.execute(sa.delete(table).where(table.c.entity == entity_id, table.c.day == day))
    connection.execute(
        sa.insert(table).values(entity=entity_id, day=day, sentence=str(error), at_ms=now_ms)
    )
