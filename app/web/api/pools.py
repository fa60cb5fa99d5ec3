"""Storage pools as JSON says them, with when each is likely full. Reads the store's days."""

from collections.abc import Sequence

from app.store.history import Fleet
from app.web.api.items import Item, Items, time_or_none
from app.web.days_left import full_at
from app.web.kinds import PoolSeen


def pool_items(fleet: Fleet, pools: Sequence[PoolSeen]) -> list[Item]:
    """Some pools of a fleet, in their order. Raises StoreError."""
    items, when = Items(fleet), full_at(fleet, pools)
    found = []
    for seen in pools:
        told = when[seen.host, seen.key]
        more = {"full_at": time_or_none(told.full_ms), "refusal": told.refusal}
        found.append(items.pool(seen) | more)
    return found
