"""How eventful a stretch of time was: changes and troubles by bucket, and the gaps in which nobody
looked.

Reads only. Its cost follows from the number of buckets and of changes, never from that of scans,
so that six weeks of fifty hosts are drawn as fast as a day.
"""

from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app.store import schema
from app.store.archived import looked_at
from app.store.engine import Store
from app.store.moves import MOVED_AWAY

# What is drawn red.
TROUBLES = ("crashed", "unreachable", "degraded", "inaccessible")


class Density(Struct, frozen=True):
    """`changes` and `troubles` by bucket; `gaps` from and to, in milliseconds."""

    changes: tuple[int, ...]
    troubles: tuple[int, ...]
    gaps: tuple[tuple[int, int], ...]


def density(
    store: Store,
    from_ms: int,
    to_ms: int,
    buckets: int,
    *,
    longest_ms: int,
    until_ms: int,
    host_ids: frozenset[int] | None = None,
) -> Density:
    """What happened in `buckets` equal stretches between two times, on some hosts or all. A gap
    is what no look was made in for longer than `longest_ms`; `until_ms` is the present.
    """
    with store.reading() as connection:
        changes, troubles = _counts(connection, from_ms, to_ms, buckets, host_ids)
        gaps = gaps_between(connection, from_ms, min(to_ms, until_ms), longest_ms, host_ids)
    return Density(changes, troubles, tuple(gaps))


def _counts(
    connection: sa.Connection,
    from_ms: int,
    to_ms: int,
    buckets: int,
    host_ids: frozenset[int] | None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    width = max(1, (to_ms - from_ms) // buckets)
    table = schema.change
    bucket = sa.cast((table.c.at_ms - from_ms) / width, sa.Integer).label("bucket")
    is_trouble = sa.case((table.c.what.in_(TROUBLES), 1), else_=0)
    query = (
        sa.select(bucket, sa.func.count(), sa.func.sum(is_trouble))
        .where(table.c.at_ms >= from_ms, table.c.at_ms < from_ms + width * buckets)
        .where(table.c.replaced_ms.is_(None), table.c.what != "no-scans")
        .group_by(bucket)
    )
    # A move is told by both of its hosts.
    once = table.c.what != MOVED_AWAY
    if host_ids is None:
        query = query.where(once)
    else:
        twice = table.c.peer_host_id.in_(host_ids)
        query = query.where(table.c.host_id.in_(host_ids), sa.or_(once, sa.not_(twice)))
    changes, troubles = [0] * buckets, [0] * buckets
    for place, number, bad in connection.execute(query):
        changes[place], troubles[place] = int(number), int(bad)
    return tuple(changes), tuple(troubles)


def gaps_between(
    connection: sa.Connection,
    from_ms: int,
    to_ms: int,
    longest_ms: int,
    host_ids: frozenset[int] | None,
) -> list[tuple[int, int]]:
    """The stretches longer than `longest_ms` without a look at any of the hosts.

    Walks in steps of that length from one look to the last one within reach, each a look-up in
    an index, whatever lies between.
    """
    if to_ms <= from_ms:
        return []
    walk = _walk(from_ms, to_ms, longest_ms, host_ids)
    times = [at for (at,) in connection.execute(walk)]
    stretches = [(at, at) for at in (*times, to_ms)]
    stretches += [(a, b) for a, b in pairwise(times) if b - a <= longest_ms]
    # Of long ago most looks stand in the archive.
    stretches += looked_at(connection, from_ms - longest_ms, to_ms, longest_ms, host_ids)
    found = []
    seen_ms = max((end for begin, end in stretches if begin <= from_ms), default=from_ms)
    for begin_ms, end_ms in sorted(stretches):
        if begin_ms - seen_ms > longest_ms:
            found.append((max(seen_ms, from_ms), min(begin_ms, to_ms)))
        seen_ms = max(seen_ms, end_ms)
    return [(begin_ms, end_ms) for begin_ms, end_ms in found if begin_ms < to_ms]


def _walk(
    from_ms: int, to_ms: int, step_ms: int, host_ids: frozenset[int] | None
) -> sa.Select[Any]:
    table = schema.scan

    def one(*conditions: sa.ColumnElement[bool], newest: bool) -> sa.ScalarSelect[Any]:
        order = table.c.at_ms.desc() if newest else table.c.at_ms
        query = sa.select(table.c.at_ms).where(*conditions, _of(host_ids))
        return query.order_by(order).limit(1).scalar_subquery()

    first = sa.func.coalesce(
        one(table.c.at_ms <= from_ms, table.c.at_ms > from_ms - step_ms, newest=True),
        one(table.c.at_ms > from_ms, newest=False),
    )
    walk = sa.select(first.label("at_ms")).cte("walk", recursive=True)
    at_ms = walk.c.at_ms
    within = one(table.c.at_ms > at_ms, table.c.at_ms <= at_ms + step_ms, newest=True)
    beyond = one(table.c.at_ms > at_ms + step_ms, newest=False)
    walk = walk.union_all(
        sa.select(sa.func.coalesce(within.correlate(walk), beyond.correlate(walk))).where(
            at_ms < to_ms
        )
    )
    return sa.select(walk.c.at_ms).where(walk.c.at_ms.is_not(None), walk.c.at_ms < to_ms)


def _of(host_ids: frozenset[int] | None) -> sa.ColumnElement[bool]:
    """The condition that a look was at one of the hosts."""
    return sa.true() if host_ids is None else schema.scan.c.host_id.in_(host_ids)
