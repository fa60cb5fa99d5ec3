"""Faults of the store's file and disk, put in from outside of the process that uses it.

Everything here is real: a disk that is full, a system call that fails, a lock that somebody holds,
bytes that are others. Each counts what it did; a test that put in nothing has shown nothing.
"""

import os
import random
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Injected:
    """How many faults were put in, and what they were."""

    count: int = 0
    what: list[str] = field(default_factory=list)

    def add(self, what: str, count: int = 1) -> None:
        """Count some."""
        self.count += count
        self.what.append(what)


# --- disks -------------------------------------------------------------------------------------

_OWN_DISK = """
set -e
disk=$1 size=$2 data=$3; shift 3
mkdir -p "$disk"
mount -t tmpfs -o "size=$size,mode=700" tmpfs "$disk"
cp -a "$data/." "$disk/"
mount --bind "$disk" "$data"
exec "$@"
"""
_READ_ONLY = """
set -e
data=$1; shift
mount --bind "$data" "$data"
mount -o remount,bind,ro "$data"
exec "$@"
"""


def on_own_disk(data: Path, size: str) -> Sequence[str]:
    """What to put before a command that shall find `data` on a small disk of its own."""
    disk = data.with_name(f"{data.name}-disk")
    return ("unshare", "-m", "sh", "-c", _OWN_DISK, "sh", str(disk), size, str(data))


def read_only(data: Path) -> Sequence[str]:
    """What to put before a command that shall find `data` on a read-only mount."""
    return ("unshare", "-m", "sh", "-c", _READ_ONLY, "sh", str(data))


def seen_by(process: int, path: Path) -> Path:
    """A path as a process with mounts of its own sees it."""
    return Path(f"/proc/{process}/root{path}")


@contextmanager
def full(directory: Path, injected: Injected) -> Iterator[None]:
    """Have the disk of `directory` be full."""
    filler = directory / "filler"
    written = 0
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 16, 4096, 1):
                try:
                    while True:
                        written += file.write(b"x" * size)
                except OSError:
                    continue
        injected.add(f"{written} bytes fill the disk")
        yield
    finally:
        filler.unlink()


_USE_UP = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint = 0")
for _ in range(100_000):
    try:
        connection.execute("UPDATE alembic_version SET version_num = version_num")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        break
else:
    sys.exit("the store's log always had room")
"""


def use_up_log(path: Path, before: Sequence[str] = ()) -> None:
    """On a full disk write what changes nothing into the store at `path` until nothing more can
    be. SQLite begins its log anew in the same file every thousand pages: until that is as long as
    it was, whatever is written finds room, and the fault strikes nobody.
    """
    subprocess.run([*before, sys.executable, "-c", _USE_UP, str(path)], check=True)


# --- system calls ------------------------------------------------------------------------------

WRITES = "pwrite64,write,ftruncate,fallocate,fsync,fdatasync"


@contextmanager
def failing_calls(
    process: int, paths: Sequence[Path], error: str, injected: Injected, calls: str = WRITES
) -> Iterator[None]:
    """Have system calls of a process (and its threads) on some files fail with `error`."""
    of = [text for path in paths for text in ("-P", str(path))]
    told = Path(f"/tmp/strace-{process}-{time.monotonic_ns()}")
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", str(told), *of, "-e", f"trace={calls}",
         "-e", f"inject={calls}:error={error}", "-p", str(process)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _attached(process, tracer)
        yield
    finally:
        tracer.terminate()
        tracer.wait(60)
        words = told.read_text(errors="replace") if told.exists() else ""
        told.unlink(missing_ok=True)
        injected.add(f"calls failed with {error}", words.count("(INJECTED)"))


def _attached(process: int, tracer: "subprocess.Popen[bytes]") -> None:
    for _ in range(3_000):
        status = Path(f"/proc/{process}/status").read_text()
        if f"TracerPid:\t{tracer.pid}" in status:
            return
        assert tracer.poll() is None, "strace ended"
        time.sleep(0.02)
    raise AssertionError("strace did not attach")


@contextmanager
def no_larger_files(process: int, size: int, injected: Injected) -> Iterator[None]:
    """Have no file that a process writes grow beyond `size` bytes."""
    subprocess.run(["prlimit", "--pid", str(process), f"--fsize={size}:"], check=True)
    injected.add(f"files may have {size} bytes")
    try:
        yield
    finally:
        subprocess.run(["prlimit", "--pid", str(process), "--fsize=unlimited:"], check=True)


def worker_of(process: int) -> int:
    """The one child of a running `npvirt serve`: the process that serves and scans."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    (worker,) = children
    return int(worker)


# --- locks -------------------------------------------------------------------------------------

_HOLD = (
    "import sqlite3, sys\n"
    "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    "connection.execute('BEGIN IMMEDIATE')\n"
    "print('held', flush=True)\n"
    "sys.stdin.read()\n"
)


def inside(process: int) -> Sequence[str]:
    """What to put before a command that shall see the mounts of a process. (SQLite takes links
    for what they name, so that it cannot be led in by `seen_by`.)
    """
    return ("nsenter", "-t", str(process), "-m")


@contextmanager
def locked(path: Path, injected: Injected, before: Sequence[str] = ()) -> Iterator[None]:
    """Have another process hold the store's lock."""
    with subprocess.Popen(
        [*before, sys.executable, "-c", _HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        try:
            assert holder.stdout.readline() == b"held\n"
            injected.add("another process holds the lock")
            yield
        finally:
            holder.stdin.close()
            holder.wait()


# --- bytes -------------------------------------------------------------------------------------


def fold(path: Path) -> None:
    """Have all of the store in its file, and nothing in the log beside it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def page_size(path: Path) -> int:
    """The size of the file's pages in bytes."""
    size = int.from_bytes(path.read_bytes()[16:18], "big")
    return 65_536 if size == 1 else size


def overwrite(path: Path, offset: int, body: bytes, injected: Injected) -> bytes:
    """Put other bytes into a file, in place; those that were there."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        before = os.pread(descriptor, len(body), offset)
        assert before != body
        os.pwrite(descriptor, body, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    injected.add(f"{len(body)} bytes at {offset}")
    return before


def random_overwrites(
    path: Path, count: int, seed: int, length: int = 64
) -> Iterator[tuple[int, bytes]]:
    """Places in the file, each with bytes to put there; the same for the same seed."""
    chance = random.Random(seed)
    size = path.stat().st_size
    for _ in range(count):
        yield chance.randrange(0, size - length), chance.randbytes(length)


def is_mounted_apart(process: int) -> bool:
    """Whether a process has mounts of its own."""
    own = Path("/proc/self/ns/mnt").readlink()
    return own != Path(f"/proc/{process}/ns/mnt").readlink()


@contextmanager
def no_larger_files_here(size: int, injected: Injected) -> Iterator[None]:
    """Have no file that this very process writes grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    injected.add(f"files may have {size} bytes")
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
