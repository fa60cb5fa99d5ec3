"""The read side of the list of changes: what happened, to what, when, and on whose behalf.

Cannot write. A list as of a moment is the same whenever it is asked for: a row that was replaced
later (by a move) is shown for the moments before that.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from weakref import WeakKeyDictionary

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace

from app.inventory import Definition
from app.store import doers, schema
from app.store.doers import By
from app.store.engine import Store
from app.store.looks import LONGEST_MS, STORED_WITHIN_MS
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


def changes(
    store: Store, wanted: Wanted, *, limit: int, offset: int = 0
) -> tuple[list[Change], int]:
    """The changes that fit, newest first, and how many there are in all."""
    counts = count_by_what(store, wanted)
    chosen = _whats(wanted)
    total = sum(number for what, number in counts.items() if not chosen or what in chosen)
    if limit == 0 or offset >= total:
        return [], total
    return _page(store, wanted, limit, offset), total


def latest(store: Store, wanted: Wanted, limit: int) -> list[Change]:
    """The newest changes that fit; unlike `changes` without counting them all."""
    return _page(store, wanted, limit, 0)


def _page(store: Store, wanted: Wanted, limit: int, offset: int) -> list[Change]:
    table = schema.change
    with store.reading() as connection:
        # The numbers first, from an index alone, however many are passed over.
        query = sa.select(table.c.id).where(*_conditions(connection, wanted))
        query = query.order_by(*_newest_first()).limit(limit).offset(offset)
        numbers = connection.scalars(query).all()
        rows: list[Any] = []
        for start in range(0, len(numbers), _AT_ONCE):
            some = table.c.id.in_(numbers[start : start + _AT_ONCE])
            rows += connection.execute(_select().where(some).order_by(*_newest_first()))
        return _changes_of(connection, rows, wanted.host_ids, wanted.as_of_ms)


def changes_after(store: Store, change_id: int, limit: int) -> tuple[list[Change], int]:
    """The changes that were told after that one, in the order in which they were, at most `limit`
    rows of them, and the last row that was looked at. What another row tells better is left out.
    """
    table = schema.change
    query = _select().where(table.c.id > change_id).order_by(table.c.id).limit(limit)
    with store.reading() as connection:
        rows = connection.execute(query).all()
        told = [row for row in rows if row.replaced_ms is None]
        found = _changes_of(connection, told, None, None)
    return found, rows[-1].id if rows else change_id


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
    return _counts_of(store).counts(store, replace(wanted, whats=()))


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

# So many rows are named in one statement: SQLite takes no more than 32,766 values as it comes.
_AT_ONCE = 2000
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
        yield table.c.entity_id.in_(_entities(wanted.key, asked))
    if wanted.entity_id is not None:
        yield table.c.entity_id == wanted.entity_id
    else:
        yield _not_twice(asked)
    if wanted.from_ms is not None:
        yield table.c.at_ms >= wanted.from_ms
    if wanted.until_ms is not None:
        yield table.c.at_ms <= wanted.until_ms
    for word in dict.fromkeys(wanted.text.split()):
        yield _holds(word)


def _entities(key: str, host_ids: frozenset[int] | None) -> sa.Select[tuple[int]]:
    """What has that key, and what is inside of it and has it in front: the volumes of a pool."""
    entity = schema.entity
    query = sa.select(entity.c.id).where(
        sa.or_(entity.c.key == key, entity.c.key.between(f"{key}/", f"{key}0"))
    )
    return query if host_ids is None else query.where(entity.c.host_id.in_(host_ids))


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
    """Whether the look of `at` was over at that moment, so that what it tells was known: what is
    asked while it goes on is to have the same answer later. (At the very time by which the change
    is called it was.)
    """

    def goes_on(table: sa.Table) -> sa.ColumnElement[bool]:
        end = table.c.at_ms + table.c.took_ms + STORED_WITHIN_MS
        return sa.exists().where(table.c.at_ms == at, end > as_of_ms)

    longest_ago = at <= as_of_ms - LONGEST_MS
    either = sa.or_(goes_on(schema.scan), goes_on(schema.partial_look))
    return sa.or_(longest_ago, at == as_of_ms, sa.not_(either))


def _in_scope(host_ids: frozenset[int] | None) -> Iterator[sa.ColumnElement[bool]]:
    if host_ids is not None:
        # No bare column, so that the order of time is what is walked; 0: npvirt itself.
        yield sa.func.coalesce(schema.change.c.host_id, 0).in_({0, *host_ids})


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


class _Counts:
    """Counts of one store, kept for as long as no change is told: pages ask again and again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Wanted, tuple[int, Mapping[str, int]]] = OrderedDict()

    def counts(self, store: Store, wanted: Wanted) -> Mapping[str, int]:
        table = schema.change
        with store.reading() as connection:
            last_id = connection.scalar(sa.select(sa.func.max(table.c.id))) or 0
            with self._lock:
                known = self._known.get(wanted)
                if known is not None and known[0] == last_id:
                    self._known.move_to_end(wanted)
                    return known[1]
            conditions = _conditions(connection, wanted)
            query = sa.select(table.c.what, sa.func.count()).where(*conditions)
            rows = connection.execute(query.group_by(table.c.what))
            found = {what: int(number) for what, number in rows}
        with self._lock:
            self._known[wanted] = (last_id, found)
            while len(self._known) > _KEPT_COUNTS:
                self._known.popitem(last=False)
        return found


_KEPT_COUNTS = 64
_stores_lock = threading.Lock()
_stores: WeakKeyDictionary[Store, _Counts] = WeakKeyDictionary()


def _counts_of(store: Store) -> _Counts:
    with _stores_lock:
        return _stores.setdefault(store, _Counts())
