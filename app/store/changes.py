"""The read side of the list of changes: what happened, to what, when, and on whose behalf.

Cannot write. A list as of a moment is the same whenever it is asked for: a row that was replaced
later (by a move) is shown for the moments before that.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace

from app.inventory import Definition
from app.store import doers, schema
from app.store.doers import By
from app.store.engine import Store
from app.store.moves import MOVED, MOVED_AWAY

Direction = Literal["previous", "next"]


class Change(Struct, frozen=True, gc=False):
    """One change. It was seen by the scan of `at_ms` and not yet by that of `after_ms` (None:
    nobody had looked). `what` is a word of app/store/differences or changing, `old` and `new`
    values as text (sizes in bytes), `part` the device or snapshot. `host` is None for npvirt
    itself; `peer` the other host of a move, if it may be seen. `xml_id`: the definition's revision
    that came with it. `by` says who is known to have done it; `who` and `audit_id` if npvirt did.
    """

    id: int
    at_ms: int
    after_ms: int | None
    host_id: int | None
    host: str | None
    kind: str
    key: str
    entity_id: int | None
    name: str
    what: str
    part: str | None
    old: str | None
    new: str | None
    old_revision_id: int | None
    new_revision_id: int | None
    xml_id: int | None
    peer: str | None
    by: By = "outside"
    who: str | None = None
    audit_id: int | None = None


class Wanted(Struct, frozen=True):
    """Which changes to list; what is empty narrows nothing. `host_ids` are those that the reader
    may see, `hosts` names, `kinds` and `whats` words of which one must fit, `key` that of an
    object (of a pool: its volumes as well), `as_of_ms` the moment that is looked from, `until_ms`
    and `from_ms` (both included) of when the changes are told.
    """

    host_ids: frozenset[int] | None = None
    hosts: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    whats: tuple[str, ...] = ()
    key: str = ""
    entity_id: int | None = None
    text: str = ""
    from_ms: int | None = None
    until_ms: int | None = None
    as_of_ms: int | None = None


class Since(Struct, frozen=True):
    """What became of one object after a moment: how often each word was told, and when last."""

    counts: Mapping[str, int]
    last_ms: int


def changes(
    store: Store, wanted: Wanted, *, limit: int, offset: int = 0
) -> tuple[list[Change], int]:
    """The changes that fit, newest first, and how many there are in all."""
    table = schema.change
    with store.reading() as connection:
        conditions = list(_conditions(connection, wanted))
        counted = sa.select(sa.func.count()).select_from(table).where(*conditions)
        total = int(connection.scalar(counted) or 0)
        if limit == 0 or offset >= total:
            return [], total
        query = _select().where(*conditions).order_by(*_newest_first())
        rows = connection.execute(query.limit(limit).offset(offset)).all()
        return _changes_of(connection, rows, wanted.host_ids, wanted.as_of_ms), total


def latest(store: Store, wanted: Wanted, limit: int) -> list[Change]:
    """The newest changes that fit; unlike `changes` without counting them all."""
    with store.reading() as connection:
        query = _select().where(*_conditions(connection, wanted)).order_by(*_newest_first())
        rows = connection.execute(query.limit(limit)).all()
        return _changes_of(connection, rows, wanted.host_ids, wanted.as_of_ms)


def get_change(
    store: Store, change_id: int, host_ids: frozenset[int] | None, as_of_ms: int | None = None
) -> Change | None:
    """The change of that id, unless it is out of the reader's scope or after the moment."""
    wanted = Wanted(host_ids=host_ids, as_of_ms=as_of_ms)
    with store.reading() as connection:
        conditions = (*_told(wanted), *_in_scope(host_ids))
        rows = connection.execute(_select().where(schema.change.c.id == change_id, *conditions))
        found = _changes_of(connection, rows.all(), host_ids, as_of_ms)
    return found[0] if found else None


def count_by_what(store: Store, wanted: Wanted) -> Mapping[str, int]:
    """How many changes there are of each word, whatever `wanted.whats` says."""
    table = schema.change
    with store.reading() as connection:
        conditions = _conditions(connection, replace(wanted, whats=()))
        query = sa.select(table.c.what, sa.func.count()).where(*conditions).group_by(table.c.what)
        return {what: int(number) for what, number in connection.execute(query)}


