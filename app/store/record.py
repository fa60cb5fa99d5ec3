"""The write side: one look at one host becomes rows, in one transaction.

Keeps the host's open revisions in memory, so that a scan that saw nothing new compares by
identity and writes only its own row and its samples. What the memory says is what the store
says: it is changed after the commit, and read anew when somebody else wrote for this host.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import count
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import astuple

from app.errors import StoreError
from app.inventory import Fact, KindName, PartialLook, Sample, Scan
from app.store import schema
from app.store.changing import ChangeLog, Turn, pool_was_read
from app.store.differing import (
    HOST_KEY,
    UNTOLD,
    Changes,
    Open,
    changes_of_look,
    changes_of_scan,
    lists,
    remembered,
    volume_key,
    without,
)
from app.store.engine import Store
from app.store.facts import facts_by_id
from app.store.hosts import HostRecord
from app.store.sqlite import plain
from app.store.sums import SamplesSum

_LARGEST = 2**63 - 1


class Recorded(Struct, frozen=True):
    """What became of a scan: its row, its time as stored, the revisions it opened and closed, of
    which kinds they are, and whether anything was measured.
    """

    scan_id: int
    at_ms: int
    opened: int
    closed: int
    kinds: frozenset[KindName]
    measured: bool


class Recorder:
    """Records the scans of one host, one after the other."""

    def __init__(self, store: Store, host: HostRecord, interval_ms: int) -> None:
        self._store = store
        self._host_id = host.id
        self._slug = host.slug
        self._interval_ms = interval_ms
        self._last_at_ms: int | None = None
        # The times of the looks at some objects since then, which may be newer.
        self._partial_ms: list[int] = []
        self._loaded = False
        self._open: dict[KindName, dict[str, Open]] = {}
        # The lists of the last scan that are what is remembered.
        self._settled: dict[KindName, Mapping[str, Fact]] = {}
        self._entity_ids: dict[tuple[str, str], int] = {}
        self._log = ChangeLog(host.id, host.slug, interval_ms)
        self._sum = SamplesSum()

    def record(self, scan: Scan, newer: Collection[tuple[str, str]] = ()) -> Recorded:
        """Store `scan`; raises StoreError, and then nothing of it is stored and it is counted as
        dropped. Of the domains, pools and networks `newer` (kind, UUID) something newer than the
        scan is known or expected: what it says of them is passed over.

        Its time is moved to one millisecond past the host's last scan where it is not past it,
        and the scan is marked `clock_stepped`.
        """
        try:
            with self._store.writing() as connection:
                self._follow_store(connection)
                recorded = self._write(connection, scan, frozenset(newer))
        except BaseException as error:
            # The transaction is undone, and so is what was changed here on its behalf.
            self._loaded = False
            if isinstance(error, StoreError):
                samples = sum(len(measured) for _, measured in _samples(scan))
                self._store.dropped.drop(self._slug, samples)
            raise
        self._store.dropped.stored(self._slug)
        return recorded

    def record_partial(self, look: PartialLook) -> frozenset[KindName]:
        """Store what a look at some objects found, and give the kinds of what changed; raises
        StoreError, and then nothing of it is stored. Where nothing changed nothing is stored.

        Its time is moved past the host's last look where it is not past it.
        """
        try:
            with self._store.writing() as connection:
                self._follow_store(connection)
                return self._write_partial(connection, look)
        except BaseException:
            # The transaction is undone, and so is what was changed here on its behalf.
            self._loaded = False
            raise

    def record_within(self, connection: sa.Connection, scan: Scan) -> Recorded:
        """As `record`, in a transaction of the caller's, who must not use this recorder again when
        that is undone.
        """
        self._follow_store(connection)
        return self._write(connection, scan)

    def went_on(self, at_ms: int) -> None:
        """Take note that somebody else stored the host's scans up to `at_ms`, and that they found
        everything as it was.
        """
        self._last_at_ms = at_ms
        self._partial_ms = []
        self._log.went_on(at_ms)

    def _write(
        self,
        connection: sa.Connection,
        scan: Scan,
        newer: frozenset[tuple[str, str]] = frozenset(),
    ) -> Recorded:
        last = -1 if self._last_at_ms is None else self._last_at_ms
        at_ms = wanted_ms = max(scan.at_ms, last + 1)
        while at_ms in self._partial_ms:
            at_ms += 1
        changes = changes_of_scan(scan, self._open, self._settled)
        self._settled = {} if newer else dict(_unchanged(scan, changes))
        if newer:
            changes = without(changes, newer)
        turns = self._turns(connection, changes)
        closed = self._close(connection, changes, at_ms)
        self._insert_entities(connection, changes, at_ms)
        self._insert_revisions(connection, changes, at_ms)
        self._log.write(connection, scan, at_ms, self._placed(turns))
        sampled = self._insert_samples(connection, scan, at_ms)
        stepped = scan.clock_stepped or wanted_ms != scan.at_ms
        scan_id = self._insert_scan(connection, scan, at_ms, sampled, changes, stepped=stepped)
        self._last_at_ms = at_ms
        self._partial_ms = [ms for ms in self._partial_ms if ms > at_ms]
        return Recorded(scan_id, at_ms, len(changes.seen), closed, changes.kinds, sampled != 0)

    def _write_partial(self, connection: sa.Connection, look: PartialLook) -> frozenset[KindName]:
        changes = changes_of_look(look, self._open)
        if not changes.count:
            return frozenset()
        self._settled = {}
        at_ms = max(look.at_ms, self._seen_ms() + 1)
        turns = self._turns(connection, changes)
        self._close(connection, changes, at_ms)
        self._insert_entities(connection, changes, at_ms)
        self._insert_revisions(connection, changes, at_ms)
        self._log.write_partial(connection, look, at_ms, self._placed(turns))
        connection.execute(
            sa.insert(schema.partial_look).values(
                host_id=self._host_id, at_ms=at_ms, took_ms=look.took_ms, changes=changes.count
            )
        )
        self._partial_ms.append(at_ms)
        return changes.kinds

    def _seen_ms(self) -> int:
        """The time of the host's newest look of either sort; -1 where there is none."""
        last_ms = -1 if self._last_at_ms is None else self._last_at_ms
        return max((last_ms, *self._partial_ms))

    def _follow_store(self, connection: sa.Connection) -> None:
        """Read the host's open revisions unless the memory is up to date."""
        found = plain(connection).execute(_newest(connection.dialect), (self._host_id,) * 2)
        newest, newest_partial = found.fetchone()
        if self._loaded and newest == self._last_at_ms and self._knows_partial(newest_partial):
            return
        self._last_at_ms = newest
        self._partial_ms = [] if newest_partial is None else [newest_partial]
        self._settled = {}
        self._open = {kind: {} for kind in schema.KIND_BIT}  # type: ignore[misc] # its keys are kinds
        entity, revision = schema.entity, schema.revision
        mine = sa.select(entity.c.id, entity.c.kind, entity.c.key).where(
            entity.c.host_id == self._host_id
        )
        self._entity_ids = {(row.kind, row.key): row.id for row in connection.execute(mine)}
        still_open = (
            sa.select(revision.c.id, revision.c.kind, revision.c.entity_id, entity.c.key)
            .join(revision, revision.c.entity_id == entity.c.id)
            .where(entity.c.host_id == self._host_id, revision.c.valid_to_ms.is_(None))
        )
        rows = connection.execute(still_open).all()
        facts = facts_by_id(connection, {row.id: row.kind for row in rows})
        for row in rows:
            fact = facts.get(row.id)
            # What cannot be read is as nothing that is seen: the next scan tells it anew.
            known = b"" if fact is None else remembered(fact)
            self._open[row.kind][row.key] = Open(row.entity_id, row.id, known)
        self._log.follow(connection, newest)
        self._loaded = True

    def _knows_partial(self, newest_ms: int | None) -> bool:
        if newest_ms is None or newest_ms in self._partial_ms:
            return True
        return not self._partial_ms and newest_ms < (self._last_at_ms or 0)

    def _turns(self, connection: sa.Connection, changes: Changes) -> list[Turn]:
        """What the scan changes, from what to what, while what was is still remembered."""
        turns = []
        listed: dict[str, bool] = {"definition": False}
        for kind, key, fact in changes.seen:
            if kind in UNTOLD:
                continue
            before = self._open[kind].get(key)
            turn = Turn(kind, key, self._name(kind, fact), new=fact)
            if before is not None:
                turn.old_id = before.revision_id
                turn.old = None if isinstance(before.fact, bytes) else before.fact
            else:
                group = f"volumes of {key.split('/', 1)[0]}" if kind == "volume" else kind
                if group not in listed:
                    listed[group] = self._listed_before(connection, kind, key)
                turn.listed = listed[group]
            turns.append(turn)
        for kind, key in changes.gone:
            before = self._open[kind][key]
            if kind not in UNTOLD and not isinstance(before.fact, bytes):
                name = self._name(kind, before.fact)
                turns.append(Turn(kind, key, name, before.fact, old_id=before.revision_id))
        return turns

    def _name(self, kind: KindName, fact: Fact) -> str:
        return self._slug if kind == "host" else str(getattr(fact, "name", ""))

    def _listed_before(self, connection: sa.Connection, kind: KindName, key: str) -> bool:
        """Whether the likes of a new object were listed before, so that it is new indeed."""
        if kind == "volume":
            return self._volumes_listed(key)
        there = any(known == kind for known, _ in self._entity_ids)
        return there or self._log.ever_listed(connection, kind)

    def _volumes_listed(self, key: str) -> bool:
        """Whether the other volumes of this one's pool were listed before."""
        pool = key.split("/", 1)[0]
        before = self._open["pool"].get(pool)
        if before is not None and not isinstance(before.fact, bytes) and pool_was_read(before.fact):
            return True
        prefix = volume_key(pool, "")
        return any(
            kind == "volume" and known.startswith(prefix) for kind, known in self._entity_ids
        )

    def _placed(self, turns: list[Turn]) -> list[Turn]:
        """The turns with the rows that they are of; a definition's are its domain's."""
        for turn in turns:
            kind: KindName = "domain" if turn.kind == "definition" else turn.kind
            turn.entity_id = self._entity_ids.get((kind, turn.key))
            now = self._open[turn.kind].get(turn.key)
            turn.new_id = None if now is None or turn.new is None else now.revision_id
            if turn.kind == "definition":
                domain = self._open["domain"].get(turn.key)
                turn.name = "" if domain is None else str(getattr(domain.fact, "name", ""))
        return turns

    # --- rows -----------------------------------------------------------------------------

    def _close(self, connection: sa.Connection, changes: Changes, at_ms: int) -> int:
        revision, entity = schema.revision, schema.entity
        ended = [self._open[kind].pop(key) for kind, key in changes.gone]
        replaced = [self._open[kind].get(key) for kind, key, _ in changes.seen]
        closing = [*ended, *(before for before in replaced if before is not None)]
        if closing:
            connection.execute(
                sa.update(revision)
                .where(revision.c.id == sa.bindparam("row"))
                .values(valid_to_ms=at_ms),
                [{"row": before.revision_id} for before in closing],
            )
        if ended:
            connection.execute(
                sa.update(entity)
                .where(entity.c.id == sa.bindparam("row"))
                .values(last_seen_ms=self._looked_before(at_ms)),
                [{"row": before.entity_id} for before in ended],
            )
        return len(ended)

    def _looked_before(self, at_ms: int) -> int | None:
        """When the host was last looked at before a time."""
        times = (*self._partial_ms, *(() if self._last_at_ms is None else (self._last_at_ms,)))
        return max((ms for ms in times if ms < at_ms), default=None)

    def _insert_entities(self, connection: sa.Connection, changes: Changes, at_ms: int) -> None:
        """Rows for what was never seen before; what is back after it was gone is there again."""
        table = schema.entity
        new = [(kind, key) for kind, key, _ in changes.seen if (kind, key) not in self._entity_ids]
        back = [
            {"row": self._entity_ids[(kind, key)]}
            for kind, key, _ in changes.seen
            if (kind, key) in self._entity_ids and key not in self._open[kind]
        ]
        if back:
            connection.execute(
                sa.update(table).where(table.c.id == sa.bindparam("row")).values(last_seen_ms=None),
                back,
            )
        if new:
            ids: dict[tuple[str, str], int] = dict(
                zip(new, count(_next_id(connection, table)), strict=False)
            )
            mine: dict[str, Any] = {"host_id": self._host_id, "first_seen_ms": at_ms}
            connection.execute(
                sa.insert(table),
                [mine | {"id": n, "kind": kind, "key": key} for (kind, key), n in ids.items()],
            )
            self._entity_ids.update(ids)

    def _insert_revisions(self, connection: sa.Connection, changes: Changes, at_ms: int) -> None:
        if not changes.seen:
            return
        first = _next_id(connection, schema.revision)
        rows = []
        for number, (kind, key, fact) in enumerate(changes.seen, start=first):
            entity_id = self._entity_ids[(kind, key)]
            body = msgspec.json.encode(fact).decode()
            rows.append(
                {"id": number, "entity_id": entity_id, "kind": kind, "valid_from_ms": at_ms,
                 "body": body}
            )  # fmt: skip
            self._open[kind][key] = Open(entity_id, number, remembered(fact))
        connection.execute(sa.insert(schema.revision), rows)

    def _insert_samples(self, connection: sa.Connection, scan: Scan, at_ms: int) -> int:
        """The samples' rows; returns the bits of the kinds that were measured whole."""
        sampled, self._sum = 0, SamplesSum()
        for kind, measured in _samples(scan):
            open_of_kind = self._open[kind]
            rows = sorted(
                (at_ms, open_of_kind[key].entity_id, *astuple(sample))
                for key, sample in measured.items()
                if key in open_of_kind
            )
            if rows:
                self._sum.add(kind, _insert_rows(connection, kind, rows))
            if kind != "volume" or scan.volumes_measured:
                sampled |= schema.KIND_BIT[kind]
        return sampled

    def _insert_scan(
        self,
        connection: sa.Connection,
        scan: Scan,
        at_ms: int,
        sampled: int,
        changes: Changes,
        *,
        stepped: bool,
    ) -> int:
        listed = sum(schema.KIND_BIT[kind] for kind, _ in lists(scan))
        missing = msgspec.json.encode(scan.missing).decode() if scan.missing else None
        values = {
            "host_id": self._host_id,
            "at_ms": at_ms,
            "took_ms": scan.took_ms,
            "ok": int(scan.ok),
            "problem": scan.problem,
            "sentence": scan.sentence,
            "detail": scan.detail,
            "missing": missing,
            "rpc_count": scan.rpc_count,
            "clock_stepped": int(stepped),
            "interval_ms": self._interval_ms,
            "next_at_ms": scan.next_at_ms,
            "listed": listed,
            "sampled": sampled,
            "changes": changes.count,
            "samples_crc": self._sum.value,
        }
        statement = _scan_insert(connection.dialect)
        row = tuple(values[name] for name in _SCAN_COLUMNS)
        return int(plain(connection).execute(statement, row).lastrowid or 0)


