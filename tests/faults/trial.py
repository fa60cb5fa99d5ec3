"""One host of a store that proofs scan again and again, and what must hold of it afterwards."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.collect.scanner import Scanner
from app.connection import Connection
from app.inventory import Scan
from app.store import schema
from app.store.engine import Store
from app.store.hosts import add_host
from tests.faults import inventories
from tests.faults.proof import Tally

INTERVAL_MS = 1_000


class Trial:
    """One host of a store that is scanned, and what a whole scan of it says."""

    def __init__(self, tally: Tally, store: Store, data: Path, slug: str, way: Connection) -> None:
        self._tally = tally
        self._store = store
        self._data = data
        self.record = add_host(store, slug, way)
        self.scanner = self.fresh_scanner()
        self.whole = self.scanned(everything=True)
        self.entities = self._entities()
        tally.check(self.whole.ok and not self.whole.missing, f"{slug} is not whole: {self.whole}")

    def fresh_scanner(self) -> Scanner:
        """A scanner that remembers nothing."""
        return Scanner(self._store, self._data, self.record, INTERVAL_MS)

    def scanned(self, *, everything: bool = False) -> Scan:
        """One look, stored."""
        return self.scanner.scan(everything=everything, next_at_ms=lambda ok: None)

    def begin_anew(self) -> None:
        """Go on with a scanner that remembers nothing."""
        self.scanner.close()
        self.scanner = self.fresh_scanner()

    def check_nothing_gone(self, where: str, but: str = "") -> None:
        """Nothing that was there is said to be gone, or was told as deleted; `but` the object of
        that name.
        """
        table = schema.entity
        mine = table.c.host_id == self.record.id
        with self._store.reading() as connection:
            query = sa.select(table.c.kind, table.c.key)
            rows = connection.execute(query.where(mine, table.c.last_seen_ms.is_not(None)))
            gone = {(row.kind, row.key) for row in rows} & self.entities
            change = schema.change
            query = sa.select(change.c.kind, change.c.key, change.c.name).where(
                change.c.host_id == self.record.id, change.c.what == "deleted"
            )
            rows = connection.execute(query)
            told = [row for row in rows if (row.kind, row.key) in self.entities]
        if but:
            self._tally.check(
                all(row.name == but or row.kind == "volume" for row in told),
                f"{where}: told as deleted: {told}",
            )
            return
        self._tally.check(not gone, f"{where}: gone: {gone}")
        self._tally.check(not told, f"{where}: told as deleted: {told}")
        self._tally.check(
            self._entities() >= self.entities, f"{where}: the store forgot what was there"
        )

    def check_green(self, seen: Scan, where: str, *, equal: bool = True) -> None:
        """The scan is whole, and says what the first one did."""
        self._tally.check(
            seen.ok and not seen.missing,
            f"{where}: the next scan is not green: {seen.sentence or seen.missing}",
        )
        if equal:
            different = inventories.differences(self.whole, seen, volumes=False)
            self._tally.check(not different, f"{where}: the next scan differs: {different}")

    def forget_deletions(self) -> None:
        """Begin anew after an error that says that something is gone."""
        with self._store.writing() as connection:
            connection.execute(
                sa.delete(schema.change).where(schema.change.c.host_id == self.record.id)
            )

    def stored(self) -> Any:
        """The newest scan's row."""
        table = schema.scan
        query = (
            sa.select(table).where(table.c.host_id == self.record.id).order_by(table.c.id.desc())
        )
        with self._store.reading() as connection:
            return connection.execute(query.limit(1)).one()

    def _entities(self) -> set[tuple[str, str]]:
        table = schema.entity
        query = sa.select(table.c.kind, table.c.key).where(table.c.host_id == self.record.id)
        with self._store.reading() as connection:
            return {(row.kind, row.key) for row in connection.execute(query)}
