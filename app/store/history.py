"""The read side: the fleet as it was at a moment, drawn from revisions and samples.

"Now" is only the latest moment. Cannot write. The present is kept in memory for as long as nobody
commits, and bodies that did not change are not parsed again.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic
from weakref import WeakKeyDictionary

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from typing_extensions import TypeVar

from app import clock
from app.inventory import (
    KIND_BY_NAME,
    Definition,
    Domain,
    DomainSample,
    Fact,
    Host,
    HostSample,
    Interface,
    KindName,
    Missing,
    Network,
    Pool,
    PoolSample,
    Volume,
    VolumeSample,
)
from app.store import schema
from app.store.engine import Store
from app.store.hosts import HostRecord, host_record

# A host is known for three intervals after its last look, and what that look took.
_MISSED_TICKS = 3
_GRACE_MS = 5_000
_PAST_FLEETS = 4
_SHOWN: tuple[KindName, ...] = ("host", "domain", "pool", "volume", "network", "interface")

F = TypeVar("F", bound=Fact, default=Any)
S = TypeVar("S", default=Any)


class HostStatus(Struct, frozen=True):
    """How a host stands at a moment.

    `known`: its last look succeeded and is recent. `unknown_since_ms`: when it was last seen, or
    added. `failures`: looks that failed since. `unlisted`: kinds that the last look could not
    list. Times are of scans; None where there was none.
    """

    known: bool
    unknown_since_ms: int | None = None
    last_ok_at_ms: int | None = None
    last_try_at_ms: int | None = None
    took_ms: int | None = None
    ok: bool | None = None
    problem: str | None = None
    sentence: str | None = None
    detail: str | None = None
    failures: int = 0
    next_at_ms: int | None = None
    missing: tuple[Missing, ...] = ()
    rpc_count: int | None = None
    # When it stops being known unless somebody looks again.
    known_until_ms: int | None = None
    unlisted: frozenset[str] = frozenset()


class Seen(Struct, Generic[F, S], frozen=True):
    """One object as of a moment.

    `at_ms` is the scan that last saw it, `valid_from_ms` the one that first saw it like this.
    `sample` and `previous` are the measurements of the last good scan and of the one before it,
    `elapsed_ms` apart; None where it was not measured. `known` False: these are its last values.
    """

    host: str
    key: str
    entity_id: int
    fact: F
    at_ms: int
    valid_from_ms: int
    known: bool
    sample: S | None = None
    previous: S | None = None
    elapsed_ms: int | None = None


class HostView(Struct, frozen=True):
    """One host of the registry at a moment: how it stands, and what was last seen of it."""

    slug: str
    record: HostRecord
    status: HostStatus
    seen: Seen[Host, HostSample] | None


class Fleet(Struct, frozen=True):
    """All that is known at a moment. `as_of_ms` is the newest scan, None before the first."""

    moment_ms: int | None
    as_of_ms: int | None
    hosts: tuple[HostView, ...] = ()
    domains: tuple[Seen[Domain, DomainSample], ...] = ()
    pools: tuple[Seen[Pool, PoolSample], ...] = ()
    volumes: tuple[Seen[Volume, VolumeSample], ...] = ()
    networks: tuple[Seen[Network, None], ...] = ()
    interfaces: tuple[Seen[Interface, None], ...] = ()

    def host(self, slug: str) -> HostView | None:
        """The host of that name."""
        return next((view for view in self.hosts if view.slug == slug), None)

    def domain(self, host: str, uuid: str) -> Seen[Domain, DomainSample] | None:
        """The domain of that host."""
        return _find(self.domains, host, uuid)

    def pool(self, host: str, uuid: str) -> Seen[Pool, PoolSample] | None:
        """The storage pool of that host."""
        return _find(self.pools, host, uuid)

    def network(self, host: str, uuid: str) -> Seen[Network, None] | None:
        """The network of that host."""
        return _find(self.networks, host, uuid)


class Try(Struct, frozen=True):
    """One look at a host, for the list of tries."""

    at_ms: int
    took_ms: int
    ok: bool
    problem: str | None
    sentence: str | None
    missing: tuple[Missing, ...]
    changes: int
    rpc_count: int | None
    clock_stepped: bool


class Density(Struct, frozen=True):
    """One stretch of time: revisions begun, looks that failed, and whether nobody looked."""

    changes: int
    failed: int
    gap: bool


def fleet(store: Store, moment_ms: int | None) -> Fleet:
    """The fleet as of `moment_ms`, None for now. The same object until something changes."""
    return _cache_of(store).fleet(store, moment_ms)


def definition(
    store: Store, host_id: int, uuid: str, moment_ms: int | None
) -> Seen[Definition, None] | None:
    """A domain's XML as of a moment; read only when asked for, because it is large."""
    at_ms = clock.now_ms() if moment_ms is None else moment_ms
    entity, revision, host = schema.entity, schema.revision, schema.host
    query = (
        sa.select(revision, entity.c.key, host.c.slug)
        .join(entity, entity.c.id == revision.c.entity_id)
        .join(host, host.c.id == entity.c.host_id)
        .where(entity.c.host_id == host_id, entity.c.kind == "definition", entity.c.key == uuid)
        .where(revision.c.valid_from_ms <= at_ms, _valid_at(at_ms))
    )
    with store.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    fact = msgspec.json.decode(row.body, type=Definition)
    since = row.valid_from_ms
    return Seen(row.slug, row.key, row.entity_id, fact, since, since, known=True)


