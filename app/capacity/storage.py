"""Which storage pools are one and the same storage, so that it is counted once. Pure.

Pools of a file server or another remote storage are the same when they say the same source and are
as large as each other, on whatever host. Pools of one host are the same when they lie on one file
system: that shows when they are as large and as full as each other, now and on every day of late.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from app.capacity.daily import Daily, summed
from app.capacity.evidence import PoolEvidence

# libvirt's types of pools whose source means the same on every host.
REMOTE = frozenset(("netfs", "gluster", "rbd", "sheepdog", "iscsi", "iscsi-direct", "vstorage"))
_COMPARED_DAYS = 30


class Storage(Struct, frozen=True):
    """One storage and the pools that are on it, the first of them speaking for all in what is
    measured; what is promised to volumes adds up.
    """

    pools: tuple[PoolEvidence, ...]

    @property
    def pool(self) -> PoolEvidence:
        """The pool that speaks for it: one that is known, if there is one."""
        return next((pool for pool in self.pools if pool.known), self.pools[0])

    @property
    def promised_bytes(self) -> int | None:
        """What the volumes of all its pools may become; of a remote one every host tells the same
        volumes, so that the pool that tells most tells all.
        """
        told = [pool.promised_bytes for pool in self.pools if pool.promised_bytes is not None]
        if not told:
            return None
        return max(told) if self.pool.type in REMOTE else sum(told)


def storages(pools: Iterable[PoolEvidence]) -> list[Storage]:
    """The storages that pools are on, in the order of their first pools."""
    found: list[list[PoolEvidence]] = []
    # By what they say now; of those of one host each may still be a storage of its own.
    alike: dict[object, list[list[PoolEvidence]]] = {}
    for pool in pools:
        key = _what_it_says(pool)
        groups = [] if key is None else alike.setdefault(key, [])
        same = next((group for group in groups if _is_same(group[0], pool)), None)
        if same is None:
            found.append([pool])
            groups.append(found[-1])
        else:
            same.append(pool)
    return [Storage(tuple(group)) for group in found]


def _what_it_says(pool: PoolEvidence) -> object | None:
    """What pools on one storage have in common; None where nothing tells."""
    if pool.capacity_bytes is None:
        return None
    if pool.type in REMOTE:
        return None if pool.source is None else (pool.capacity_bytes, pool.type, pool.source)
    if pool.available_bytes is None:
        return None
    return pool.capacity_bytes, pool.host, pool.allocation_bytes, pool.available_bytes


def _is_same(one: PoolEvidence, other: PoolEvidence) -> bool:
    """Of two that say the same now whether they are the same."""
    return one.type in REMOTE or _were_same(one.allocation, other.allocation)


def _were_same(one: Daily, other: Daily) -> bool:
    """Whether two series tell the same, as far as both tell something of late."""
    end = min(one.end_day, other.end_day)
    days = range(max(one.first_day, other.first_day, end - _COMPARED_DAYS), end)
    return all(
        here == there
        for day in days
        if (here := one.at(day)) is not None and (there := other.at(day)) is not None
    )


class Fleetwide(Struct, frozen=True):
    """All storages together: each day's allocation, and what is known of the present. `unknown`
    are those whose size is not known; they count nowhere.
    """

    allocation: Daily
    capacity_bytes: int
    allocation_bytes: int
    promised_bytes: int
    unknown: tuple[PoolEvidence, ...]


def fleetwide(found: Sequence[Storage]) -> Fleetwide:
    """All storages added up, each once."""
    known = [
        one
        for one in found
        if one.pool.capacity_bytes is not None and one.pool.allocation_bytes is not None
    ]
    return Fleetwide(
        summed(one.pool.allocation for one in known),
        sum(one.pool.capacity_bytes or 0 for one in known),
        sum(one.pool.allocation_bytes or 0 for one in known),
        sum(one.promised_bytes or 0 for one in known),
        tuple(one.pool for one in found if one not in known),
    )
