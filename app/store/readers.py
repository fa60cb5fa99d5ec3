"""The connections that read the store: as many as there is need of, some of them open all the time.

Owns that whoever reads finds one also where no more can be opened, since the file is gone or
another has its name. What is read is not known here.
"""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import clock
from app.errors import StoreError
from app.store.sqlite import READERS, engine_of, plain

# For a reader that is free whoever cannot open one waits so long, and looks so often.
_PATIENCE_S = 5.0
_POLL_S = 0.01


class Readers:
    """What `opened` opens, as connections that cannot write; threads may share it."""

    def __init__(self, opened: Callable[[], sqlite3.Connection]) -> None:
        self._engine = engine_of(opened, query_only=True)
        self._kept = False
        self._pause = threading.Event()

    def keep(self) -> None:
        """Have some open from now on, whether somebody reads or not. Raises what SQLAlchemy,
        SQLite and the store do.
        """
        self._kept = True
        with ExitStack() as stack:
            for _ in range(READERS):
                connection = stack.enter_context(self._engine.connect())
                # Only who has read has the log of what was written open as well.
                plain(connection).execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()

    def connected(self) -> sa.Connection:
        """One that is free, or a new one; where none can be opened, the next that is free. Raises
        what SQLAlchemy, the store and the file system do.
        """
        end_s = clock.monotonic_s() + _PATIENCE_S
        while True:
            try:
                return self._engine.connect()
            except (DBAPIError, StoreError, OSError):
                if not self._kept or clock.monotonic_s() > end_s:
                    raise
            self._pause.wait(_POLL_S)

    def open_anew(self) -> None:
        """Close what is open, since another file is the store's now."""
        self._engine.dispose()
        if self._kept:
            self.keep()

    def close(self) -> None:
        """Close every one."""
        self._engine.dispose()
