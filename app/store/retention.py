"""Retention: what is older than its tier's length is deleted, in short slices beside the scans.

Samples go only once they stand in chunks. Nothing is deleted of inventory, changes and the audit.
The file does not shrink: SQLite uses the pages of what was deleted for what comes, so that it
stays at its largest size; to give pages back at each run would move others about, under the lock.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from msgspec import Struct

from app import clock
from app.clock import DAY_MS
from app.settings import Settings
from app.store import keyframes, schema, tiers
from app.store.archive import archive, day_id
from app.store.capacity_reports import forget_reports
from app.store.engine import Store
from app.store.known_days import forget_days
from app.store.slices import Sliced
from app.store.walking import untold

# How long one transaction may take: a scan that is ready waits as long.
_BUSY_S = 0.04
_FIRST_WIDTH_MS = 5 * 60_000
# So many scans of a day are not worth packing.
_FEW_SCANS = 12
_LONGEST_WIDTH_MS = 28 * DAY_MS


class Lengths(Struct, frozen=True):
    """How long what is kept, in milliseconds."""

    recent_ms: int
    minutes_ms: int
    tens_ms: int
    hours_ms: int
    daily_ms: int

    def of(self, tier: tiers.Tier) -> int:
        """The length of a tier of chunks."""
        lengths = (self.minutes_ms, self.tens_ms, self.hours_ms)
        return lengths[tier.number]


def lengths_of(settings: Settings) -> Lengths:
    """The lengths that are set."""
    return Lengths(
        1000 * settings.keep_recent_s,
        1000 * settings.keep_1m_s,
        1000 * settings.keep_10m_s,
        1000 * settings.keep_1h_s,
        1000 * settings.keep_daily_s,
    )


def newest_scan_ms(store: Store) -> int | None:
    """When a host was last looked at; None where none ever was."""
    with store.reading() as connection:
        found: int | None = connection.scalar(sa.select(sa.func.max(schema.scan.c.at_ms)))
    return found


class Retention(Sliced):
    """Deletes what is due, a slice at a time."""

    def __init__(self, store: Store, lengths: Lengths) -> None:
        super().__init__(self._everything)
        self._store = store
        self._lengths = lengths

    def _everything(self, now_ms: int) -> Iterator[None]:
        """All that is due, a yield after each small piece."""
        newest_ms = newest_scan_ms(self._store) or 0
        # A clock that runs ahead while nothing is scanned must not make everything old.
        now_ms = min(now_ms, newest_ms)
        yield from self._samples(now_ms - self._lengths.recent_ms)
        # Older changes are told by walking over the scans one by one.
        if not untold(self._store):
            yield from self._scans()
        for tier in tiers.TIERS:
            yield from self._chunks(tier, (now_ms - self._lengths.of(tier)) // DAY_MS)
        yield from self._keyframes((now_ms - self._lengths.hours_ms) // DAY_MS)
        yield from self._days((now_ms - self._lengths.daily_ms) // DAY_MS)
        # What is known of the same days goes with them, and reports of them.
        with self._store.writing() as connection:
            forget_days(connection, (now_ms - self._lengths.daily_ms) // DAY_MS)
            forget_reports(connection, now_ms - self._lengths.daily_ms)

    def _samples(self, before_ms: int) -> Iterator[None]:
        with self._store.reading() as connection:
            before_ms = min(before_ms, _compacted_ms(connection))
            from_ms = tiers.horizon_ms(connection, "recent") or _first_sample_ms(connection)
        width_ms = _FIRST_WIDTH_MS
        while from_ms is not None and from_ms < before_ms:
            started_s = clock.monotonic_s()
            to_ms = min(before_ms, from_ms + width_ms)
            with self._store.writing() as connection:
                for table in schema.samples.values():
                    connection.execute(
                        sa.delete(table).where(
                            table.c.ts >= from_ms,
                            table.c.ts < to_ms,
                            table.c.entity.not_in(sa.select(schema.not_compacted.c.entity)),
                        )
                    )
                tiers.move_horizon(connection, "recent", to_ms)
            from_ms = to_ms
            took_s = clock.monotonic_s() - started_s
            if took_s > _BUSY_S / 2:
                width_ms = max(1000, width_ms // 2)
            elif took_s < _BUSY_S / 8:
                width_ms = min(_LONGEST_WIDTH_MS, 2 * width_ms)
            yield

    def _chunks(self, tier: tiers.Tier, before_day: int) -> Iterator[None]:
        """Delete the chunks that end before a day. They lie by object: each is looked at."""
        with self._store.reading() as connection:
            horizon_ms = tiers.horizon_ms(connection, tier.name)
            entity_ids = connection.execute(
                sa.select(schema.entity.c.id).where(
                    schema.entity.c.first_seen_ms < before_day * DAY_MS,
                    schema.entity.c.kind.in_(schema.samples),
                )
            )
            found = entity_ids.scalars().all()
        if before_day * DAY_MS <= horizon_ms or before_day < tier.span_days:
            return
        table = schema.chunk
        query = sa.delete(table).where(
            table.c.id.between(sa.bindparam("first"), sa.bindparam("last"))
        )
        for start in range(0, len(found), 200):
            with self._store.writing() as connection:
                connection.execute(
                    query,
                    [
                        {
                            "first": tiers.chunk_id(entity_id, tier, 0),
                            "last": tiers.chunk_id(entity_id, tier, before_day - tier.span_days),
                        }
                        for entity_id in found[start : start + 200]
                    ],
                )
            yield
        with self._store.writing() as connection:
            tiers.move_horizon(connection, tier.name, before_day * DAY_MS)
        yield

    def _scans(self) -> Iterator[None]:
        """Pack the scans of the days whose samples have gone into the archive, but for the last."""
        with self._store.reading() as connection:
            samples_day = tiers.horizon_ms(connection, "recent") // DAY_MS
            due = _scan_days(connection, samples_day - 1)
        for host_id, day in due:
            with self._store.writing() as connection:
                archive(connection, host_id, day)
            yield

    def _keyframes(self, before_day: int) -> Iterator[None]:
        """Delete the keyframes of days before one: they are kept as long as the hours are."""
        table = schema.keyframe
        with self._store.reading() as connection:
            host_ids = connection.execute(sa.select(schema.host.c.id)).scalars().all()
        for host_id in host_ids if before_day > 0 else ():
            with self._store.writing() as connection:
                for kind in keyframes.KINDS_SHOWN:
                    first = keyframes.keyframe_id(host_id, kind, 0)
                    end = keyframes.keyframe_id(host_id, kind, before_day)
                    connection.execute(
                        sa.delete(table).where(table.c.id >= first, table.c.id < end)
                    )
            yield

    def _days(self, before_day: int) -> Iterator[None]:
        before = tiers.day_text(max(0, before_day))
        for table in schema.dailies.values():
            while True:
                with self._store.reading() as connection:
                    day = connection.scalar(sa.select(sa.func.min(table.c.day)))
                if day is None or day >= before:
                    break
                with self._store.writing() as connection:
                    connection.execute(sa.delete(table).where(table.c.day == day))
                    tiers.move_horizon(connection, "1d", (tiers.day_number(day) + 1) * DAY_MS)
                yield


def _scan_days(connection: sa.Connection, before_day: int) -> list[tuple[int, int]]:
    """The hosts' days before one whose scans are to be packed: those that are compacted whole,
    whose changes are told, and that have more than a few.
    """
    scan, done, packed = schema.scan, schema.compacted, schema.scan_day
    day = scan.c.at_ms // DAY_MS
    held = sa.select(schema.entity.c.host_id).where(
        schema.entity.c.id.in_(sa.select(schema.not_compacted.c.entity))
    )
    query = (
        sa.select(scan.c.host_id, day.label("day"))
        .join(done, done.c.host_id == scan.c.host_id)
        .where(
            scan.c.at_ms < before_day * DAY_MS,
            scan.c.at_ms < done.c.before_day * DAY_MS,
            scan.c.host_id.not_in(held),
            scan.c.host_id.not_in(sa.select(schema.change_walk.c.host_id)),
        )
        .group_by(scan.c.host_id, day)
        .having(sa.func.count() > _FEW_SCANS)
    )
    archived = set(connection.execute(sa.select(packed.c.id)).scalars())
    return [
        (host_id, number)
        for host_id, number in connection.execute(query)
        if day_id(host_id, number) not in archived
    ]


def _first_sample_ms(connection: sa.Connection) -> int | None:
    first = (
        connection.scalar(sa.select(sa.func.min(table.c.ts))) for table in schema.samples.values()
    )
    return min((at_ms for at_ms in first if at_ms is not None), default=None)


def _compacted_ms(connection: sa.Connection) -> int:
    """Before when every host's samples stand in chunks, and none is needed for the interval from
    it to the next.
    """
    scan, done = schema.scan, schema.compacted
    mine = scan.c.host_id == schema.host.c.id
    last_ms = sa.func.coalesce(done.c.last_scan_ms, -1)
    needed = (
        sa.select(sa.func.max(scan.c.at_ms))
        .where(mine, scan.c.ok == 1, scan.c.at_ms <= last_ms)
        .correlate(schema.host, done)
        .scalar_subquery()
    )
    first = (
        sa.select(sa.func.min(scan.c.at_ms))
        .where(mine, scan.c.at_ms > last_ms)
        .correlate(schema.host, done)
        .scalar_subquery()
    )
    query = (
        sa.select(sa.func.min(sa.func.coalesce(needed, first)))
        .select_from(schema.host)
        .join(done, done.c.host_id == schema.host.c.id, isouter=True)
        .where(first.is_not(None))
    )
    found: int | None = connection.scalar(query)
    return 2**62 if found is None else found
