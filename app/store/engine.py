"""Opening the store's file, and the two ways in: reading and writing.

All that is particular to SQLite is here. A reader cannot write (`query_only`); a writer takes the
lock at once (`BEGIN IMMEDIATE`), one at a time. A file that is not npvirt's own is refused and
never replaced. SQLAlchemy's and SQLite's errors leave this module as StoreError.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app.errors import StoreError
from app.settings import Settings
from app.store.schema import APPLICATION_ID, REVISION

_MAGIC = b"SQLite format 3\0"
_READERS = 4


def store_path(settings: Settings) -> Path:
    """Where the store's file is, its directory made (0700) when absent; raises StoreError."""
    url = settings.database_url
    path = Path(url.removeprefix("sqlite:///")) if url else settings.data / "npvirt.sqlite"
    for directory in (settings.data, path.parent):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The directory {directory} cannot be made: {error.strerror}."
            ) from None
    return path.absolute()


class AuditListener(Protocol):
    """Told of every entry of the audit once it is committed; neither fails nor waits."""

    def send(self, entry: Mapping[str, Any]) -> None:
        """Take an entry: the columns of its row."""

    def close(self) -> None:
        """Free what it holds; the store is closed."""


class Store:
    """An opened store. Threads may share it; each `with` takes a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.audit_listener: AuditListener | None = None
        self._writer = _engine(path, query_only=False, size=1)
        self._reader = _engine(path, query_only=True, size=_READERS)
        self._version_lock = threading.Lock()
        self._version_connection: sqlite3.Connection | None = None

    @classmethod
    def open(cls, path: Path) -> "Store":
        """The store in the file `path`, made when there is none, migrated when it is older.

        Raises StoreError for a file that is empty, foreign, damaged or made by a newer npvirt.
        """
        with _translated(path):
            if not path.exists():
                _create(path)
            refuse_foreign(path)
            upgrade(path)
            return cls(path)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one state of the store and cannot write."""
        with _translated(self.path), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sa.Connection]:
        """A connection whose changes become visible together at the end, or not at all.
        `durable` changes outlive even a loss of power right after.
        """
        with _translated(self.path), self._writer.connect() as connection:
            _synchronous(connection, "FULL" if durable else "NORMAL")
            with connection.begin():
                yield connection

    def version(self) -> int:
        """A number that changes with every commit of anybody, other processes included."""
        with _translated(self.path), self._version_lock:
            if self._version_connection is None:
                self._version_connection = sqlite3.connect(self.path, check_same_thread=False)
            row = self._version_connection.execute("PRAGMA data_version").fetchone()
            return int(row[0])

    def revision(self) -> str:
        """The schema that the file has."""
        with self.reading() as connection:
            return str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))

    def check(self) -> str | None:
        """What SQLite finds wrong with the file, as a sentence, or None."""
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check").scalars().all()
        return None if found == ["ok"] else f"The store is damaged: {found[0]}"

    def backup(self, target: Path) -> None:
        """Copy the store into the new file `target`; raises StoreError if there is one."""
        if target.exists():
            raise StoreError(f"{target} exists already; npvirt does not overwrite it.")
        with _translated(target):
            copy_file(self.path, target)

    def close(self) -> None:
        """Close every connection."""
        if self.audit_listener is not None:
            self.audit_listener.close()
        self._writer.dispose()
        self._reader.dispose()
        with self._version_lock:
            if self._version_connection is not None:
                self._version_connection.close()
                self._version_connection = None


def _engine(path: Path, *, query_only: bool, size: int) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        pool_size=size,
        max_overflow=0 if size == 1 else 32,
        pool_timeout=30,
        connect_args={"check_same_thread": False, "timeout": 5.0},
    )

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        # SQLAlchemy's own BEGIN comes late and lets two writers meet; ours is below.
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA query_only = {int(query_only)}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if query_only else "BEGIN IMMEDIATE")

    return engine


def _synchronous(connection: sa.Connection, mode: str) -> None:
    """How carefully the next transaction is written; cannot change inside of one."""
    plain: Any = connection.connection.dbapi_connection
    plain.execute(f"PRAGMA synchronous = {mode}")


def _create(path: Path) -> None:
    """Build a new store under another name and give it its own when it is whole."""
    building = path.with_name(f".{path.name}.new-{os.getpid()}")
    building.unlink(missing_ok=True)
    descriptor = os.open(building, os.O_CREAT | os.O_RDWR, 0o600)
    os.close(descriptor)
    try:
        connection = sqlite3.connect(building)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        _migrate(building)
        with sqlite3.connect(building) as connection:
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
    """Raise StoreError for a file that is no store of npvirt's."""
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        raise StoreError(
            f"{path} is empty; npvirt does not start over in it. Put a backup in its place, or "
            "remove it to begin a new store."
        )
    application = int.from_bytes(header[68:72], "big")
    if header[:16] != _MAGIC or application != APPLICATION_ID:
        raise StoreError(f"{path} is not a store of npvirt; it is left as it is.")


def upgrade(path: Path, *, keep: bool = True) -> None:
    """Bring the file's schema up to date, a copy of it kept beside it; raises StoreError for one
    that another npvirt made.
    """
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    finally:
        connection.close()
    found = str(row[0]) if row else "none"
    if found == REVISION:
        return
    if found > REVISION or found == "none":
        raise StoreError(
            f"{path} has schema {found}, made by another npvirt; this one knows {REVISION}."
        )
    before = path.with_name(f"{path.name}.before-{REVISION}")
    if keep and not before.exists():
        copy_file(path, before)
    _migrate(path)


def _migrate(path: Path, to: str = "head") -> None:
    """Bring the file's schema up to date in one explicit transaction."""
    # Imported only when there is something to migrate: Alembic is large.
    from alembic import command
    from alembic.config import Config

    engine = _engine(path, query_only=False, size=1)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "migrations"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, to)
    finally:
        engine.dispose()


def copy_file(source: Path, target: Path) -> None:
    """Copy a store, as one moment of it, while others may write; raises sqlite3.Error."""
    building = target.with_name(f".{target.name}.new-{os.getpid()}")
    building.unlink(missing_ok=True)
    descriptor = os.open(building, os.O_CREAT | os.O_RDWR, 0o600)
    os.close(descriptor)
    try:
        reading, writing = sqlite3.connect(source), sqlite3.connect(building)
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


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise StoreError(_sentence(path, error.orig)) from error
    except sqlite3.Error as error:
        raise StoreError(_sentence(path, error)) from error
    except sa.exc.TimeoutError as error:
        raise StoreError(f"The store {path} is busy; nothing was written.") from error
    except OSError as error:
        raise StoreError(f"The store {path} cannot be used: {error.strerror or error}.") from error


_SENTENCES = {
    "SQLITE_BUSY": "is locked by another process; nothing was written",
    "SQLITE_LOCKED": "is locked by another process; nothing was written",
    "SQLITE_FULL": "cannot grow: the disk is full",
    "SQLITE_READONLY": "cannot be written: the file or its disk is read-only",
    "SQLITE_IOERR": "cannot be used: the disk reports an input/output error",
    "SQLITE_CORRUPT": "is damaged; put the newest good backup in its place",
    "SQLITE_NOTADB": "is not a database, or its beginning is damaged",
    "SQLITE_CANTOPEN": "cannot be opened; check that the file and its directory are permitted",
}


def _sentence(path: Path, error: Any) -> str:
    name: str = getattr(error, "sqlite_errorname", "") or ""
    for prefix, sentence in _SENTENCES.items():
        if name.startswith(prefix):
            return f"The store {path} {sentence}."
    return f"The store {path} failed: {error}."
