"""What became of objects after a moment, as the table of changes tells it.

Reads only. One query for a page of objects; who deleted something is looked up for those alone
that were.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from app.store import schema
from app.store.changes import Wanted, changes
from app.store.engine import Store

_MANY = 500


class Told(NamedTuple):
    """How often a word was told of an object, and when last."""

    number: int
    last_ms: int


def became(
    store: Store, moment_ms: int, entity_ids: Sequence[int]
) -> Mapping[int, Mapping[str, Told]]:
    """By entity: the words that were told of it after `moment_ms`; nothing where none was."""
    table = schema.change
    query = (
        sa.select(table.c.entity_id, table.c.what, sa.func.count(), sa.func.max(table.c.at_ms))
        .where(table.c.at_ms > moment_ms, table.c.replaced_ms.is_(None))
        .group_by(table.c.entity_id, table.c.what)
    )
    found: dict[int, dict[str, Told]] = {}
    with store.reading() as connection:
        for start in range(0, len(entity_ids), _MANY):
            some = table.c.entity_id.in_(entity_ids[start : start + _MANY])
            for entity_id, what, number, last_ms in connection.execute(query.where(some)):
                found.setdefault(entity_id, {})[what] = Told(int(number), last_ms)
    return found


def deleted_by(
    store: Store, entity_id: int, moment_ms: int, host_ids: frozenset[int] | None
) -> str | None:
    """Who deleted an object after a moment, if npvirt did it for them."""
    wanted = Wanted(
        entity_id=entity_id, whats=("deleted",), from_ms=moment_ms + 1, host_ids=host_ids
    )
    found, _ = changes(store, wanted, limit=1)
    return found[0].who if found else None


class Span(NamedTuple):
    """When an object was there: `last_ms` None while it still is."""

    host_id: int
    entity_id: int
    first_ms: int
    last_ms: int | None


def spans(
    store: Store, slug: str, kind: str, key: str, host_ids: frozenset[int] | None
) -> list[Span]:
    """When an object of that host, or a host itself (kind "host"), was there, the latest last; a
    removed host, or another one that had its name, counts as well.
    """
    host, entity = schema.host, schema.entity
    query = (
        sa.select(
            host.c.id, entity.c.id, entity.c.first_seen_ms, entity.c.last_seen_ms,
            host.c.removed_at_ms,
        )
        .join(entity, entity.c.host_id == host.c.id)
        .where(host.c.slug == slug, entity.c.kind == kind, entity.c.key == key)
        .order_by(entity.c.first_seen_ms)
    )  # fmt: skip
    if host_ids is not None:
        query = query.where(host.c.id.in_(host_ids))
    with store.reading() as connection:
        rows = connection.execute(query).all()
        last_ms = {host_id: _last_scan(connection, host_id) for host_id, *_, gone in rows if gone}
    return [
        Span(host_id, entity_id, first, last if last is not None else last_ms.get(host_id))
        for host_id, entity_id, first, last, _ in rows
    ]


def _last_scan(connection: sa.Connection, host_id: int) -> int | None:
    at_ms = schema.scan.c.at_ms
    query = sa.select(at_ms).where(schema.scan.c.host_id == host_id, schema.scan.c.ok == 1)
    return connection.scalar(query.order_by(at_ms.desc()).limit(1))
