"""The files of the store: how large they are. Reads their sizes, and nothing of what they hold."""

import os
from pathlib import Path

from msgspec import Struct

from app.store.engine import Store


class StoreFiles(Struct, frozen=True):
    """Sizes in bytes; None where the file system does not tell. `wal_bytes` is what was written
    and is not in the file itself yet; `disk_free_bytes` what is left where they lie.
    """

    file_bytes: int | None
    wal_bytes: int | None
    disk_free_bytes: int | None


def store_files(store: Store) -> StoreFiles:
    """The sizes as they are now."""
    try:
        disk = os.statvfs(store.path.parent)
        free: int | None = disk.f_bavail * disk.f_frsize
    except OSError:
        free = None
    return StoreFiles(
        _size(store.path), _size(store.path.with_name(f"{store.path.name}-wal"), absent=0), free
    )


def _size(path: Path, absent: int | None = None) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return absent
    except OSError:
        return None
