"""What rules need to know beyond the fleet of the present: since when a host is read in part.
Reads only.
"""

from collections.abc import Collection

import sqlalchemy as sa

from app.store import schema
from app.store.engine import Store


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