def _unchanged(scan: Scan, changes: Changes) -> Iterator[tuple[KindName, Mapping[str, Fact]]]:
    changed = changes.kinds
    return ((kind, facts) for kind, facts in lists(scan) if kind not in changed)


def _samples(scan: Scan) -> Iterator[tuple[KindName, Mapping[str, Sample]]]:
    if scan.host_sample is not None:
        yield "host", {HOST_KEY: scan.host_sample}
    if scan.domain_samples is not None:
        yield "domain", scan.domain_samples
    if scan.device_samples is not None:
        yield "device", scan.device_samples
    if scan.pool_samples is not None:
        yield "pool", scan.pool_samples
    if scan.volume_samples:
        yield "volume", {volume_key(*key): sample for key, sample in scan.volume_samples.items()}


def _next_id(connection: sa.Connection, table: sa.Table) -> int:
    """The first free id; the writer's lock is held, so nobody else takes it."""
    return (connection.scalar(sa.select(sa.func.max(table.c.id))) or 0) + 1


# These two are said with every scan of every host: as text once, and not built anew each time.
_SCAN_COLUMNS = tuple(column.name for column in schema.scan.c if column.name != "id")


@cache
def _scan_insert(dialect: sa.Dialect) -> str:
    return str(sa.insert(schema.scan).compile(dialect=dialect, column_keys=_SCAN_COLUMNS))


