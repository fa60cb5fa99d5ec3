"""Opening the store, and the two ways in: reading and writing.

A reader cannot write (`query_only`); a writer takes the lock at once (`BEGIN IMMEDIATE`), one at a
time, and writes into the file that has the store's name or into none. What fails is remembered as
the store's trouble until it is over. SQLAlchemy's and SQLite's errors leave this module as
StoreError.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from app.errors import StoreError
from app.settings import Settings
from app.store.dropped import DroppedScans
from app.store.faults import EMPTIED, SENTENCES, Troubles, is_emptied, translated
from app.store.file import copy_file, create, identity, refuse_foreign, revision_of, upgrade
from app.store.readers import Readers
from app.store.schema import REVISION
from app.store.sqlite import connect, engine_of, plain, set_writing

log = logging.getLogger(__name__)

# Of the store in a data directory.
STORE_NAME = "npvirt.sqlite"


def store_path(settings: Settings) -> Path:
    """Where the store's file is, its directory made (0700) when absent; raises StoreError."""
    url = settings.database_url
    path = Path(url.removeprefix("sqlite:///")) if url else settings.data / STORE_NAME
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
    """An opened store. Threads may share it; each `with` takes a connection of its own.

    `troubles` and `dropped` tell what goes wrong with it, as this process sees it.
    """

    def __init__(self, path: Path, *, at_rest: bool = False) -> None:
        """`at_rest`: as `connect` of app/store/sqlite has it, to be read alone."""
        self.path = path
        self.audit_listener: AuditListener | None = None
        self.troubles = Troubles(path)
        self.dropped = DroppedScans()
        self._at_rest = at_rest
        self._identity = identity(path)
        self._writer = engine_of(self._connect, query_only=False)
        self._readers = Readers(self._connect)
        self._log = path.with_name(f"{path.name}-wal")
        # Of the log that is open; None until something was written.
        self._log_identity: tuple[int, int] | None = None
        self._lock = threading.Lock()
        # Which of the files that had the name since the start: of one alone versions compare.
        self._generation = 0
        self._version: int | None = None
        self._version_connection: sqlite3.Connection | None = None

    @classmethod
    def open(cls, path: Path) -> "Store":
        """The store in the file `path`, made when there is none, migrated when it is older.

        Raises StoreError for a file that is empty, foreign, damaged or made by a newer npvirt.
        """
        with translated(path):
            if not path.exists():
                create(path)
            refuse_foreign(path)
            upgrade(path)
            return cls(path)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one state of the store and cannot write."""
        try:
            with (
                translated(self.path),
                self._readers.connected() as connection,
                connection.begin(),
            ):
                yield connection
        except StoreError as error:
            self.troubles.failed(error, reading=True)
            raise

    def keep_readers(self) -> None:
        """Have connections that read open from now on, so that reads go on where the file goes
        away: for who serves. Raises StoreError.
        """
        with translated(self.path):
            self._readers.keep()

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sa.Connection]:
        """A connection whose changes become visible together at the end, or not at all.
        `durable` changes outlive even a loss of power right after.
        """
        try:
            with translated(self.path):
                self._follow_file()
                self._follow_log()
                with self._writer.connect() as connection:
                    # Others are waited for; not again and again by everybody.
                    trouble = self.troubles.writing
                    patient = trouble is None or trouble.problem != "locked"
                    set_writing(connection, durable=durable, patient=patient)
                    ours = plain(connection)
                    before = ours.total_changes
                    with connection.begin():
                        yield connection
                    has_written = ours.total_changes != before
        except StoreError as error:
            self.troubles.failed(error, reading=False)
            raise
        if has_written:
            self.troubles.wrote()
            if self._log_identity is None:
                self._log_identity = identity(self._log)

    def look(self) -> None:
        """See that the file is still there, and can be written where it could not. Raises
        StoreError.
        """
        trouble = self.troubles.writing
        if trouble is not None or identity(self.path) != self._identity:
            with self.writing() as connection:
                connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")

    def _connect(self) -> sqlite3.Connection:
        """A connection to the file that is open already; raises StoreError where another has its
        name. SQLite would take itself for the first to open that one, and shorten the memory beside
        the log, which goes by the name as well, under all others: that ends the process.
        """
        if identity(self.path) == self._identity:
            connection = connect(self.path, check_same_thread=False, at_rest=self._at_rest)
            if identity(self.path) == self._identity:
                return connection
            connection.close()
        raise StoreError(f"The store {self.path} {SENTENCES['gone']}.", problem="gone")

    def _follow_file(self) -> None:
        """See that the store's name is still that of the file that is open. One that was replaced
        by another store is opened in its stead; raises StoreError for one that is gone or empty.
        """
        found = identity(self.path)
        if found == self._identity:
            if is_emptied(self.path):
                raise StoreError(f"The store {self.path} {EMPTIED}.", problem="gone")
            return
        if found is None:
            raise StoreError(f"The store {self.path} {SENTENCES['gone']}.", problem="gone")
        try:
            refuse_foreign(self.path)
            is_ours = revision_of(self.path) == REVISION
        except (StoreError, sqlite3.Error):
            is_ours = False
        if not is_ours:
            raise StoreError(f"The store {self.path} {SENTENCES['gone']}.", problem="gone")
        with self._lock:
            self._identity = found
            self._open_anew()

    def _follow_log(self) -> None:
        """Where somebody removed the log of what was written while it is open, fold it into the
        file through a connection that still has it: what was stored is not lost.
        """
        if self._log_identity is None or identity(self._log) == self._log_identity:
            return
        log.error("%s was removed while npvirt runs; what it held is kept.", self._log)
        with self._lock:
            with self._writer.connect() as connection:
                plain(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._open_anew()

    def _open_anew(self) -> None:
        self._log_identity = None
        self._generation += 1
        self._writer.dispose()
        self._readers.open_anew()
        self._close_version()

    def version(self) -> int:
        """A number that changes with every commit of anybody, other processes included. Where it
        cannot be read it stays as it was: what was drawn before is as good as anything then.
        """
        try:
            with translated(self.path), self._lock:
                self._version = self._read_version()
        except StoreError as error:
            self.troubles.failed(error, reading=True)
            if self._version is None:
                raise
        return self._version

    def _read_version(self) -> int:
        if self._version is not None and is_emptied(self.path):
            raise StoreError(f"The store {self.path} {EMPTIED}.", problem="gone")
        if self._version_connection is None:
            self._version_connection = self._connect()
        row = self._version_connection.execute("PRAGMA data_version").fetchone()
        return self._generation << 40 | int(row[0])

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
        with translated(target):
            copy_file(self.path, target)

    def close(self) -> None:
        """Close every connection."""
        if self.audit_listener is not None:
            self.audit_listener.close()
        self._writer.dispose()
        self._readers.close()
        with self._lock:
            self._close_version()

    def _close_version(self) -> None:
        if self._version_connection is not None:
            self._version_connection.close()
            self._version_connection = None
