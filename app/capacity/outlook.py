"""The outlook of pools, hosts and the whole fleet: the forecast of each, and when it is full. Pure.

Of a pool that is what is allocated of its capacity; of a host the p95 of its days: what its memory
or CPUs were at most in nineteen minutes of twenty. Several pools on one storage are one.
"""

from collections.abc import Iterator
from math import floor
from typing import Literal, get_args

from msgspec import Struct

from app.capacity.daily import Daily
from app.capacity.evidence import Evidence, HostEvidence
from app.capacity.fitting import forecast, forecasts
from app.capacity.forecast import Forecast, Full, Refusal, full, moved
from app.capacity.storage import Storage, fleetwide, storages
from app.clock import DAY_MS

What = Literal["storage", "memory", "cpu"]
WHATS: tuple[What, ...] = get_args(What)


class _Subject(Struct, frozen=True):
    """What an outlook is told of, before it is: one storage, or one host's memory or CPUs, or
    (`host` empty) the storage of all.

    `value` and `limit` are in bytes, of CPUs shares of 1; None: not known. `names` are its pools,
    "host/pool". `known` False: the host does not answer, and these are its last values.
    """

    what: What
    host: str
    pool_uuid: str
    names: tuple[str, ...]
    known: bool
    value: float | None
    limit: float | None
    series: Daily


class Outlook(_Subject, frozen=True):
    """A subject with what is told of it: `told` is the forecast or why there is none. The times are
    when it is likely full and within which times with 80 %; None: not within what is told.
    """

    told: Forecast | Refusal
    full_ms: int | None = None
    full_early_ms: int | None = None
    full_late_ms: int | None = None

    @property
    def per_day(self) -> float | None:
        """How fast it grows; None without a forecast."""
        return self.told.per_day if isinstance(self.told, Forecast) else None


def foretold(
    series: Daily, value: float | None, limit: float, at_ms: int
) -> tuple[Forecast | Refusal, Full | None]:
    """The forecast of days as known at a moment, and when it reaches `limit` (more than 0); what
    was seen today (`value`, None: nothing) counts beside what was expected by now.
    """
    told = forecast(series, limit, at_ms // DAY_MS)
    if isinstance(told, Refusal):
        return told, None
    if value is not None:
        told = moved(told, value, at_ms / DAY_MS - 1 - told.last_day)
    return told, full(told)


def outlooks(evidence: Evidence) -> list[Outlook]:
    """Of the storage of all, of each storage, and of each host's memory and CPUs, in this order."""
    found = storages(evidence.pools)
    every = [_of_all(found), *map(_of_storage, found)]
    for host in evidence.hosts:
        every.extend(_of_host(host))
    # Made together; then each is known.
    forecasts([(one.series, one.limit, evidence.day) for one in every if one.limit])
    return [_outlook(evidence, one) for one in every]


def _of_all(found: list[Storage]) -> _Subject:
    whole = fleetwide(found)
    value, limit = float(whole.allocation_bytes), float(whole.capacity_bytes)
    names = tuple(f"{one.pool.host}/{one.pool.name}" for one in found)
    known = all(one.pool.known for one in found) and not whole.unknown
    now = value if limit else None
    return _Subject("storage", "", "", names, known, now, limit or None, whole.allocation)


def _of_storage(one: Storage) -> _Subject:
    pool = one.pool
    return _Subject(
        "storage", pool.host, pool.uuid, tuple(f"{each.host}/{each.name}" for each in one.pools),
        pool.known, pool.allocation_bytes, pool.capacity_bytes, pool.allocation,
    )  # fmt: skip


def _of_host(host: HostEvidence) -> Iterator[_Subject]:
    yield _Subject(
        "memory", host.name, "", (), host.known, None, host.memory_bytes,
        host.memory_used_p95_bytes,
    )  # fmt: skip
    yield _Subject("cpu", host.name, "", (), host.known, None, 1.0, host.cpu_p95)


def _outlook(evidence: Evidence, of: _Subject) -> Outlook:
    told: Forecast | Refusal = Refusal("no-history", 0)
    when: Full | None = None
    value = of.value
    if of.limit:
        told, when = foretold(of.series, value if of.known else None, of.limit, evidence.at_ms)
    if value is None:
        seen = of.series.before(evidence.day).trimmed().values
        value = seen[-1] if seen else None
    times: list[int | None] = []
    if isinstance(told, Forecast) and when is not None:
        times = [full_ms(told, days, evidence.at_ms) for days in _days_of(when)]
    return Outlook(
        of.what, of.host, of.pool_uuid, of.names, of.known, value, of.limit, of.series, told, *times
    )  # fmt: skip


def _days_of(when: Full) -> tuple[float | None, float | None, float | None]:
    return when.likely_days, when.early_days, when.late_days


def full_ms(told: Forecast, days: float | None, at_ms: int) -> int | None:
    """A number of days after the last one's end as a time, not before the moment itself."""
    if days is None:
        return None
    return max(at_ms, floor((told.last_day + 1 + days) * DAY_MS))
