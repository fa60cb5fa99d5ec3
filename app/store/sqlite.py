"""How connections to the store's file are made: by SQLAlchemy, and plain ones.

All that is particular to SQLite's connections is here. None of them makes a file: what is not
there is an error, so that a store that vanished is never begun anew in silence.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import cast
from urllib.parse import quote

import sqlalchemy as sa

from app.store.sums import teach

# So many that read stay open; more are opened while there is need of them.
READERS = 4
_PATIENCE_MS = 5000


def engine_of(opened: Callable[[], sqlite3.Connection], *, query_only: bool) -> sa.Engine:
    """What `opened` opens as connections: many readers that cannot write, or one writer that takes
    the lock as it begins.
    """
    engine = sa.create_engine(
        "sqlite://",
        creator=opened,
        poolclass=sa.pool.QueuePool,
        pool_size=READERS if query_only else 1,
        max_overflow=32 if query_only else 0,
        pool_timeout=30,
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
        plain(connection).execute("BEGIN" if query_only else "BEGIN IMMEDIATE")

    return engine


def connect(
    path: Path, *, check_same_thread: bool = True, at_rest: bool = False
) -> sqlite3.Connection:
    """A plain connection to a file that is there; raises sqlite3.Error. `at_rest`: nobody writes
    the file, and not a byte of it is changed here; its disk may be read-only where there is no log
    beside it.
    """
    mode = "mode=rw"
    if at_rest:
        mode = "mode=ro" if _has_log(path) else "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{mode}",
        uri=True,
        timeout=_PATIENCE_MS / 1000,
        check_same_thread=check_same_thread,
    )
    teach(connection)
    return connection


def _has_log(path: Path) -> bool:
    """Whether something was written that is not in the file itself yet."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def set_writing(connection: sa.Connection, *, durable: bool, patient: bool) -> None:
    """How carefully the next transaction is written, and whether it waits for others who write;
    cannot change inside of one.
    """
    ours = plain(connection)
    ours.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    ours.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS if patient else 0}")


def plain(connection: sa.Connection) -> sqlite3.Connection:
    """The connection underneath, in the same transaction: for what every request or scan says,
    where SQLAlchemy's own work takes longer than SQLite's. It raises sqlite3.Error.
    """
    return cast(sqlite3.Connection, connection.connection.dbapi_connection)
