"""The read side: the fleet as it was at a moment, drawn from revisions and samples.

"Now" is only the latest moment. Cannot write. The present is kept in memory for as long as nobody
commits.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import sqlalchemy as sa

from app import clock
from app.clock import HOUR_MS
from app.inventory import Definition
from app.store import schema
from app.store.archived import rows_before
from app.store.building import Builder, Parsed, decoded_missing
from app.store.engine import Store
from app.store.looks import HostLook, look_at, over_at
from app.store.views import Density, Fleet, HostStatus, HostView, Seen, Try

__all__ = [
    "Density",
    "Fleet",
    "HostStatus",
    "HostView",
    "Seen",
    "Try",
    "change_density",
    "definition",
    "fleet",
    "scans",
]

_PAST_FLEETS = 4
# Later than any label: what still holds then holds now.
_NEVER_OVER_MS = 1 << 62


def fleet(store: Store, moment_ms: int | None) -> Fleet:
    """The fleet as of `moment_ms`, None for now. The same object until something changes."""
    return _cache_of(store).fleet(store, moment_ms)


def definition(
    store: Store, host_id: int, uuid: str, moment_ms: int | None
) -> Seen[Definition, None] | None:
    """A domain's XML as of a moment; read only when asked for, because it is large."""
    at_ms = _NEVER_OVER_MS if moment_ms is None else moment_ms
    entity, revision, host = schema.entity, schema.revision, schema.host
    query = (
        sa.select(revision, entity.c.key, host.c.slug)
        .join(entity, entity.c.id == revision.c.entity_id)
        .join(host, host.c.id == entity.c.host_id)
        .where(entity.c.host_id == host_id, entity.c.kind == "definition", entity.c.key == uuid)
        .where(revision.c.valid_from_ms <= at_ms)
        .order_by(revision.c.valid_from_ms.desc())
    )
    with store.reading() as connection:
        if moment_ms is None:
            row = connection.execute(query.where(revision.c.valid_to_ms.is_(None))).first()
        else:
            look = look_at(connection, host_id, moment_ms)
            rows = connection.execute(query) if look is not None else ()
            row = next((one for one in rows if _held(look, one)), None)
    if row is None:
        return None
    fact = msgspec.json.decode(row.body, type=Definition)
    since = row.valid_from_ms
    return Seen(row.slug, row.key, row.entity_id, fact, since, since, known=True)


def _held(look: HostLook | None, row: Any) -> bool:
    return look is not None and look.holds(row.valid_from_ms, row.valid_to_ms)


def scans(store: Store, host_id: int, moment_ms: int | None, limit: int) -> list[Try]:
    """The last looks at a host before a moment, newest first."""
    table = schema.scan
    query = sa.select(table).where(table.c.host_id == host_id)
    if moment_ms is not None:
        query = query.where(table.c.at_ms <= moment_ms, over_at(sa.literal(moment_ms)))
    with store.reading() as connection:
        found: Sequence[Any] = connection.execute(
            query.order_by(table.c.at_ms.desc()).limit(limit)
        ).all()
        until_ms = clock.now_ms()
        if moment_ms is not None:
            look = look_at(connection, host_id, moment_ms)
            until_ms = moment_ms if look is None else look.until_ms
        packed = rows_before(connection, host_id, until_ms, limit)
    rows = sorted((*found, *packed), key=lambda row: row.at_ms, reverse=True)[:limit]
    return [
        Try(
            row.at_ms, row.took_ms, bool(row.ok), row.problem, row.sentence,
            decoded_missing(row.missing), row.changes, row.rpc_count, bool(row.clock_stepped),
        )
        for row in rows
    ]  # fmt: skip


def change_density(
    store: Store, from_ms: int, to_ms: int, buckets: int, host_ids: frozenset[int] | None = None
) -> list[Density]:
    """What happened in `buckets` equal stretches between two times, on some hosts or all."""
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
    if host_ids is not None:
        query = query.where(table.c.host_id.in_(host_ids))
    with store.reading() as connection:
        found = {row.bucket: row for row in connection.execute(query)}
    return [
        Density(int(found[n].changes), int(found[n].failed), gap=False)
        if n in found
        else Density(0, 0, gap=True)
        for n in range(buckets)
    ]


class _Cache:
    """The fleets of one store, and the parsed bodies of the present."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: tuple[int, int, Fleet] | None = None
        self._parsed = Parsed()
        self._past: OrderedDict[tuple[int, int], Fleet] = OrderedDict()

    def fleet(self, store: Store, moment_ms: int | None) -> Fleet:
        with self._lock:
            version = store.version()
            if moment_ms is None:
                return self._present(store, version)
            found = self._past.get((version, moment_ms))
            if found is None:
                # Bodies of revisions never change: most were parsed for the present.
                known = Parsed(facts=self._parsed.facts)
                found, _ = _build(store, moment_ms, moment_ms, known)
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
        live, self._parsed = _build(store, None, now_ms, self._parsed)
        self._live = (version, _stale_ms(live, now_ms), live)
        return live


def _build(store: Store, moment_ms: int | None, at_ms: int, known: Parsed) -> tuple[Fleet, Parsed]:
    with store.reading() as connection:
        if moment_ms is None:
            # The present is what was seen last, also when the wall clock was set back since.
            newest_ms = connection.scalar(sa.select(sa.func.max(schema.scan.c.at_ms)))
            at_ms = max(at_ms, newest_ms or 0)
        builder = Builder(connection, moment_ms, at_ms, known)
        built = builder.build()
    if builder.damaged:
        objects = "one object" if builder.damaged == 1 else f"{builder.damaged} objects"
        store.troubles.found_damage(f"The store is damaged: {objects} cannot be read.")
    return built


_caches_lock = threading.Lock()
_caches: WeakKeyDictionary[Store, _Cache] = WeakKeyDictionary()


def _cache_of(store: Store) -> _Cache:
    with _caches_lock:
        return _caches.setdefault(store, _Cache())


def _stale_ms(live: Fleet, now_ms: int) -> int:
    """When the first host that is known now stops being known if nobody looks again."""
    ends = (view.status.known_until_ms for view in live.hosts)
    return min((end for end in ends if end is not None), default=now_ms + HOUR_MS)