def step(
    store: Store,
    at_ms: int,
    direction: Direction,
    host_ids: frozenset[int] | None = None,
    entity_id: int | None = None,
) -> int | None:
    """The time of the last change before `at_ms`, or of the first one after it; None: none."""
    table = schema.change
    told = [table.c.replaced_ms.is_(None), *_in_scope(host_ids)]
    if entity_id is not None:
        told.append(table.c.entity_id == entity_id)
    query = sa.select(table.c.at_ms).where(*told).limit(1)
    if direction == "next":
        query = query.where(table.c.at_ms > at_ms).order_by(table.c.at_ms)
    else:
        query = query.where(table.c.at_ms < at_ms).order_by(table.c.at_ms.desc())
    with store.reading() as connection:
        return connection.scalar(query)


def since(
    store: Store,
    moment_ms: int,
    until_ms: int | None,
    entity_ids: Sequence[int],
) -> Mapping[int, Since]:
    """What became of objects after `moment_ms` (until a time, included), by entity; those to
    which nothing happened are not in it.
    """
    table = schema.change
    query = (
        sa.select(table.c.entity_id, table.c.what, sa.func.count(), sa.func.max(table.c.at_ms))
        .where(table.c.at_ms > moment_ms, table.c.replaced_ms.is_(None))
        .group_by(table.c.entity_id, table.c.what)
    )
    if until_ms is not None:
        query = query.where(table.c.at_ms <= until_ms)
    counts: dict[int, dict[str, int]] = {}
    last: dict[int, int] = {}
    with store.reading() as connection:
        for start in range(0, len(entity_ids), 500):
            some = table.c.entity_id.in_(entity_ids[start : start + 500])
            for entity_id, what, number, at_ms in connection.execute(query.where(some)):
                counts.setdefault(entity_id, {})[what] = int(number)
                last[entity_id] = max(last.get(entity_id, at_ms), at_ms)
    return {entity_id: Since(told, last[entity_id]) for entity_id, told in counts.items()}


