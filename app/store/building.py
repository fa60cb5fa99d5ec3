"""Builds the fleet of one moment from rows, within one read transaction.

What was parsed for the last fleet is handed on to the next: bodies of revisions and samples never
change once written, so a new tick costs what the tick brought.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct, field
from msgspec.structs import replace

from app.inventory import Fact, Host, HostSample, KindName, Missing
from app.store import schema
from app.store.asked import shutdowns, still_running
from app.store.facts import facts_by_id
from app.store.hosts import HostRecord, host_record
from app.store.looks import MISSED_TICKS, HostLook, last_listing, looks_at
from app.store.measured import Measurements, ReadBefore, Taken, since_measured
from app.store.views import Fleet, HostStatus, HostView, Seen

# A host is known for three intervals after its last look, and what that look took, and some.
_GRACE_MS = 5_000
_SHOWN: tuple[KindName, ...] = ("host", "domain", "pool", "volume", "network", "interface")


class Parsed(Struct):
    """What was parsed: facts by revision, and samples."""

    facts: dict[int, Fact] = field(default_factory=dict)
    samples: ReadBefore = field(default_factory=dict)


class _Revision(Struct, gc=False):
    id: int
    entity_id: int
    host_id: int
    kind: KindName
    key: str
    valid_from_ms: int


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
        # How many objects could not be read.
        self.damaged = 0

    def build(self) -> tuple[Fleet, Parsed]:
        """The fleet, and what to hand to the next builder."""
        records = {record.id: record for record in self._records()}
        live = self._moment_ms is None
        looks = looks_at(self._connection, records, self._at_ms, live=live)
        statuses = {
            host_id: self._status(record, looks.get(host_id)) for host_id, record in records.items()
        }
        revisions = self._revisions(looks)
        self._read_facts(revisions)
        self.damaged = sum(row.id not in self._parsed.facts for row in revisions)
        if self.damaged:
            # Of what cannot be read nothing is shown; the rest is.
            revisions = [row for row in revisions if row.id in self._parsed.facts]
        hosts = {row.entity_id: row.host_id for row in revisions if row.kind == "volume"}
        measured = Measurements(self._connection, looks, hosts, self._known.samples)
        self._parsed.samples = measured.read
        listed = self._last_listed(statuses)
        found: dict[str, list[Seen[Any, Any]]] = {kind: [] for kind in _SHOWN}
        host_seen: dict[int, Seen[Host, HostSample]] = {}
        groups: dict[tuple[int, KindName], _Group] = {}
        for row in revisions:
            group = groups.get((row.host_id, row.kind))
            if group is None:
                slug, status = records[row.host_id].slug, statuses[row.host_id]
                group = groups[row.host_id, row.kind] = _group(slug, status, row, measured)
            seen = group.seen(row, self._parsed.facts[row.id])
            if listed and (row.host_id, row.kind) in listed:
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
        live = self._moment_ms is None
        rows = self._connection.execute(_hosts_query(live=live), {"at_ms": self._at_ms})
        records = [host_record(row) for row in rows]
        if live:
            return records
        # Whether it is disabled is known of the present alone.
        return [replace(record, enabled=True) for record in records]

    def _status(self, record: HostRecord, look: HostLook | None) -> HostStatus:
        if look is None:
            return HostStatus(known=False, unknown_since_ms=record.created_at_ms)
        last, ok = look.last, look.ok
        until_ms = last.at_ms + MISSED_TICKS * last.interval_ms + last.took_ms + _GRACE_MS
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
        found: dict[tuple[int, str], int] = {}
        for host_id, status in statuses.items():
            for kind in status.unlisted:
                at_ms = last_listing(self._connection, host_id, kind, status.last_try_at_ms or 0)
                if at_ms is not None:
                    found[(host_id, kind)] = at_ms
        return found

    def _revisions(self, looks: Mapping[int, HostLook]) -> list[_Revision]:
        """What held of the hosts that were looked at, each as far as it was known."""
        ends = (look.until_ms for look in looks.values())
        asked = {"at_ms": self._at_ms, "ended_ms": min(ends, default=self._at_ms)}
        query = _revisions_query(live=self._moment_ms is None)
        # Past SQLAlchemy's rows: there are many, and nothing in them needs translating.
        rows: Any = self._connection.execute(query, asked).cursor
        return [
            _Revision(*row[:-1])
            for row in rows
            if (look := looks.get(row[2])) is not None and look.holds(row[5], row[6])
        ]

    def _read_facts(self, revisions: Iterable[_Revision]) -> None:
        facts, known = self._parsed.facts, self._known.facts
        unknown: dict[int, KindName] = {}
        for row in revisions:
            fact = known.get(row.id)
            if fact is None:
                unknown[row.id] = row.kind
            else:
                facts[row.id] = fact
        facts.update(facts_by_id(self._connection, unknown))


class _Group(Struct, gc=False):
    """What is the same of all objects of a kind on one host."""

    slug: str
    ok_ms: int | None
    known: bool
    take: Callable[[int, Fact], Taken]

    def seen(self, row: _Revision, fact: Fact) -> Seen[Any, Any]:
        """An object of them, that has been like this since the revision."""
        from_ms = row.valid_from_ms
        taken = self.take(row.entity_id, fact)
        ok_ms = from_ms if self.ok_ms is None else self.ok_ms
        if from_ms > ok_ms:
            # Seen since the last scan, when libvirt told of it: what it measured before, if it is
            # another run of a domain now, was not this one's.
            ok_ms = from_ms
            taken = since_measured(taken, fact)
        return Seen(
            self.slug, row.key, row.entity_id, fact, ok_ms, from_ms, self.known,
            taken.sample, taken.previous, taken.elapsed_ms, taken.rates,
        )  # fmt: skip


def _group(slug: str, status: HostStatus, row: _Revision, measured: Measurements) -> _Group:
    known = status.known and row.kind not in status.unlisted
    take = measured.taker(row.kind, row.host_id)
    return _Group(slug, status.last_ok_at_ms, known, take)


# Put together once: that costs more than running it.


@cache
def _hosts_query(*, live: bool) -> sa.Select[Any]:
    """The hosts that were there at `at_ms`; `live`: that are there."""
    table = schema.host
    at_ms: sa.BindParameter[int] = sa.bindparam("at_ms")
    query = sa.select(table).order_by(table.c.slug)
    gone = table.c.removed_at_ms
    if live:
        return query.where(gone.is_(None))
    return query.where(table.c.created_at_ms <= at_ms, sa.or_(gone.is_(None), gone > at_ms))


@cache
def _revisions_query(*, live: bool) -> sa.Select[Any]:
    """The revisions that may have held at `at_ms`, without their bodies: they begin before that
    and end after `ended_ms`.
    """
    entity, revision = schema.entity, schema.revision
    at_ms: sa.BindParameter[int] = sa.bindparam("at_ms")
    to_ms = revision.c.valid_to_ms
    ended_ms: sa.BindParameter[int] = sa.bindparam("ended_ms")
    still = to_ms.is_(None) if live else sa.or_(to_ms.is_(None), to_ms > ended_ms)
    return (
        sa.select(
            revision.c.id, revision.c.entity_id, entity.c.host_id, revision.c.kind,
            entity.c.key, revision.c.valid_from_ms, to_ms,
        )
        .join(entity, entity.c.id == revision.c.entity_id)
        .where(revision.c.kind.in_(_SHOWN), revision.c.valid_from_ms <= at_ms, still)
        # In a fixed order, so that a past moment is the same however often it is asked for.
        .order_by(revision.c.entity_id)
    )  # fmt: skip


def decoded_missing(text: str | None) -> tuple[Missing, ...]:
    """The missing parts of a scan, from their column."""
    return msgspec.json.decode(text, type=tuple[Missing, ...]) if text else ()


def _unlisted(listed: int) -> frozenset[str]:
    return frozenset(
        kind
        for kind in ("host", "domain", "pool", "network", "interface")
        if not listed & schema.KIND_BIT[kind]
    )
