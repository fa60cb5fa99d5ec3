"""This process: what it takes of the machine, as Linux tells it. Reads /proc and nothing else."""

import os
import threading
from pathlib import Path

from msgspec import Struct

from app import clock

_SELF = Path("/proc/self")
_started_s = clock.monotonic_s()


class ProcessFigures(Struct, frozen=True):
    """What this process takes; None where the system does not tell. `pss_bytes` counts memory that
    it shares with others by its share of it.
    """

    pid: int
    up_s: float
    cpu_s: float
    pss_bytes: int | None
    rss_bytes: int | None
    threads: int
    open_files: int | None


def process_figures() -> ProcessFigures:
    """The figures as they are now; takes about a millisecond."""
    times = os.times()
    memory = _memory(_SELF / "smaps_rollup")
    rss = memory.get("Rss", _memory(_SELF / "status").get("VmRSS"))
    return ProcessFigures(
        os.getpid(),
        clock.monotonic_s() - _started_s,
        times.user + times.system,
        memory.get("Pss"),
        rss,
        threading.active_count(),
        _open_files(),
    )


def _memory(path: Path) -> dict[str, int]:
    """Lines such as `Pss:   1234 kB`, in bytes."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, text = line.partition(":")
        words = text.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdecimal():
            found[name] = int(words[0]) * 1024
    return found


def _open_files() -> int | None:
    try:
        return sum(1 for _ in (_SELF / "fd").iterdir())
    except OSError:
        return None