def density(
    store: Store, from_ms: int, to_ms: int, buckets: int, host_ids: frozenset[int] | None = None
) -> list[int]:
    """How many changes there were in `buckets` equal stretches between two times."""
    width = max(1, (to_ms - from_ms) // buckets)
    table = schema.change
    bucket = ((table.c.at_ms - from_ms) / width).cast(sa.Integer)
    query = (
        sa.select(bucket, sa.func.count())
        .where(table.c.at_ms >= from_ms, table.c.at_ms < from_ms + width * buckets)
        .where(table.c.replaced_ms.is_(None), *_in_scope(host_ids), _not_twice(host_ids))
        .group_by(bucket)
    )
    with store.reading() as connection:
        found = {number: int(count) for number, count in connection.execute(query)}
    return [found.get(number, 0) for number in range(buckets)]


def definitions(store: Store, change: Change) -> tuple[Definition | None, Definition | None]:
    """The definition before and after a change that has one; None for what is not kept."""
    if change.xml_id is None:
        return None, None
    table = schema.revision
    with store.reading() as connection:
        now = connection.execute(sa.select(table).where(table.c.id == change.xml_id)).first()
        if now is None:
            return None, None
        was = connection.scalar(
            sa.select(table.c.body)
            .where(table.c.entity_id == now.entity_id, table.c.valid_from_ms < now.valid_from_ms)
            .order_by(table.c.valid_from_ms.desc())
            .limit(1)
        )
    before = None if was is None else msgspec.json.decode(was, type=Definition)
    return before, msgspec.json.decode(now.body, type=Definition)


# --- queries -------------------------------------------------------------------------------

_LONGEST_SCAN_MS = 10 * 60_000
_PEER = schema.host.alias("peer")


def _select() -> sa.Select[Any]:
    table = schema.change
    return (
        sa.select(table, schema.host.c.slug, _PEER.c.slug.label("peer_slug"))
        .outerjoin(schema.host, schema.host.c.id == table.c.host_id)
        .outerjoin(_PEER, _PEER.c.id == table.c.peer_host_id)
    )


def _newest_first() -> tuple[sa.ColumnElement[Any], ...]:
    return schema.change.c.at_ms.desc(), schema.change.c.id.desc()


def _conditions(connection: sa.Connection, wanted: Wanted) -> Iterator[sa.ColumnElement[bool]]:
    table = schema.change
    asked = wanted.host_ids
    if wanted.hosts:
        host = schema.host
        ids = connection.scalars(sa.select(host.c.id).where(host.c.slug.in_(wanted.hosts)))
        named = frozenset(ids)
        asked = named if asked is None else asked & named
        yield table.c.host_id.in_(asked)
    yield from _told(wanted)
    yield from _in_scope(wanted.host_ids)
    for column, words in ((table.c.kind, wanted.kinds), (table.c.what, _whats(wanted))):
        if words:
            yield column.in_(words)
    if wanted.key:
        # What is inside of it has its key in front: the volumes of a pool.
        inside = table.c.key.between(f"{wanted.key}/", f"{wanted.key}0")
        yield sa.or_(table.c.key == wanted.key, inside)
    if wanted.entity_id is not None:
        yield table.c.entity_id == wanted.entity_id
    else:
        yield _not_twice(asked)
    if wanted.from_ms is not None:
        yield table.c.at_ms >= wanted.from_ms
    if wanted.until_ms is not None:
        yield table.c.at_ms <= wanted.until_ms
    for word in wanted.text.split():
        yield _holds(word)


def _whats(wanted: Wanted) -> tuple[str, ...]:
    return (*wanted.whats, MOVED_AWAY) if MOVED in wanted.whats else wanted.whats


def _told(wanted: Wanted) -> Iterator[sa.ColumnElement[bool]]:
    """What was told at the moment that is looked from, and by which row."""
    table, as_of_ms = schema.change, wanted.as_of_ms
    if as_of_ms is None:
        yield table.c.replaced_ms.is_(None)
        return
    yield table.c.at_ms <= as_of_ms
    yield _over(table.c.at_ms, as_of_ms)
    replaced = table.c.replaced_ms
    yield sa.or_(replaced.is_(None), replaced > as_of_ms, sa.not_(_over(replaced, as_of_ms)))


def _over(at: sa.ColumnElement[int], as_of_ms: int) -> sa.ColumnElement[bool]:
    """Whether the scan of `at` was over at that moment, so that what it tells was known: what is
    asked while it goes on is to have the same answer later. (At the very time by which the change
    is called it was.)
    """
    scan = schema.scan
    goes_on = sa.exists().where(scan.c.at_ms == at, scan.c.at_ms + scan.c.took_ms > as_of_ms)
    return sa.or_(at <= as_of_ms - _LONGEST_SCAN_MS, at == as_of_ms, sa.not_(goes_on))


def _in_scope(host_ids: frozenset[int] | None) -> Iterator[sa.ColumnElement[bool]]:
    if host_ids is not None:
        column = schema.change.c.host_id
        yield sa.or_(column.in_(host_ids), column.is_(None))


def _not_twice(host_ids: frozenset[int] | None) -> sa.ColumnElement[bool]:
    """A move is told once where both of its hosts are asked for."""
    table = schema.change
    once = table.c.what != MOVED_AWAY
    return once if host_ids is None else sa.or_(once, table.c.peer_host_id.not_in(host_ids))


def _holds(word: str) -> sa.ColumnElement[bool]:
    table = schema.change
    hosts = sa.select(schema.host.c.id).where(schema.host.c.slug.contains(word, autoescape=True))
    columns = (table.c.name, table.c.what, table.c.part, table.c.old, table.c.new, table.c.key)
    return sa.or_(
        *(column.contains(word, autoescape=True) for column in columns), table.c.host_id.in_(hosts)
    )


def _changes_of(
    connection: sa.Connection,
    rows: Sequence[Any],
    host_ids: frozenset[int] | None,
    as_of_ms: int | None,
) -> list[Change]:
    found = [_change(row, host_ids) for row in rows]
    known = doers.find(connection, found, as_of_ms)
    return [replace(one, **known.get(one.id, {"by": doers.by(one)})) for one in found]


def _change(row: Any, host_ids: frozenset[int] | None) -> Change:
    peer = row.peer_slug if host_ids is None or row.peer_host_id in host_ids else None
    old, new = row.old, row.new
    if row.what == MOVED:
        old, new = peer, row.slug
    elif row.what == MOVED_AWAY:
        old, new = row.slug, peer
    return Change(
        row.id, row.at_ms, row.after_ms, row.host_id, row.slug, row.kind, row.key, row.entity_id,
        row.name, row.what, row.part, old, new, row.old_revision_id, row.new_revision_id,
        row.xml_revision_id, peer,
    )  # fmt: skip
