"""Two moments of the fleet side by side: what came, went, moved and changed between them.

Pure. What a host that does not answer looks like now is unknown, not changed; what is on a host
that npvirt does not watch at one of the two moments neither came nor went.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from app.inventory import KindName
from app.store.differences import Difference, differences
from app.store.history import Fleet, Seen

What = Literal["same", "created", "deleted", "moved", "changed", "unknown", "watched", "unwatched"]
WHATS: tuple[What, ...] = get_args(What)
KINDS: tuple[KindName, ...] = ("host", "domain", "pool", "volume", "network", "interface")


class Fate(Struct, frozen=True, gc=False):
    """One object at two moments: what became of it between the first and the second.

    `then` and `now` are None where it was not there. `differences` are those of what was last
    seen; `host` is where it was, or is if it was not there. "watched": its host came to npvirt
    between the two; "unwatched": its host left npvirt; "unknown": its host does not answer at
    the second moment, whatever else is known to have changed.
    """

    kind: KindName
    what: What
    then: Seen[Any, Any] | None
    now: Seen[Any, Any] | None
    differences: tuple[Difference, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether it is known to be otherwise; what cannot be seen now may be as it was."""
        return self.what not in ("same", "unknown") or bool(self.differences)

    @property
    def seen(self) -> Seen[Any, Any]:
        """It, as it was, or as it is if it was not there."""
        found = self.then if self.then is not None else self.now
        assert found is not None
        return found


class Comparison(Struct, frozen=True):
    """What differs between two moments, by kind, in the order of names; and how many objects of
    each kind there were and are.
    """

    fates: Mapping[KindName, Sequence[Fate]]
    totals: Mapping[KindName, tuple[int, int]]

    def count(self, kind: KindName, *whats: What) -> int:
        """How many objects of a kind met one of these fates."""
        return sum(fate.what in whats for fate in self.fates[kind])


def compare(then: Fleet, now: Fleet) -> Comparison:
    """What became of everything between two moments."""
    fates, totals = {}, {}
    for kind in KINDS:
        before, after = objects(then, kind), objects(now, kind)
        totals[kind] = (len(before), len(after))
        fates[kind] = sorted(
            (fate for fate in _fates(kind, then, now) if fate.what != "same"), key=_order
        )
    return Comparison(fates, totals)


def fates_of(kind: KindName, some: Sequence[Seen[Any, Any]], now: Fleet) -> list[Fate]:
    """What became of some objects of a kind until `now`, in their order."""
    later = _Later(kind, now)
    return [later.fate(seen) for seen in some]


def objects(fleet: Fleet, kind: KindName) -> Sequence[Seen[Any, Any]]:
    """The objects of a kind in a fleet."""
    if kind == "host":
        return [view.seen for view in fleet.hosts if view.seen is not None]
    found: Sequence[Seen[Any, Any]] = getattr(fleet, f"{kind}s")
    return found


def differing(then: Fleet, now: Fleet) -> Fleet:
    """`then` with nothing in it but what is otherwise in `now`, and the hosts and volumes."""
    found = compare(then, now)
    kept = {
        kind: {
            (fate.then.host, fate.then.key)
            for fate in found.fates[kind]
            if fate.then is not None and fate.differs
        }
        for kind in KINDS
    }

    def only(kind: KindName) -> tuple[Any, ...]:
        return tuple(seen for seen in objects(then, kind) if (seen.host, seen.key) in kept[kind])

    return replace(
        then,
        domains=only("domain"),
        pools=only("pool"),
        networks=only("network"),
        interfaces=only("interface"),
    )


def _order(fate: Fate) -> tuple[str, str, str]:
    return getattr(fate.seen.fact, "name", fate.seen.host), fate.seen.host, fate.seen.key


def _fates(kind: KindName, then: Fleet, now: Fleet) -> Iterator[Fate]:
    later = _Later(kind, now)
    before = {(seen.host, seen.key) for seen in objects(then, kind)}
    watched = {view.slug for view in then.hosts}
    moved_here = set()
    for seen in objects(then, kind):
        fate = later.fate(seen)
        if fate.what == "moved" and fate.now is not None:
            moved_here.add((fate.now.host, fate.now.key))
        yield fate
    for seen in objects(now, kind):
        if (seen.host, seen.key) not in before and (seen.host, seen.key) not in moved_here:
            yield Fate(kind, "created" if seen.host in watched else "watched", None, seen)


class _Later:
    """The objects of a kind at the second moment, for looking up what became of one."""

    def __init__(self, kind: KindName, now: Fleet) -> None:
        self._kind = kind
        self._by_place = {(seen.host, seen.key): seen for seen in objects(now, kind)}
        self._by_key: dict[str, list[Seen[Any, Any]]] = {}
        if kind == "domain":
            for seen in now.domains:
                self._by_key.setdefault(seen.key, []).append(seen)
        self._hosts = {view.slug for view in now.hosts}

    def fate(self, seen: Seen[Any, Any]) -> Fate:
        found = self._by_place.get((seen.host, seen.key))
        if found is None:
            return self._gone(seen)
        if found.fact != seen.fact and _left_by_migration(self._kind, seen, found):
            return self._gone(seen, found)
        changes = tuple(differences(self._kind, seen.fact, found.fact))
        if not found.known:
            return Fate(self._kind, "unknown", seen, found, changes)
        return Fate(self._kind, "changed" if changes else "same", seen, found, changes)

    def _gone(self, seen: Seen[Any, Any], left: Seen[Any, Any] | None = None) -> Fate:
        """A domain with the same UUID elsewhere is the same domain; `left` is the definition that
        a migration left behind.
        """
        elsewhere = [one for one in self._by_key.get(seen.key, ()) if one.host != seen.host]
        if len(elsewhere) == 1:
            found = elsewhere[0]
            changes = tuple(
                one
                for one in differences(self._kind, seen.fact, found.fact)
                # Another host has another id for it: that tells of no restart.
                if one.what != "restarted"
            )
            return Fate(self._kind, "moved", seen, found, changes)
        if left is not None:
            changes = tuple(differences(self._kind, seen.fact, left.fact))
            return Fate(self._kind, "changed" if left.known else "unknown", seen, left, changes)
        what: What = "deleted" if seen.host in self._hosts else "unwatched"
        return Fate(self._kind, what, seen, None)


def _left_by_migration(kind: KindName, then: Seen[Any, Any], now: Seen[Any, Any]) -> bool:
    if kind != "domain":
        return False
    left = now.fact.state == "shutoff" and now.fact.state_reason == "migrated"
    return bool(left and then.fact.state != "shutoff")
