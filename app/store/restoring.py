"""Putting a backup in the place of the store: examined first, all at once, and nothing thrown away.

The backup is copied beside the store, brought up to date and examined there. The store that was
there is kept under another name. At every point either the old store or the new one has the
store's name, so that whoever starts npvirt after a crash finds one of them.
"""

import contextlib
import os
import sqlite3
from pathlib import Path

from msgspec import Struct

from app.clock import rfc3339
from app.errors import Conflict, StoreError
from app.store.audit import first_broken
from app.store.backups import flaw_of
from app.store.engine import Store
from app.store.file import copy_file, refuse_foreign, sync, upgrade
from app.store.sqlite import connect
from app.store.verify import verify


class Found(Struct, frozen=True):
    """What is in a backup that may be restored; `wrong`: what is not as it was written, though
    SQLite can read it, of the `wrong_count` such things the first.
    """

    schema: str
    hosts: int
    scans: int
    last_scan_at_ms: int | None
    wrong_count: int = 0
    wrong: str = ""


def examine(backup: Path, beside: Path) -> tuple[Found, Path]:
    """Copy a backup beside the store at `beside`, bring the copy up to date and examine it; the
    copy is the caller's to put in place or to remove. Raises StoreError where it is no sound store
    of npvirt's; nothing is left then.
    """
    if not backup.is_file():
        raise StoreError(f"{backup} is not a file.")
    building = beside.with_name(f".{beside.name}.restoring-{os.getpid()}")
    building.unlink(missing_ok=True)
    try:
        try:
            refuse_foreign(backup)
            copy_file(backup, building)
        except sqlite3.Error as error:
            raise StoreError(f"{backup} is damaged: {error}.") from None
        upgrade(building, keep=False)
        return _found(backup, building), building
    except BaseException:
        discard(building)
        raise


def _found(backup: Path, building: Path) -> Found:
    store = Store.open(building)
    try:
        damage = store.check()
        if damage is not None:
            raise StoreError(f"{backup} is damaged; it was not restored. {damage}")
        count, broken = first_broken(store)
        if broken is not None:
            raise StoreError(
                f"The audit in {backup} was altered at entry {broken} of {count}; it was not "
                "restored."
            )
        with store.reading() as connection:
            hosts = connection.exec_driver_sql("SELECT count(*) FROM host").scalar_one()
            scans, last = connection.exec_driver_sql("SELECT count(*), max(at_ms) FROM scan").one()
        verified = verify(store)
        return Found(
            store.revision(), int(hosts), int(scans), last, verified.count,
            verified.wrong[0] if verified.wrong else "",
        )  # fmt: skip
    finally:
        store.close()
        _folded(building)


def put_in_place(building: Path, path: Path, now_ms: int) -> Path | None:
    """Give the examined copy the store's name; where the store that was there is now: under the
    name of a damaged one, if it is that, and then not a byte of it is changed. Raises StoreError
    or Conflict.
    """
    is_damaged = path.exists() and flaw_of(path) is not None
    word = "damaged" if is_damaged else "before-restore"
    aside = path.with_name(f"{path.name}.{word}-{rfc3339(now_ms // 1000 * 1000)}")
    if aside.exists():
        raise Conflict(f"{aside} exists already; npvirt does not overwrite it.")
    try:
        sync(building)
        was_there = path.exists()
        if was_there:
            if not is_damaged:
                _folded(path)
            # What could not be folded in belongs to the old store, and must not meet the new one.
            for ending in ("-wal", "-shm"):
                rest = path.with_name(path.name + ending)
                if rest.exists():
                    rest.rename(aside.with_name(aside.name + ending))
            os.link(path, aside)
        building.replace(path)
        sync(path.parent)
    except OSError as error:
        raise StoreError(f"The backup could not be put in place: {error.strerror}.") from None
    return aside if was_there else None


def discard(building: Path) -> None:
    """Remove a copy that is not to be put in place."""
    for file in (building, *building.parent.glob(f"{building.name}-*")):
        file.unlink(missing_ok=True)


def _folded(path: Path) -> None:
    """Fold the write-ahead log into the file, as far as the file allows that."""
    with contextlib.suppress(sqlite3.Error):
        connection = connect(path)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
