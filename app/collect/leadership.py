"""Who collects: one process per store, decided by a file lock beside the database.

A lock, not a pid file: it ends with its process, however that dies.
"""

import fcntl
import os
from pathlib import Path


class Leadership:
    """The collector's lock of one data directory; not thread-safe, used by one thread."""

    def __init__(self, data: Path) -> None:
        self._path = data / "collector.lock"
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds the lock."""
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Take the lock if it is free; True when this process holds it afterwards."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back, if held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