@cache
def _newest(dialect: sa.Dialect) -> str:
    """When a host was last scanned, and last looked at in between."""
    newest = (
        sa.select(sa.func.max(table.c.at_ms))
        .where(table.c.host_id == sa.bindparam("host"))
        .scalar_subquery()
        for table in (schema.scan, schema.partial_look)
    )
    return str(sa.select(*newest).compile(dialect=dialect))


@cache
def _sample_insert(kind: KindName, dialect: sa.Dialect) -> str:
    return str(sa.insert(schema.samples[kind]).compile(dialect=dialect))


def _insert_rows(
    connection: sa.Connection, kind: KindName, rows: list[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Insert sample rows by position, a tenth of the cost of named values a row; as they were
    stored.
    """
    statement = _sample_insert(kind, connection.dialect)
    try:
        plain(connection).executemany(statement, rows)
    except OverflowError:
        # Those before the one that is too large were stored.
        table = schema.samples[kind]
        entities = table.c.entity.in_([row[1] for row in rows])
        connection.execute(sa.delete(table).where(table.c.ts == rows[0][0], entities))
        rows = [_within_range(row) for row in rows]
        plain(connection).executemany(statement, rows)
    return rows


def _within_range(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Counters above a signed 64-bit integer are unknown."""
    return tuple(None if v is not None and v > _LARGEST else v for v in row)
