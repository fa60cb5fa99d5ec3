"""What can go wrong with the store's file: SQLite's errors as npvirt's, and the present trouble.

Every error of SQLAlchemy and SQLite leaves the store through `translated`, as a StoreError whose
`problem` says which fault it is. `Troubles` remembers the fault that holds at present, for the
banner, the health page and the metrics; it is this process's own view. Writes nothing.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.exc import DBAPIError

from app import clock
from app.errors import StoreError, StoreProblem

# SQLite's names of errors begin with these.
_PROBLEMS: dict[str, StoreProblem] = {
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_FULL": "full",
    "SQLITE_READONLY": "read-only",
    "SQLITE_IOERR": "io",
    "SQLITE_CORRUPT": "damaged",
    "SQLITE_NOTADB": "damaged",
    "SQLITE_CANTOPEN": "denied",
}
SENTENCES: dict[StoreProblem, str] = {
    "locked": "is locked by another process; nothing was written",
    "full": "cannot grow: the disk is full",
    "read-only": "cannot be written: the file or its disk is read-only",
    "io": "cannot be used: the disk reports an input/output error",
    "damaged": "is damaged; put the newest good backup in its place",
    "denied": "cannot be opened; check that the file and its directory are permitted",
    "gone": "was removed or replaced while npvirt runs; nothing is written until it is back",
}
EMPTIED = "was emptied while npvirt runs; nothing is written until it is back"
# SQLite says these of a file's content, without a code of their own in Python.
_UNREADABLE = ("Could not decode to UTF-8",)


class Trouble(Struct, frozen=True):
    """A fault that holds: which, as a sentence without paths, since when, and whether reads are
    struck by it as well.
    """

    problem: StoreProblem
    sentence: str
    since_ms: int
    reading: bool


class Troubles:
    """The fault that holds at present, as this process met it. Threads may share it.

    A fault of writing is over when something was written; damage is over when a whole look at the
    store found none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writing: Trouble | None = None
        self._damage: Trouble | None = None
        self._backup: Trouble | None = None

    def failed(self, error: StoreError, *, reading: bool) -> None:
        """Take note of an error; what is no fault of the file is not one."""
        problem = error.problem
        if problem == "other" or (reading and problem in ("locked", "read-only")):
            return
        if problem == "damaged":
            self.found_damage("The store is damaged: parts of it cannot be read.")
            return
        sentence = str(error).replace(f" {self._path} ", " ", 1)
        with self._lock:
            before = self._writing
            since_ms = clock.now_ms() if before is None else before.since_ms
            if before is None or before.problem != problem:
                self._writing = Trouble(problem, sentence, since_ms, reading)

    def wrote(self) -> None:
        """Something was written: the file can be."""
        if self._writing is not None:
            with self._lock:
                self._writing = None

    def found_damage(self, sentence: str) -> None:
        """Something in the file is not what was written."""
        with self._lock:
            before = self._damage
            since_ms = clock.now_ms() if before is None else before.since_ms
            if before is None or before.sentence != sentence:
                self._damage = Trouble("damaged", sentence, since_ms, reading=True)

    def found_sound(self) -> None:
        """All of the file was looked at, and is as it was written."""
        with self._lock:
            self._damage = None

    def no_backup(self, sentence: str) -> None:
        """The backup that was due could not be made."""
        with self._lock:
            since_ms = clock.now_ms() if self._backup is None else self._backup.since_ms
            self._backup = Trouble("other", sentence, since_ms, reading=False)

    def backed_up(self) -> None:
        """A backup was made."""
        with self._lock:
            self._backup = None

    @property
    def backup(self) -> Trouble | None:
        """Why there is no backup of the last planned time."""
        return self._backup

    def now(self) -> Trouble | None:
        """What holds: damage before all else."""
        return self._damage or self._writing

    @property
    def damage(self) -> Trouble | None:
        """That the file is not as it was written."""
        return self._damage

    @property
    def writing(self) -> Trouble | None:
        """The fault for which nothing could be written the last time."""
        return self._writing


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise StoreError for whatever SQLite and the file system say of the store at `path`."""
    try:
        yield
    except DBAPIError as error:
        raise _error(path, error.orig) from error
    except sqlite3.Error as error:
        raise _error(path, error) from error
    except sa.exc.TimeoutError as error:
        raise StoreError(
            f"The store {path} is busy; nothing was written.", problem="locked"
        ) from error
    except msgspec.MsgspecError as error:
        # Within a use of the store, rows alone are decoded.
        raise StoreError(
            f"The store {path} is damaged: a row cannot be read ({error}).", problem="damaged"
        ) from error
    except UnicodeDecodeError as error:
        # Of texts in the file, or of what SQLite says of them.
        raise StoreError(f"The store {path} {SENTENCES['damaged']}.", problem="damaged") from error
    except OSError as error:
        raise StoreError(
            f"The store {path} cannot be used: {error.strerror or error}.", problem="io"
        ) from error


def _error(path: Path, error: Any) -> StoreError:
    name: str = getattr(error, "sqlite_errorname", "") or ""
    if str(error).startswith(_UNREADABLE):
        name = "SQLITE_CORRUPT"
    if name.startswith("SQLITE_CANTOPEN") and is_on_read_only_disk(path):
        name = "SQLITE_READONLY"
    if is_emptied(path):
        return StoreError(f"The store {path} {EMPTIED}.", problem="gone")
    for prefix, problem in _PROBLEMS.items():
        if name.startswith(prefix):
            said = "is not a database, or its beginning is damaged"
            sentence = said if name.startswith("SQLITE_NOTADB") else SENTENCES[problem]
            return StoreError(f"The store {path} {sentence}.", problem=problem)
    return StoreError(f"The store {path} failed: {error}.")


def is_emptied(path: Path) -> bool:
    """Whether the store's file holds nothing at all."""
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def is_on_read_only_disk(path: Path) -> bool:
    """Whether the file system that holds the file takes no writes."""
    try:
        return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    except OSError:
        return False