def scans(store: Store, host_id: int, moment_ms: int | None, limit: int) -> list[Try]:
    """The last looks at a host before a moment, newest first."""
    table = schema.scan
    query = sa.select(table).where(table.c.host_id == host_id)
    if moment_ms is not None:
        query = query.where(table.c.at_ms <= moment_ms)
    with store.reading() as connection:
        rows = connection.execute(query.order_by(table.c.at_ms.desc()).limit(limit)).all()
    return [
        Try(
            row.at_ms, row.took_ms, bool(row.ok), row.problem, row.sentence,
            _missing(row.missing), row.changes, row.rpc_count, bool(row.clock_stepped),
        )
        for row in rows
    ]  # fmt: skip


def change_density(store: Store, from_ms: int, to_ms: int, buckets: int) -> list[Density]:
    """What happened in each of `buckets` equal stretches between two times."""
    width = max(1, (to_ms - from_ms) // buckets)
    table = schema.scan
    bucket = ((table.c.at_ms - from_ms) / width).cast(sa.Integer)
    query = (
        sa.select(
            bucket.label("bucket"),
            sa.func.sum(table.c.changes).label("changes"),
            sa.func.sum(1 - table.c.ok).label("failed"),
        )
        .where(table.c.at_ms >= from_ms, table.c.at_ms < from_ms + width * buckets)
        .group_by(bucket)
    )
    with store.reading() as connection:
        found = {row.bucket: row for row in connection.execute(query)}
    return [
        Density(int(found[n].changes), int(found[n].failed), gap=False)
        if n in found
        else Density(0, 0, gap=True)
        for n in range(buckets)
    ]


# --- building a fleet ------------------------------------------------------------------------


class _Revision(Struct, frozen=True):
    id: int
    entity_id: int
    host_id: int
    kind: KindName
    key: str
    valid_from_ms: int


class _HostScan(Struct, frozen=True):
    """The looks at one host that matter at a moment, by their times."""

    last: Any
    ok: Any
    failures: int
    before_ms: int | None
    volumes_ms: int | None


class _Cache:
    """The fleets of one store, and the parsed bodies of the present."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: tuple[int, int, Fleet] | None = None
        self._facts: dict[int, Fact] = {}
        self._past: OrderedDict[tuple[int, int], Fleet] = OrderedDict()

    def fleet(self, store: Store, moment_ms: int | None) -> Fleet:
        with self._lock:
            version = store.version()
            if moment_ms is None:
                return self._present(store, version)
            found = self._past.get((version, moment_ms))
            if found is None:
                found, _ = _build(store, moment_ms, moment_ms, {})
                self._past[(version, moment_ms)] = found
                while len(self._past) > _PAST_FLEETS:
                    self._past.popitem(last=False)
            return found

    def _present(self, store: Store, version: int) -> Fleet:
        now_ms = clock.now_ms()
        if self._live is not None:
            seen_version, stale_ms, live = self._live
            if seen_version == version and now_ms < stale_ms:
                return live
        live, facts = _build(store, None, now_ms, self._facts)
        self._facts = facts
        self._live = (version, _stale_ms(live, now_ms), live)
        return live


def _build(
    store: Store, moment_ms: int | None, at_ms: int, known_facts: dict[int, Fact]
) -> tuple[Fleet, dict[int, Fact]]:
    with store.reading() as connection:
        return _Builder(connection, moment_ms, at_ms, known_facts).build()


class _Builder:
    """Builds one fleet within one read transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        moment_ms: int | None,
        at_ms: int,
        known_facts: dict[int, Fact],
    ) -> None:
        self._connection = connection
        self._moment_ms = moment_ms
        self._at_ms = at_ms
        self._known_facts = known_facts

    def build(self) -> tuple[Fleet, dict[int, Fact]]:
        records = {record.id: record for record in self._records()}
        looks = self._looks(records)
        statuses = {
            host_id: self._status(record, looks.get(host_id)) for host_id, record in records.items()
        }
        revisions = [row for row in self._revisions() if row.host_id in records]
        facts = self._facts(revisions)
        measured = self._samples(looks)
        found: dict[str, list[Seen[Any, Any]]] = {kind: [] for kind in _SHOWN}
        host_seen: dict[int, Seen[Host, HostSample]] = {}
        for row in revisions:
            seen = self._seen(
                row, facts[row.id], records[row.host_id], statuses[row.host_id],
                looks.get(row.host_id), measured,
            )  # fmt: skip
            found[row.kind].append(seen)
            if row.kind == "host":
                host_seen[row.host_id] = seen
        views = tuple(
            HostView(record.slug, record, statuses[host_id], host_seen.get(host_id))
            for host_id, record in records.items()
        )
        newest = [status.last_try_at_ms for status in statuses.values()]
        as_of = max((at for at in newest if at is not None), default=None)
        built = Fleet(
            self._moment_ms,
            as_of,
            views,
            *(tuple(found[kind]) for kind in _SHOWN if kind != "host"),
        )
        return built, facts

    def _records(self) -> list[HostRecord]:
        table = schema.host
        query = sa.select(table).where(table.c.created_at_ms <= self._at_ms).order_by(table.c.slug)
        gone = table.c.removed_at_ms
        query = query.where(sa.or_(gone.is_(None), gone > self._at_ms))
        if self._moment_ms is None:
            query = query.where(gone.is_(None))
        return [host_record(row) for row in self._connection.execute(query)]

    def _looks(self, records: Mapping[int, HostRecord]) -> dict[int, _HostScan]:
        """Per host its last look, its last good one, and what else the samples need."""
        host, scan = schema.host, schema.scan
        mine = sa.and_(scan.c.host_id == host.c.id, scan.c.at_ms <= self._at_ms)

        def newest(*conditions: sa.ColumnElement[bool], offset: int = 0) -> sa.ScalarSelect[Any]:
            return (
                sa.select(scan.c.at_ms)
                .where(mine, *conditions)
                .order_by(scan.c.at_ms.desc())
                .limit(1)
                .offset(offset)
                .correlate(host)
                .scalar_subquery()
            )

        good = scan.c.ok == 1
        measured = scan.c.sampled.op("&")(schema.KIND_BIT["volume"]) != 0
        last, ok = newest(), newest(good)
        failures = (
            sa.select(sa.func.count())
            .where(mine, scan.c.at_ms > sa.func.coalesce(ok, -1))
            .correlate(host)
            .scalar_subquery()
        )
        query = sa.select(
            host.c.id,
            last.label("last_ms"),
            ok.label("ok_ms"),
            newest(good, offset=1).label("before_ms"),
            newest(good, measured).label("volumes_ms"),
            failures.label("failures"),
        ).where(host.c.id.in_(records))
        rows = self._connection.execute(query).all()
        times = {(row.id, at) for row in rows for at in (row.last_ms, row.ok_ms) if at is not None}
        scans = self._scans(times)
        return {
            row.id: _HostScan(
                scans[(row.id, row.last_ms)],
                scans.get((row.id, row.ok_ms)),
                row.failures,
                row.before_ms,
                row.volumes_ms,
            )
            for row in rows
            if row.last_ms is not None
        }

    def _scans(self, wanted: set[tuple[int, int]]) -> dict[tuple[int, int], Any]:
        table = schema.scan
        query = sa.select(table).where(
            table.c.host_id.in_({host_id for host_id, _ in wanted}),
            table.c.at_ms.in_({at_ms for _, at_ms in wanted}),
        )
        return {(row.host_id, row.at_ms): row for row in self._connection.execute(query)}

    def _status(self, record: HostRecord, look: _HostScan | None) -> HostStatus:
        if look is None:
            return HostStatus(known=False, unknown_since_ms=record.created_at_ms)
        last, ok = look.last, look.ok
        until_ms = last.at_ms + _MISSED_TICKS * last.interval_ms + last.took_ms + _GRACE_MS
        known = (
            bool(last.ok)
            and self._at_ms < until_ms
            and (record.enabled or self._moment_ms is not None)
        )
        seen_ms = ok.at_ms if ok is not None else None
        return HostStatus(
            known=known,
            unknown_since_ms=None if known else (seen_ms or record.created_at_ms),
            last_ok_at_ms=seen_ms,
            last_try_at_ms=last.at_ms,
            took_ms=last.took_ms,
            ok=bool(last.ok),
            problem=last.problem,
            sentence=last.sentence,
            detail=last.detail,
            failures=look.failures,
            next_at_ms=last.next_at_ms,
            missing=_missing(last.missing),
            rpc_count=last.rpc_count,
            known_until_ms=until_ms if known else None,
            unlisted=_unlisted(last.listed) if known else frozenset(),
        )

    def _revisions(self) -> Iterator[_Revision]:
        entity, revision = schema.entity, schema.revision
        still = (
            revision.c.valid_to_ms.is_(None) if self._moment_ms is None else _valid_at(self._at_ms)
        )
        query = (
            sa.select(
                revision.c.id, revision.c.entity_id, entity.c.host_id, revision.c.kind,
                entity.c.key, revision.c.valid_from_ms,
            )
            .join(entity, entity.c.id == revision.c.entity_id)
            .where(revision.c.kind.in_(_SHOWN), revision.c.valid_from_ms <= self._at_ms, still)
        )  # fmt: skip
        for row in self._connection.execute(query):
            yield _Revision(*row)

    def _facts(self, revisions: Iterable[_Revision]) -> dict[int, Fact]:
        facts: dict[int, Fact] = {}
        unknown: list[_Revision] = []
        for row in revisions:
            fact = self._known_facts.get(row.id)
            if fact is None:
                unknown.append(row)
            else:
                facts[row.id] = fact
        table = schema.revision
        for start in range(0, len(unknown), 500):
            some = {row.id: row.kind for row in unknown[start : start + 500]}
            query = sa.select(table.c.id, table.c.body).where(table.c.id.in_(some))
            for number, body in self._connection.execute(query):
                facts[number] = msgspec.json.decode(body, type=KIND_BY_NAME[some[number]].fact)
        return facts

    def _samples(self, looks: Mapping[int, _HostScan]) -> dict[str, dict[tuple[int, int], Any]]:
        """By kind: (ts, entity) → sample, at the times that the hosts' looks name."""
        times = {look.ok.at_ms for look in looks.values() if look.ok is not None}
        times |= {look.before_ms for look in looks.values() if look.before_ms is not None}
        measured: dict[str, dict[tuple[int, int], Any]] = {}
        for kind, table in schema.samples.items():
            struct = KIND_BY_NAME[kind].sample
            if struct is None:
                continue
            if kind == "volume":
                since = [look.volumes_ms for look in looks.values() if look.volumes_ms is not None]
                if not since:
                    continue
                condition = sa.and_(table.c.ts >= min(since), table.c.ts <= self._at_ms)
            else:
                condition = table.c.ts.in_(times)
            rows = self._connection.execute(sa.select(table).where(condition))
            measured[kind] = {(row[0], row[1]): struct(*row[2:]) for row in rows}
        if "volume" in measured:
            latest = {entity: ts for ts, entity in sorted(measured["volume"])}
            measured["volume"] = {
                (0, entity): measured["volume"][(ts, entity)] for entity, ts in latest.items()
            }
        return measured

    def _seen(
        self,
        row: _Revision,
        fact: Fact,
        record: HostRecord,
        status: HostStatus,
        look: _HostScan | None,
        measured: Mapping[str, Mapping[tuple[int, int], Any]],
    ) -> Seen[Any, Any]:
        samples = measured.get(row.kind, {})
        ok_ms = status.last_ok_at_ms if status.last_ok_at_ms is not None else row.valid_from_ms
        sample = previous = elapsed = None
        if row.kind == "volume":
            sample = samples.get((0, row.entity_id))
        elif samples and look is not None:
            sample = samples.get((ok_ms, row.entity_id))
            if look.before_ms is not None:
                previous = samples.get((look.before_ms, row.entity_id))
                elapsed = ok_ms - look.before_ms if previous is not None else None
        known = status.known and row.kind not in status.unlisted
        return Seen(
            record.slug, row.key, row.entity_id, fact, ok_ms, row.valid_from_ms, known,
            sample, previous, elapsed,
        )  # fmt: skip


_caches_lock = threading.Lock()
_caches: WeakKeyDictionary[Store, _Cache] = WeakKeyDictionary()


def _cache_of(store: Store) -> _Cache:
    with _caches_lock:
        return _caches.setdefault(store, _Cache())


def _find(objects: Iterable[Seen[F, S]], host: str, key: str) -> Seen[F, S] | None:
    return next((seen for seen in objects if seen.key == key and seen.host == host), None)


def _valid_at(at_ms: int) -> sa.ColumnElement[bool]:
    to_ms = schema.revision.c.valid_to_ms
    return sa.or_(to_ms.is_(None), to_ms > at_ms)


def _stale_ms(live: Fleet, now_ms: int) -> int:
    """When the first host that is known now stops being known if nobody looks again."""
    ends = (view.status.known_until_ms for view in live.hosts)
    return min((end for end in ends if end is not None), default=now_ms + 3_600_000)


def _missing(text: str | None) -> tuple[Missing, ...]:
    return msgspec.json.decode(text, type=tuple[Missing, ...]) if text else ()


def _unlisted(listed: int) -> frozenset[str]:
    return frozenset(
        kind
        for kind in ("host", "domain", "pool", "network", "interface")
        if not listed & schema.KIND_BIT[kind]
    )
