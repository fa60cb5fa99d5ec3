"""One action at a time on one object, over all processes of a data directory.

Byte-range locks of open file descriptions on one file: each object has its byte. The kernel
frees them when their holder ends, however it ends, so a lock never outlives its action. Which
objects share a byte is chance of one in 2^62, and costs a refusal.
"""

import fcntl
import hashlib
import os
import struct
from pathlib import Path

from app.errors import StoreError

_FILE = "actions.lock"


class ObjectLock:
    """A lock that is held until `release` (or the end of the process)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others act on the object; once more does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def lock_object(data: Path, object_key: str) -> ObjectLock | None:
    """Take the lock of an object; None when an action on it is in flight. Raises StoreError where
    the file of the locks cannot be had.
    """
    try:
        descriptor = os.open(data / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"{data / _FILE} cannot be opened: {error.strerror}. Nothing was done."
        ) from None
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _range(object_key))
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    return ObjectLock(descriptor)


def _range(object_key: str) -> bytes:
    digest = hashlib.blake2b(object_key.encode(), digest_size=8).digest()
    position = int.from_bytes(digest, "big") >> 2
    # struct flock: type, whence, start, length, pid (0 for such locks).
    return struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, position, 1, 0)
