"""What rules need to know beyond the fleet of the present: since when a host is read in part, and
how full pools were on the days before. Reads only.
"""

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from app.clock import DAY_MS, utc
from app.store import schema
from app.store.engine import Store
from app.store.tiers import day_number


def partial_since(store: Store, host_ids: Collection[int]) -> dict[int, int]:
    """Since which scan parts of each host are missing at every good look, in milliseconds since
    1970; hosts whose last good look was whole are left out.
    """
    table = schema.scan
    good = table.c.ok == 1
    whole = sa.func.max(table.c.at_ms)
    found: dict[int, int] = {}
    with store.reading() as connection:
        for host_id in host_ids:
            mine = (table.c.host_id == host_id, good)
            last_whole = connection.scalar(sa.select(whole).where(*mine, table.c.missing.is_(None)))
            first_after = connection.scalar(
                sa.select(sa.func.min(table.c.at_ms)).where(
                    *mine, table.c.at_ms > (last_whole or 0)
                )
            )
            if first_after is not None:
                found[host_id] = first_after
    return found


def pool_days(store: Store, now_ms: int, days: int) -> Mapping[int, list[tuple[int, float]]]:
    """By pool (entity): how full it was at the end of each of the last days that are known; days
    are numbered, sizes are in bytes.
    """
    table = schema.dailies["pool"]
    first = utc(now_ms - days * DAY_MS).strftime("%Y-%m-%d")
    query = sa.select(table.c.entity, table.c.day, table.c.allocation_bytes_last).where(
        table.c.day >= first, table.c.allocation_bytes_last.is_not(None)
    )
    found: dict[int, list[tuple[int, float]]] = {}
    with store.reading() as connection:
        for entity_id, day, allocation in connection.execute(query):
            found.setdefault(entity_id, []).append((day_number(day), allocation))
    return found
