"""Builds the fleet of one moment from rows, within one read transaction.

What was parsed for the last fleet is handed on to the next: bodies of revisions and samples never
change once written, so a new tick costs what the tick brought.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct, field
from msgspec.structs import replace

from app.inventory import KIND_BY_NAME, Fact, Host, HostSample, KindName, Missing
from app.store import schema
from app.store.asked import shutdowns, still_running
from app.store.hosts import HostRecord, host_record
from app.store.views import Fleet, HostStatus, HostView, Seen

# A host is known for three intervals after its last look, and what that look took.
_MISSED_TICKS = 3
_GRACE_MS = 5_000
_SHOWN: tuple[KindName, ...] = ("host", "domain", "pool", "volume", "network", "interface")

Samples = dict[int, Any]


class Parsed(Struct):
    """What was parsed: facts by revision; samples by kind, time and the hosts of that time, and
    then by entity.
    """

    facts: dict[int, Fact] = field(default_factory=dict)
    samples: dict[tuple[str, int, frozenset[int]], Samples] = field(default_factory=dict)


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


class Builder:
    """Builds one fleet within one read transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        moment_ms: int | None,
        at_ms: int,
        known: Parsed,
    ) -> None:
        self._connection = connection
        self._moment_ms = moment_ms
        self._at_ms = at_ms
        self._known = known
        self._parsed = Parsed()

    def build(self) -> tuple[Fleet, Parsed]:
        """The fleet, and what to hand to the next builder."""
        records = {record.id: record for record in self._records()}
        looks = self._looks(records)
        statuses = {
            host_id: self._status(record, looks.get(host_id)) for host_id, record in records.items()
        }
        revisions = [row for row in self._revisions() if row.host_id in records]
        self._read_facts(revisions)
        samples = self._samples(looks)
        listed = self._last_listed(statuses)
        found: dict[str, list[Seen[Any, Any]]] = {kind: [] for kind in _SHOWN}
        host_seen: dict[int, Seen[Host, HostSample]] = {}
        for row in revisions:
            seen = self._seen(
                row, records[row.host_id], statuses[row.host_id], looks.get(row.host_id), samples
            )
            if (row.host_id, row.kind) in listed:
                seen = replace(seen, at_ms=listed[(row.host_id, row.kind)])
            found[row.kind].append(seen)
            if row.kind == "host":
                host_seen[row.host_id] = seen
        views = tuple(
            HostView(record.slug, record, statuses[host_id], host_seen.get(host_id))
            for host_id, record in records.items()
        )
        newest = [status.last_try_at_ms for status in statuses.values()]
        as_of = max((at for at in newest if at is not None), default=None)
        fleet = Fleet(
            self._moment_ms,
            as_of,
            views,
            domains=tuple(found["domain"]),
            pools=tuple(found["pool"]),
            volumes=tuple(found["volume"]),
            networks=tuple(found["network"]),
            interfaces=tuple(found["interface"]),
        )
        asked = shutdowns(self._connection, self._at_ms)
        return replace(fleet, shutdowns=still_running(fleet, asked)), self._parsed

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
        asked = {"at_ms": self._at_ms, "host_ids": list(records)}
        rows = self._connection.execute(_looks_query(), asked).all()
        times = {(row.id, at) for row in rows for at in (row.last_ms, row.ok_ms) if at is not None}
        scans = self._scans(times)
        return {
            row.id: _HostScan(
                scans[(row.id, row.last_ms)],
                scans.get((row.id, row.ok_ms)),
                row.failures,
                _near(row.before_ms, scans.get((row.id, row.ok_ms))),
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
            missing=decoded_missing(last.missing),
            rpc_count=last.rpc_count,
            known_until_ms=until_ms if known else None,
            unlisted=_unlisted(last.listed) if known else frozenset(),
        )

    def _last_listed(self, statuses: Mapping[int, HostStatus]) -> dict[tuple[int, str], int]:
        """For each kind that a host's last look could not list: when one last did."""
        table = schema.scan
        found: dict[tuple[int, str], int] = {}
        for host_id, status in statuses.items():
            for kind in status.unlisted:
                at_ms = self._connection.scalar(
                    sa.select(sa.func.max(table.c.at_ms)).where(
                        table.c.host_id == host_id,
                        table.c.at_ms <= self._at_ms,
                        table.c.listed.op("&")(schema.KIND_BIT[kind]) != 0,
                    )
                )
                if at_ms is not None:
                    found[(host_id, kind)] = at_ms
        return found

    def _revisions(self) -> list[_Revision]:
        query = _revisions_query(live=self._moment_ms is None)
        rows = self._connection.execute(query, {"at_ms": self._at_ms}).all()
        return [_Revision(*row) for row in rows]

    def _read_facts(self, revisions: Iterable[_Revision]) -> None:
        facts = self._parsed.facts
        unknown: list[_Revision] = []
        for row in revisions:
            fact = self._known.facts.get(row.id)
            if fact is None:
                unknown.append(row)
            else:
                facts[row.id] = fact
        table = schema.revision
        for start in range(0, len(unknown), 500):
            some = {row.id: row.kind for row in unknown[start : start + 500]}
            query = sa.select(table.c.id, table.c.body).where(table.c.id.in_(some))
            for number, body in self._connection.execute(query).all():
                facts[number] = msgspec.json.decode(body, type=KIND_BY_NAME[some[number]].fact)

    def _samples(self, looks: Mapping[int, _HostScan]) -> dict[tuple[str, int], Samples]:
        """By kind and time: entity → sample, at the times that the hosts' looks name."""
        hosts_at: dict[int, set[int]] = {}
        for host_id, look in looks.items():
            for at_ms in (look.ok.at_ms if look.ok is not None else None, look.before_ms):
                if at_ms is not None:
                    hosts_at.setdefault(at_ms, set()).add(host_id)
        found: dict[tuple[str, int], Samples] = {}
        for kind in schema.samples:
            if kind == "volume":
                found[(kind, 0)] = self._volume_samples(looks)
                continue
            for at_ms, samples in self._samples_at(kind, hosts_at).items():
                found[(kind, at_ms)] = samples
        return found

    def _samples_at(self, kind: str, hosts_at: Mapping[int, set[int]]) -> dict[int, Samples]:
        """The samples of a kind by time; read are only the times that were not read before."""
        keys = {at_ms: (kind, at_ms, frozenset(hosts)) for at_ms, hosts in hosts_at.items()}
        known = {at_ms: self._known.samples.get(key) for at_ms, key in keys.items()}
        found = {at_ms: samples for at_ms, samples in known.items() if samples is not None}
        fresh = [at_ms for at_ms in keys if at_ms not in found]
        found |= {at_ms: {} for at_ms in fresh}
        struct = KIND_BY_NAME[kind].sample
        table = schema.samples[kind]
        if fresh and struct is not None:
            query = sa.select(table).where(table.c.ts.in_(fresh))
            for at_ms, entity_id, *values in self._connection.execute(query).all():
                found[at_ms][entity_id] = struct(*values)
        self._parsed.samples |= {keys[at_ms]: samples for at_ms, samples in found.items()}
        return found

    def _volume_samples(self, looks: Mapping[int, _HostScan]) -> Samples:
        """The newest sample of each volume since its host last measured all of them."""
        since = [look.volumes_ms for look in looks.values() if look.volumes_ms is not None]
        struct = KIND_BY_NAME["volume"].sample
        if not since or struct is None:
            return {}
        table = schema.samples["volume"]
        query = sa.select(table).where(table.c.ts >= min(since), table.c.ts <= self._at_ms)
        rows = self._connection.execute(query.order_by(table.c.ts)).all()
        return {entity_id: struct(*values) for _, entity_id, *values in rows}

    def _seen(
        self,
        row: _Revision,
        record: HostRecord,
        status: HostStatus,
        look: _HostScan | None,
        samples: Mapping[tuple[str, int], Samples],
    ) -> Seen[Any, Any]:
        ok_ms = status.last_ok_at_ms if status.last_ok_at_ms is not None else row.valid_from_ms
        sample = previous = elapsed = None
        if row.kind == "volume":
            sample = samples[("volume", 0)].get(row.entity_id)
        elif look is not None:
            sample = samples.get((row.kind, ok_ms), {}).get(row.entity_id)
            if look.before_ms is not None:
                previous = samples.get((row.kind, look.before_ms), {}).get(row.entity_id)
                elapsed = ok_ms - look.before_ms if previous is not None else None
        known = status.known and row.kind not in status.unlisted
        return Seen(
            record.slug, row.key, row.entity_id, self._parsed.facts[row.id], ok_ms,
            row.valid_from_ms, known, sample, previous, elapsed,
        )  # fmt: skip


def _near(before_ms: int | None, ok: Any) -> int | None:
    """The good look before the last one, unless looks are missing between the two: what a counter
    did over a gap is not what it does now.
    """
    if before_ms is None or ok is None:
        return None
    return before_ms if ok.at_ms - before_ms <= _MISSED_TICKS * ok.interval_ms else None


# The two large queries are put together once: that costs more than running them.


@cache
def _looks_query() -> sa.Select[Any]:
    """By host, the times of the looks that matter at `at_ms`, for the hosts `host_ids`."""
    host, scan = schema.host, schema.scan
    mine = sa.and_(scan.c.host_id == host.c.id, scan.c.at_ms <= sa.bindparam("at_ms"))

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
    ok = newest(good)
    failures = (
        sa.select(sa.func.count())
        .where(mine, scan.c.at_ms > sa.func.coalesce(ok, -1))
        .correlate(host)
        .scalar_subquery()
    )
    return sa.select(
        host.c.id,
        newest().label("last_ms"),
        ok.label("ok_ms"),
        newest(good, offset=1).label("before_ms"),
        newest(good, measured).label("volumes_ms"),
        failures.label("failures"),
    ).where(host.c.id.in_(sa.bindparam("host_ids", expanding=True)))


@cache
def _revisions_query(*, live: bool) -> sa.Select[Any]:
    """The revisions that held at `at_ms`, without their bodies."""
    entity, revision = schema.entity, schema.revision
    at_ms: sa.BindParameter[int] = sa.bindparam("at_ms")
    to_ms = revision.c.valid_to_ms
    still = to_ms.is_(None) if live else sa.or_(to_ms.is_(None), to_ms > at_ms)
    return (
        sa.select(
            revision.c.id, revision.c.entity_id, entity.c.host_id, revision.c.kind,
            entity.c.key, revision.c.valid_from_ms,
        )
        .join(entity, entity.c.id == revision.c.entity_id)
        .where(revision.c.kind.in_(_SHOWN), revision.c.valid_from_ms <= at_ms, still)
        # In a fixed order, so that a past moment is the same however often it is asked for.
        .order_by(revision.c.entity_id)
    )  # fmt: skip


def valid_at(at_ms: int) -> sa.ColumnElement[bool]:
    """The condition that a revision, begun before `at_ms`, still held then."""
    to_ms = schema.revision.c.valid_to_ms
    return sa.or_(to_ms.is_(None), to_ms > at_ms)


def decoded_missing(text: str | None) -> tuple[Missing, ...]:
    """The missing parts of a scan, from their column."""
    return msgspec.json.decode(text, type=tuple[Missing, ...]) if text else ()


def _unlisted(listed: int) -> frozenset[str]:
    return frozenset(
        kind
        for kind in ("host", "domain", "pool", "network", "interface")
        if not listed & schema.KIND_BIT[kind]
    )
