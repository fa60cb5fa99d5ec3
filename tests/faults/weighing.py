"""How much memory a process holds: what is allocated, told by the allocator, and what that keeps.

The size of a process tells little of that: the allocator keeps what was given back, in pieces, and
more of it after each of the first peaks. glibc knows every byte that C code and large objects hold,
Python the number of its small objects. Where Python takes those from glibc, too (ENVIRON), that
knows every byte.
"""

import _sqlite3
import ctypes
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, json

# For the process that is to be weighed. What a thread was given and gave back it keeps for itself,
# some pieces of each size, and glibc counts them as held: with hundreds of threads megabytes, which
# take hours to gather.
NOTHING_KEPT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
# The same, where every small object is to be weighed as well.
ENVIRON = {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "2"}
_POLL_S = 0.1


class Weight(Struct, frozen=True):
    """Bytes that are allocated from glibc, those of them that SQLite has (its caches of pages, most
    of all), pieces of memory that Python manages itself (none with ENVIRON), and the size of the
    process once all else was given back.
    """

    held_bytes: int
    sqlite_bytes: int
    python_blocks: int
    resident_bytes: int


class _Mallinfo(ctypes.Structure):
    """What glibc's mallinfo2() returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
            "fordblks", "keepcost",
        )
    ]  # fmt: skip


_libc = ctypes.CDLL(None)
_libc.mallinfo2.restype = _Mallinfo
# The library that Python's module brought along.
_sqlite = ctypes.CDLL(_sqlite3.__file__)
_sqlite.sqlite3_memory_used.restype = ctypes.c_int64


def weigh() -> Weight:
    """Weigh this process, its garbage collected first."""
    gc.collect()
    found = _libc.mallinfo2()
    _libc.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Weight(
        found.uordblks + found.hblkhd,
        _sqlite.sqlite3_memory_used(),
        sys.getallocatedblocks(),
        pages * os.sysconf("SC_PAGE_SIZE"),
    )


class Scales:
    """Weighs another process, over two files that it and `answer` know."""

    def __init__(self, place: Path) -> None:
        self._asked, self._told = place.with_suffix(".asked"), place.with_suffix(".told")

    def weigh(self, seconds: float = 60.0) -> Weight:
        """Ask it, and wait for what it says; raises TimeoutError."""
        self._told.unlink(missing_ok=True)
        self._asked.touch()
        end_s = time.monotonic() + seconds
        while not self._told.exists():
            if time.monotonic() > end_s:
                raise TimeoutError("the process does not say what it holds")
            time.sleep(_POLL_S / 4)
        return json.decode(self._told.read_bytes(), type=Weight)

    def answer(self) -> None:
        """Say what this process holds whenever that is asked, in a thread of its own."""
        threading.Thread(target=self._answer, name="scales", daemon=True).start()

    def _answer(self) -> None:
        building = self._told.with_suffix(".building")
        while True:
            if self._asked.exists():
                self._asked.unlink()
                building.write_bytes(json.encode(weigh()))
                building.rename(self._told)
            time.sleep(_POLL_S)


def answering(place: str, start: Callable[..., None]) -> Callable[..., None]:
    """`start`, and then an answer to whoever asks at `place`."""

    def started(*args: object) -> None:
        start(*args)
        Scales(Path(place)).answer()

    return started
