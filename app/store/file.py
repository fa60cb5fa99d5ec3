"""The store's file as a whole: made, recognised, brought up to date, copied.

A new one is built under another name and gets its own when it is whole; a file that is not
npvirt's own is refused and never replaced. Raises StoreError, or what SQLite and the file system
raise (app/store/faults translates it).
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from app.errors import StoreError
from app.store.schema import APPLICATION_ID, REVISION
from app.store.sqlite import connect, engine_of
from app.store.sums import seal_schema


def create(path: Path) -> None:
    """Build a new store under another name and give it its own when it is whole."""
    building = path.with_name(f".{path.name}.new-{os.getpid()}")
    building.unlink(missing_ok=True)
    _touch(building)
    try:
        connection = connect(building)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        migrate(building)
        with connect(building) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        sync(building)
        # A link, unlike a rename, leaves a store alone that somebody else made meanwhile.
        try:
            os.link(building, path)
        except FileExistsError:
            return
        sync(path.parent)
    finally:
        for leftover in (building, *path.parent.glob(f"{building.name}-*")):
            leftover.unlink(missing_ok=True)


def refuse_foreign(path: Path) -> None:
    """Raise StoreError for a file that is no store of npvirt's. Nothing beside it is made."""
    if not path.stat().st_size:
        raise StoreError(
            f"{path} is empty; npvirt does not start over in it. Put a backup in its place, or "
            "remove it to begin a new store.",
            problem="damaged",
        )
    if _application_id(path) != APPLICATION_ID:
        raise StoreError(
            f"{path} is not a store of npvirt; it is left as it is.", problem="damaged"
        )


def _application_id(path: Path) -> int | None:
    """Whose database a file says that it is; None where it is none.

    Asked of SQLite: were the file opened and closed here, this process would lose the locks that
    its other connections have on it (https://sqlite.org/howtocorrupt.html, section 2.2), and the
    next process to leave would remove the log that they still write.
    """
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    try:
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        return int(found)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB":
            return None
        raise
    finally:
        connection.close()


def revision_of(path: Path) -> str:
    """The schema that a file has; "none" for none."""
    connection = connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    finally:
        connection.close()
    return str(row[0]) if row else "none"


def upgrade(path: Path, *, keep: bool = True) -> None:
    """Bring the file's schema up to date, a copy of it kept beside it; raises StoreError for one
    that another npvirt made.
    """
    found = revision_of(path)
    if found == REVISION:
        return
    if found > REVISION or found == "none":
        raise StoreError(
            f"{path} has schema {found}, made by another npvirt; this one knows {REVISION}."
        )
    before = path.with_name(f"{path.name}.before-{REVISION}")
    if keep and not before.exists():
        copy_file(path, before)
    migrate(path)


def migrate(path: Path, to: str = "head") -> None:
    """Bring the file's schema up to date in one explicit transaction."""
    # Imported only when there is something to migrate: Alembic is large.
    from alembic import command
    from alembic.config import Config

    engine = engine_of(lambda: connect(path, check_same_thread=False), query_only=False)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "migrations"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            seal_schema(connection)
    finally:
        engine.dispose()


def copy_file(source: Path, target: Path) -> None:
    """Copy a store, as one moment of it, while others may write; raises sqlite3.Error."""
    building = target.with_name(f".{target.name}.new-{os.getpid()}")
    building.unlink(missing_ok=True)
    _touch(building)
    try:
        reading, writing = connect(source), connect(building)
        try:
            reading.backup(writing)
        finally:
            reading.close()
            writing.close()
        sync(building)
        building.rename(target)
    finally:
        building.unlink(missing_ok=True)
    sync(target.parent)


def sync(path: Path) -> None:
    """Have a file or a directory on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file has the name: its device and number; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _touch(path: Path) -> None:
    """Make an empty file that its owner alone may read."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
