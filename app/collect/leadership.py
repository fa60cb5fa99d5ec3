"""Who collects: one process per store, decided by a file lock beside the database.

A lock, not a pid file: it ends with its process, however that dies. What the file says of its
holder is for people: who it is, and when it last ticked.
"""

import fcntl
import logging
import os
import socket
import threading
from pathlib import Path

import msgspec
from msgspec import Struct

from app import clock
from app.errors import StoreError
from app.settings import Settings
from app.store.engine import STORE_NAME, store_path

log = logging.getLogger(__name__)

# Written in one piece and always as long, so that nobody reads a half.
_BYTES = 512
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def collector_directory(settings: Settings) -> Path:
    """Where the lock of a store's collector and its control socket are: for all processes on that
    store the same, whichever data directories they have. Raises StoreError.
    """
    path = store_path(settings).resolve()
    if path.name == STORE_NAME:
        return path.parent
    # There may be others beside it.
    directory = path.with_name(f"{path.name}.collector")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The directory {directory} cannot be made: {error.strerror}.") from None
    return directory


class Holder(Struct, frozen=True):
    """The process that collects. `ticked_s` is the monotonic clock at its last tick, since the
    machine `boot` was started; times in milliseconds are labels.
    """

    pid: int
    machine: str
    boot: str
    since_ms: int
    ticked_ms: int
    ticked_s: float

    def age_s(self) -> float:
        """Seconds since its last tick; by the wall clock if that was before the machine's start."""
        if self.boot == _boot():
            return max(0.0, clock.monotonic_s() - self.ticked_s)
        return max(0.0, (clock.now_ms() - self.ticked_ms) / 1000)


class Leadership:
    """The lock of the collector in a directory. Threads may share it: a tick may be under way when
    the lock is given back.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "collector.lock"
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._is_over = False
        self._since_ms = 0

    @property
    def held(self) -> bool:
        """Whether this process holds the lock."""
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Take the lock if it is free; True when this process holds it afterwards. Once it was
        given back it is not taken again. Where somebody removed the file it is made anew: who
        locks that first holds the lock, and nobody else any more. Raises OSError when the file
        cannot be opened.
        """
        with self._lock:
            if self._is_over or self._has_the_file():
                return not self._is_over
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                self._let_go()
                return False
            except OSError:
                os.close(descriptor)
                raise
            if self._descriptor is None:
                self._since_ms = clock.now_ms()
            self._let_go()
            self._descriptor = descriptor
            self._tell()
            return True

    def _has_the_file(self) -> bool:
        """Whether the file that this process has locked is still the one of that name."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def tick(self) -> None:
        """Have the file say that its holder ticked just now; that it cannot does no harm."""
        with self._lock:
            self._tell()

    def _tell(self) -> None:
        if self._descriptor is None:
            return
        now_ms, now_s = clock.both()
        holder = Holder(os.getpid(), socket.gethostname(), _boot(), self._since_ms, now_ms, now_s)
        try:
            os.pwrite(self._descriptor, msgspec.json.encode(holder).ljust(_BYTES), 0)
        except OSError as error:
            log.debug("%s does not say who collects: %s", self._path, error)

    def holder(self) -> Holder | None:
        """Who collects as the file says, this process included; None when it says nothing."""
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(_BYTES), type=Holder)
        except (OSError, msgspec.DecodeError):
            return None

    def release(self) -> None:
        """Give the lock back for good, if held."""
        with self._lock:
            self._is_over = True
            self._let_go()


def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
