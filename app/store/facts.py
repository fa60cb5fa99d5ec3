"""What revisions hold, by their ids, as far as it can be read: a damaged one hides no other."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app.inventory import KIND_BY_NAME, Fact, KindName
from app.store import schema

_BATCH = 500


def facts_by_id(connection: sa.Connection, kinds: Mapping[int, KindName]) -> dict[int, Fact]:
    """The facts of revisions of which the kind is known; those that cannot be read are left out."""
    found: dict[int, Fact] = {}
    for number, body in _bodies(connection, list(kinds)):
        try:
            found[number] = msgspec.json.decode(body, type=KIND_BY_NAME[kinds[number]].fact)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return found


def _bodies(connection: sa.Connection, ids: Sequence[int]) -> Iterator[tuple[int, str]]:
    table = schema.revision
    for start in range(0, len(ids), _BATCH):
        some = ids[start : start + _BATCH]
        query = sa.select(table.c.id, table.c.body).where(table.c.id.in_(some))
        try:
            rows = connection.execute(query).all()
        except (DBAPIError, UnicodeDecodeError):
            if len(some) > 1:
                for number in some:
                    yield from _bodies(connection, [number])
            continue
        for number, body in rows:
            yield number, body
