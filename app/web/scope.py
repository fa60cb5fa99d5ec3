"""The fleet as far as the one who asks may see it: hosts out of scope are not there.

The same object for the same fleet and scope, so that what was drawn from it can be kept.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import TypeVar

from msgspec.structs import replace

from app.services import services
from app.store.history import Fleet, fleet
from app.store.views import Seen
from app.web.identity import principal

T = TypeVar("T", bound=Seen)

_KEPT = 16
_lock = threading.Lock()
_narrowed: OrderedDict[tuple[int, frozenset[int]], tuple[Fleet, Fleet]] = OrderedDict()


def seen_fleet(at_ms: int | None) -> Fleet:
    """The fleet as of a moment (None: now) in the scope of the one who asks."""
    whole = fleet(services().store, at_ms)
    scope = principal().host_ids
    return whole if scope is None else _within(whole, scope)


def reader() -> Hashable:
    """What tells one reader's page from another's: the role and the scope."""
    who = principal()
    return (who.role, who.host_ids)


def _within(whole: Fleet, scope: frozenset[int]) -> Fleet:
    key = (id(whole), scope)
    with _lock:
        kept = _narrowed.get(key)
        if kept is not None and kept[0] is whole:
            _narrowed.move_to_end(key)
            return kept[1]
    narrow = narrowed(whole, scope)
    with _lock:
        _narrowed[key] = (whole, narrow)
        while len(_narrowed) > _KEPT:
            _narrowed.popitem(last=False)
    return narrow


def narrowed(whole: Fleet, scope: frozenset[int]) -> Fleet:
    """`whole` with the hosts of `scope` alone."""
    hosts = tuple(view for view in whole.hosts if view.record.id in scope)
    slugs = {view.slug for view in hosts}

    def mine(objects: Iterable[T]) -> tuple[T, ...]:
        return tuple(seen for seen in objects if seen.host in slugs)

    times = [view.status.last_try_at_ms for view in hosts]
    return replace(
        whole,
        as_of_ms=max((at for at in times if at is not None), default=None),
        hosts=hosts,
        domains=mine(whole.domains),
        pools=mine(whole.pools),
        volumes=mine(whole.volumes),
        networks=mine(whole.networks),
        interfaces=mine(whole.interfaces),
    )
