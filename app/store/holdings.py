"""What the store holds and what it takes: estimated from samples of it, never by reading it all.

The size of the file, and when each tier begins, are exact. What the parts take is measured on a
few objects, spread over all of each kind, and multiplied; so it costs the same however large the
store is. Of what has not been measured yet, typical figures are told.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from msgspec import Struct

from app import clock
from app.clock import DAY_MS, HOUR_MS
from app.inventory import KindName
from app.metrics import METRICS, series_of
from app.store import codec, keyframes, schema, tiers
from app.store.buckets import Rolled
from app.store.engine import Store
from app.store.retention import Lengths

MEASURED: tuple[KindName, ...] = ("host", "domain", "device", "pool", "volume")
# Names of the tiers, from the finest on.
TIERS = ("recent", *(tier.name for tier in tiers.TIERS), "keyframes", "1d")
_FRESH_S = 60.0
_OBJECTS = 24
_ROWS = 60
# Pages against what stands in them.
_ROW_PAGES, _CHUNK_PAGES = 1.2, 1.06
# Bytes that a number takes where none was measured yet: of each tier, for each of its figures.
_TYPICAL: Mapping[str, float] = {
    "recent": 4.5,
    "1m": 1.1,
    "10m": 1.0,
    "1h": 1.0,
    "keyframes": 0.8,
    "1d": 3.5,
}
_FIGURES: Mapping[str, int] = {"recent": 1, "1m": 1, "10m": 3, "1h": 3, "keyframes": 1, "1d": 5}
# Columns that are usually measured of an object of a kind.
_COLUMNS: Mapping[str, int] = {"host": 10, "domain": 8, "device": 2, "pool": 5, "volume": 1}


class Part(Struct, frozen=True):
    """What a tier keeps of a kind: bytes in all, and those that a day of one object takes."""

    tier: str
    kind: KindName
    size_bytes: int
    object_day_bytes: float
    measured: bool


class Cost(Struct, frozen=True):
    """What a series takes of a day of an object, in each tier of chunks; metrics show it."""

    kind: KindName
    series: str
    metrics: tuple[str, ...]
    bytes_per_day: Mapping[str, float]


class Holdings(Struct, frozen=True):
    """What the store holds. `from_ms` tells of each tier when it begins; None: nothing is there."""

    file_bytes: int
    free_bytes: int
    first_ms: int | None
    objects: Mapping[KindName, int]
    from_ms: Mapping[str, int | None]
    parts: tuple[Part, ...]
    costs: tuple[Cost, ...]
    counts: Mapping[str, int]

    @property
    def rest_bytes(self) -> int | None:
        """What is not measured over time: inventory, changes, scans, the audit. None where the
        estimates of the parts are too high to tell.
        """
        measured = sum(part.size_bytes for part in self.parts)
        rest = self.file_bytes - self.free_bytes - measured
        return rest if rest > 0 else None

    def tier_bytes(self, tier: str) -> int:
        """What a tier takes."""
        return sum(part.size_bytes for part in self.parts if part.tier == tier)


class Fleet(Struct, frozen=True):
    """How many objects there are, and how far apart they are scanned."""

    counts: Mapping[KindName, int]
    interval_s: float


def holdings(store: Store, interval_s: float) -> Holdings:
    """What the store holds, as of a minute ago at most."""
    with _lock:
        known = _known.get(store)
        if known is not None and clock.monotonic_s() - known[0] < _FRESH_S:
            return known[1]
    with store.reading() as connection:
        found = _Survey(connection, interval_s).holdings()
    with _lock:
        _known[store] = (clock.monotonic_s(), found)
    return found


def estimate(found: Holdings, fleet: Fleet, lengths: Lengths) -> dict[str, float]:
    """Bytes that each tier of a fleet takes once it is as long as it gets."""
    days = {
        "recent": lengths.recent_ms, "1m": lengths.minutes_ms, "10m": lengths.tens_ms,
        "1h": lengths.hours_ms, "keyframes": lengths.hours_ms, "1d": lengths.daily_ms,
    }  # fmt: skip
    each = {(part.tier, part.kind): part.object_day_bytes for part in found.parts}
    # Of disks and NICs there are as many for each domain as now.
    domains = fleet.counts.get("domain", 0)
    devices = found.objects.get("device", 0) * domains / max(1, found.objects.get("domain", 0))
    counts: dict[KindName, float] = {**fleet.counts, "device": devices}
    return {
        tier: sum(
            each.get((tier, kind), 0.0) * count * days[tier] / DAY_MS
            for kind, count in counts.items()
        )
        for tier in TIERS
    }


_lock = threading.Lock()
_known: WeakKeyDictionary[Store, tuple[float, Holdings]] = WeakKeyDictionary()


class _Survey:
    """One look at the store, within one read transaction."""

    def __init__(self, connection: sa.Connection, interval_s: float) -> None:
        self._connection = connection
        self._scans_a_day = 86_400 / interval_s
        self._objects: dict[KindName, Sequence[int]] = {
            kind: self._scalars(
                sa.select(schema.entity.c.id)
                .where(schema.entity.c.kind == kind)
                .order_by(schema.entity.c.id)
            )
            for kind in MEASURED
        }
        self._costs: list[Cost] = []

    def holdings(self) -> Holdings:
        """All of it."""
        parts = [part for kind in MEASURED for part in self._parts(kind)]
        page = self._pragma("page_size")
        counts = {
            "hosts": self._count(schema.host),
            "objects": self._count(schema.entity),
            "revisions": self._newest_id(schema.revision),
            "scans": self._newest_id(schema.scan),
            "changes": self._newest_id(schema.change),
            "audit": self._newest_id(schema.audit),
        }
        scan = schema.scan.c.at_ms
        return Holdings(
            self._pragma("page_count") * page,
            self._pragma("freelist_count") * page,
            self._connection.scalar(sa.select(sa.func.min(scan))),
            {kind: len(found) for kind, found in self._objects.items()},
            self._beginnings(),
            tuple(parts),
            tuple(self._costs),
            counts,
        )

    # --- by kind --------------------------------------------------------------------------

    def _parts(self, kind: KindName) -> list[Part]:
        made = [self._samples(kind)]
        costs: dict[str, dict[str, float]] = {}
        made += [self._chunks(kind, tier, costs) for tier in tiers.tiers_of(kind)]
        shown: dict[str, list[str]] = {}
        for metric in METRICS:
            if metric.kind == kind:
                shown.setdefault(metric.series, []).append(metric.label)
        self._costs += [
            Cost(kind, series.name, tuple(shown.get(series.name, ())), costs[series.name])
            for series in series_of(kind)
            if series.name in costs
        ]
        if kind in keyframes.KINDS_SHOWN:
            made.append(self._keyframes(kind))
        made.append(self._days(kind))
        return made

    def _samples(self, kind: KindName) -> Part:
        """The samples: as many as there are objects in the newest scans, for so many scans."""
        table = schema.samples[kind]
        rows = self._rows(sa.select(table).order_by(table.c.ts.desc()).limit(_ROWS))
        if not rows:
            return self._typical("recent", kind)
        oldest = self._connection.scalar(sa.select(sa.func.min(table.c.ts))) or 0
        size = _ROW_PAGES * sum(map(_row_bytes, rows)) / len(rows)
        # How many there are in an hour, out of the newest.
        since = rows[0][0] - HOUR_MS
        query = sa.select(sa.func.count()).where(table.c.ts > since)
        hourly = (self._connection.scalar(query) or 0) / min(
            1.0, max(0.02, (rows[0][0] - oldest) / HOUR_MS)
        )
        kept_hours = max(1.0, (rows[0][0] - oldest) / HOUR_MS)
        live = max(1, len(self._objects[kind]))
        return Part(
            "recent", kind, round(size * hourly * kept_hours), size * hourly * 24 / live, True
        )

    def _chunks(self, kind: KindName, tier: tiers.Tier, costs: dict[str, dict[str, float]]) -> Part:
        """The chunks of a tier, measured on some objects."""
        objects = self._objects[kind]
        some = objects[:: max(1, len(objects) // _OBJECTS)]
        table = schema.chunk
        size = days = 0
        bodies: list[bytes] = []
        for entity_id in some:
            mine = table.c.id.between(
                tiers.chunk_id(entity_id, tier, 0), tiers.chunk_id(entity_id, tier, 2**30 - 1)
            )
            rows = self._rows(
                sa.select(table.c.id, sa.func.length(table.c.body)).where(mine).order_by(table.c.id)
            )
            size += sum(row[1] for row in rows)
            days += _days_of([row[0] & (2**30 - 1) for row in rows], tier)
            if rows and len(bodies) < 2:
                newest = sa.select(table.c.body).where(table.c.id == rows[-1][0])
                bodies += self._scalars(newest)
        if not days:
            return self._typical(tier.name, kind)
        each = _CHUNK_PAGES * size / days
        for name, share in _shares(bodies).items():
            costs.setdefault(name, {})[tier.name] = each * share
        whole = _CHUNK_PAGES * size * len(objects) / len(some)
        return Part(tier.name, kind, round(whole), each, True)

    def _keyframes(self, kind: KindName) -> Part:
        table, done = schema.keyframe, schema.compacted
        hosts = self._rows(sa.select(done.c.host_id, done.c.before_day).limit(_OBJECTS))
        size = days = 0
        for host_id, before_day in hosts:
            first = keyframes.keyframe_id(host_id, kind, before_day - 3)
            last = keyframes.keyframe_id(host_id, kind, before_day - 1)
            lengths = self._scalars(
                sa.select(sa.func.length(table.c.body)).where(table.c.id.between(first, last))
            )
            size, days = size + sum(lengths), days + len(lengths)
        if not days:
            return self._typical("keyframes", kind)
        begins_ms = self._connection.scalar(sa.select(sa.func.min(schema.scan.c.at_ms))) or 0
        begins = max(begins_ms, tiers.horizon_ms(self._connection, "1h")) // DAY_MS
        in_all = len(hosts) * max(0, max(row[1] for row in hosts) - begins)
        hosts_in_all = max(1, self._count(done))
        objects = max(1, len(self._objects[kind]))
        a_day = _CHUNK_PAGES * size / days * hosts_in_all
        return Part(
            "keyframes",
            kind,
            round(_CHUNK_PAGES * size / days * in_all * hosts_in_all / len(hosts)),
            a_day / objects,
            True,
        )

    def _days(self, kind: KindName) -> Part:
        table = schema.dailies[kind]
        newest = self._connection.scalar(sa.select(sa.func.max(table.c.day)))
        if newest is None:
            return self._typical("1d", kind)
        oldest = self._connection.scalar(sa.select(sa.func.min(table.c.day)))
        rows = self._rows(sa.select(table).where(table.c.day == newest).limit(_ROWS))
        size = _ROW_PAGES * sum(map(_row_bytes, rows)) / len(rows)
        query = sa.select(sa.func.count()).where(table.c.day == newest)
        a_day = self._connection.scalar(query) or 0
        days = tiers.day_number(newest) - tiers.day_number(str(oldest)) + 1
        return Part("1d", kind, round(size * a_day * days), size, True)

    def _typical(self, tier: str, kind: KindName) -> Part:
        """What a day of an object takes where nothing was measured yet."""
        kept = {one.name: one for one in tiers.tiers_of(kind)}
        buckets = {"recent": self._scans_a_day, "keyframes": 24.0, "1d": 1.0}
        if tier in kept:
            buckets[tier] = DAY_MS / kept[tier].width_ms
        numbers = buckets.get(tier, 0.0) * _COLUMNS[kind] * _FIGURES[tier]
        return Part(tier, kind, 0, numbers * _TYPICAL[tier], measured=False)

    # --- the rest -------------------------------------------------------------------------

    def _beginnings(self) -> dict[str, int | None]:
        first = [
            self._connection.scalar(sa.select(sa.func.min(table.c.ts)))
            for table in schema.samples.values()
        ]
        begins: dict[str, int | None] = {
            "recent": min((at for at in first if at is not None), default=None)
        }
        scan_ms = self._connection.scalar(sa.select(sa.func.min(schema.scan.c.at_ms)))
        done = self._count(schema.compacted) > 0
        for tier in ("1m", "10m", "1h", "1d"):
            begins[tier] = None
            if done and scan_ms is not None:
                begins[tier] = max(scan_ms, tiers.horizon_ms(self._connection, tier))
        any_keyframe = self._connection.scalar(sa.select(schema.keyframe.c.id).limit(1))
        begins["keyframes"] = None if any_keyframe is None else begins["1h"]
        return begins

    def _pragma(self, name: str) -> int:
        return int(self._connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)

    def _count(self, table: sa.Table) -> int:
        return int(self._connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)

    def _newest_id(self, table: sa.Table) -> int:
        """How many rows were written ever: nothing of them is deleted, or they are packed."""
        return int(self._connection.scalar(sa.select(sa.func.max(table.c.id))) or 0)

    def _rows(self, query: sa.Select[Any]) -> Sequence[Any]:
        return self._connection.execute(query).all()

    def _scalars(self, query: sa.Select[Any]) -> Sequence[Any]:
        return self._connection.execute(query).scalars().all()


def _days_of(days: Sequence[int], tier: tiers.Tier) -> int:
    """How many days chunks that begin so tell of: those of whole spans stand apart by one."""
    count = 0
    for position, day in enumerate(days):
        following = days[position + 1] if position + 1 < len(days) else day + 1
        count += min(tier.span_days, following - day)
    return count


def _row_bytes(row: Sequence[Any]) -> int:
    """What SQLite takes for a row: a header of a byte a column, and each value."""
    return 3 + len(row) + sum(map(_value_bytes, row))


def _value_bytes(value: Any) -> int:
    if value is None or value in (0, 1):
        return 0
    if isinstance(value, str):
        return len(value)
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= 2**47:
            return 8
        value = int(value)
    bits = int(value).bit_length() + 1
    return next(size for size in (1, 2, 3, 4, 6, 8, 16) if bits <= 8 * size)


def _shares(bodies: Sequence[bytes]) -> dict[str, float]:
    """What part of some chunks each series takes."""
    sizes: dict[str, int] = {}
    for body in bodies:
        rolled = codec.decode(body)
        for name, column in rolled.columns.items():
            alone = len(codec.encode(Rolled(rolled.starts, {name: column})))
            bare = len(codec.encode(Rolled(rolled.starts, {})))
            sizes[name] = sizes.get(name, 0) + max(1, alone - bare)
    whole = sum(sizes.values())
    return {name: size / whole for name, size in sizes.items()}
