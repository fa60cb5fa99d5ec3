"""What the objects of the fleet measured at a moment: samples, or keyframes where these are gone.

Within one read transaction. What was read for the last fleet is handed on to the next: samples
never change once written.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app.inventory import KIND_BY_NAME, Domain, Fact, KindName, Pool
from app.store import keyframes, schema, tiers
from app.store.looks import HostLook

Samples = dict[int, Any]
# What was read, by kind, time and the hosts of that time, and then by object.
ReadBefore = dict[tuple[str, int, frozenset[int]], Samples]


class Taken(Struct, frozen=True, gc=False):
    """What an object measured, as in Seen."""

    sample: Any = None
    previous: Any = None
    elapsed_ms: int | None = None
    rates: Mapping[str, int] | None = None


class _Pair(Struct, frozen=True):
    """The samples of a host's last look and of the one before it, so long before; `cold`: they are
    told by keyframes.
    """

    samples: Samples
    previous: Samples
    elapsed_ms: int | None = None
    cold: bool = False


_NOTHING = Taken()


class Measurements:
    """What was measured at the looks that matter at one moment."""

    def __init__(
        self,
        connection: sa.Connection,
        looks: Mapping[int, HostLook],
        hosts: Mapping[int, int],
        known: ReadBefore,
    ) -> None:
        """Read it. `hosts` tells of each volume whose it is."""
        self._connection = connection
        self._looks = looks
        self.read: ReadBefore = {}
        self._known = known
        whole_from_ms = tiers.horizon_ms(connection, "recent")
        self._cold = {
            host_id: look.ok.at_ms
            for host_id, look in looks.items()
            # Where the sample before has gone, the last one tells no rates.
            if look.ok is not None and (look.before_ms or look.ok.at_ms) < whole_from_ms
        }
        self._volumes_cold = {
            host_id
            for host_id, look in looks.items()
            if look.volumes_ms is not None and look.volumes_ms < whole_from_ms
        }
        self._samples = self._read_samples()
        self._volumes = self._read_volumes(hosts)
        self._keyframes = self._read_keyframes()

    def taker(self, kind: KindName, host_id: int) -> Callable[[int, Fact], Taken]:
        """What tells what an object of the kind on the host measured, or nothing, by its id and
        what it is.
        """
        pair = self._pair(kind, host_id)
        if pair.cold:
            return partial(_of_hour, self._keyframes.get((host_id, kind), {}))
        samples, previous, elapsed_ms = pair.samples.get, pair.previous.get, pair.elapsed_ms

        def take(entity_id: int, _: Fact) -> Taken:
            before = previous(entity_id)
            if before is not None:
                return Taken(samples(entity_id), before, elapsed_ms)
            sample = samples(entity_id)
            return _NOTHING if sample is None else Taken(sample)

        return take

    def _pair(self, kind: KindName, host_id: int) -> _Pair:
        """What the last two good looks at a host measured of a kind."""
        look = self._looks.get(host_id)
        if look is None or look.ok is None:
            return _Pair({}, {})
        is_volume = kind == "volume"
        if host_id in (self._volumes_cold if is_volume else self._cold):
            return _Pair({}, {}, cold=True)
        if is_volume:
            return _Pair(self._volumes, {})
        samples = self._samples.get((kind, look.ok.at_ms), {})
        if look.before_ms is None:
            return _Pair(samples, {})
        previous = self._samples.get((kind, look.before_ms), {})
        return _Pair(samples, previous, look.ok.at_ms - look.before_ms)

    def _read_keyframes(self) -> Mapping[tuple[int, KindName], Mapping[int, keyframes.Measured]]:
        wanted: list[tuple[int, KindName, int]] = [
            (host_id, kind, at_ms)
            for host_id, at_ms in self._cold.items()
            for kind in keyframes.KINDS_SHOWN
            if kind != "volume"
        ]
        wanted += [
            (host_id, "volume", self._looks[host_id].volumes_ms or 0)
            for host_id in self._volumes_cold
        ]
        return keyframes.read(self._connection, wanted) if wanted else {}

    def _read_samples(self) -> dict[tuple[str, int], Samples]:
        """By kind and time: entity → sample, at the times that the hosts' looks name."""
        hosts_at: dict[int, set[int]] = {}
        for host_id, look in self._looks.items():
            if host_id in self._cold:
                continue
            for at_ms in (look.ok.at_ms if look.ok is not None else None, look.before_ms):
                if at_ms is not None:
                    hosts_at.setdefault(at_ms, set()).add(host_id)
        found: dict[tuple[str, int], Samples] = {}
        for kind in keyframes.KINDS_SHOWN:
            if kind != "volume":
                for at_ms, samples in self._samples_at(kind, hosts_at).items():
                    found[(kind, at_ms)] = samples
        return found

    def _samples_at(self, kind: str, hosts_at: Mapping[int, set[int]]) -> dict[int, Samples]:
        """The samples of a kind by time; read are only the times that were not read before."""
        keys = {at_ms: (kind, at_ms, frozenset(hosts)) for at_ms, hosts in hosts_at.items()}
        known = {at_ms: self._known.get(key) for at_ms, key in keys.items()}
        found = {at_ms: samples for at_ms, samples in known.items() if samples is not None}
        fresh = [at_ms for at_ms in keys if at_ms not in found]
        found |= {at_ms: {} for at_ms in fresh}
        struct = KIND_BY_NAME[kind].sample
        if fresh and struct is not None:
            # Past SQLAlchemy's rows: there are many, and nothing in them needs translating.
            rows: Any = self._connection.execute(_samples_query(kind), {"times": fresh}).cursor
            for row in rows:
                found[row[0]][row[1]] = struct(*row[2:])
        self.read |= {keys[at_ms]: samples for at_ms, samples in found.items()}
        return found

    def _read_volumes(self, hosts: Mapping[int, int]) -> Samples:
        """The newest sample of each volume since its host last measured all of them."""
        since = {
            host_id: look.volumes_ms
            for host_id, look in self._looks.items()
            if look.volumes_ms is not None and host_id not in self._volumes_cold
        }
        struct = KIND_BY_NAME["volume"].sample
        if not since or struct is None:
            return {}
        table = schema.samples["volume"]
        until_ms = max(look.until_ms for look in self._looks.values())
        query = sa.select(table).where(table.c.ts.between(min(since.values()), until_ms))
        found: Samples = {}
        for at_ms, entity_id, *values in self._connection.execute(query.order_by(table.c.ts)):
            host_id = hosts.get(entity_id)
            if host_id in since and at_ms <= self._looks[host_id].until_ms:
                found[entity_id] = struct(*values)
        return found


def _of_hour(found: Mapping[int, keyframes.Measured], entity_id: int, fact: Fact) -> Taken:
    measured = found.get(entity_id)
    # It may have run at another time of the hour.
    if measured is None or not _is_measured(fact):
        return Taken(rates={})
    return Taken(measured.sample, rates=measured.rates)


def since_measured(taken: Taken, fact: Fact) -> Taken:
    """What still holds of it of an object that is like this since: nothing of what does not run
    any more.
    """
    return taken if _is_measured(fact) else _NOTHING


@cache
def _samples_query(kind: str) -> sa.Select[Any]:
    """The samples of a kind at some `times`. Put together once: that costs more than running it."""
    table = schema.samples[kind]
    return sa.select(table).where(table.c.ts.in_(sa.bindparam("times", expanding=True)))


def _is_measured(fact: Fact) -> bool:
    """Whether there is something to measure of an object as it is."""
    if isinstance(fact, Domain):
        return fact.id is not None
    return not isinstance(fact, Pool) or fact.state != "inactive"
