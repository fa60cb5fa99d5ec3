"""What was looked after when, and what came of it: the daily look at the store, its backups."""

from typing import Literal

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import asdict

from app.store import schema
from app.store.engine import Store

What = Literal["verified", "backup"]


class LookedAfter(Struct, frozen=True):
    """When it began and how long it took, whether it went well, a number (of a backup: its size in
    bytes) and, where it did not, a sentence.
    """

    at_ms: int
    took_ms: int
    ok: bool
    value: int | None = None
    sentence: str | None = None


def last_time(store: Store, what: What) -> LookedAfter | None:
    """The last time; None when it was never done. Raises StoreError."""
    table = schema.upkeep
    with store.reading() as connection:
        row = connection.execute(sa.select(table).where(table.c.name == what)).one_or_none()
    if row is None:
        return None
    return LookedAfter(row.at_ms, row.took_ms, bool(row.ok), row.value, row.sentence)


def note(store: Store, what: What, done: LookedAfter) -> None:
    """Write down that it was done; raises StoreError."""
    table = schema.upkeep
    values = {**asdict(done), "ok": int(done.ok)}
    with store.writing() as connection:
        connection.execute(sa.delete(table).where(table.c.name == what))
        connection.execute(sa.insert(table).values(name=what, **values))
