"""Days of a fleet of fifty hosts as fast as they go: memory, files and the log stay as they are.

The fault is time itself: every tick of a minute is one, with all that has to be put together and
deleted meanwhile. What is held is told by the process that does it (tests/faults/soaking), byte by
byte (tests/faults/weighing); SQLite's caches of pages, which fill up to their bounds, are apart.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from statistics import linear_regression

from msgspec import json

from tests.faults.proof import Proof, Tally
from tests.faults.soaking import HOSTS, Held
from tests.faults.weighing import ENVIRON
from tests.lab.host import die_with_parent

SLOPE_BYTES = 1_000_000
PER_TICKS = 10_000
WAL_BYTES = 64 << 20
SQLITE_BYTES = 16 << 20
# Until then there is more each day of what is kept for some days.
_SETTLED = 3_000
# What a moment may hold by chance, or what is met for the first time after that.
_CHANCE_BYTES = 300_000
# What the allocator may keep beside it, in pieces.
_PIECES_BYTES = 1_500_000


def _prove(tally: Tally) -> None:
    ticks = tally.of(600, 5_000, 86_400)
    with tempfile.TemporaryDirectory(prefix="npvirt-soak-") as directory:
        told = [directory, str(ticks), str(tally.left_s()), tally.plant]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.faults.soaking", *told],
            env={**os.environ, **ENVIRON}, stdout=subprocess.PIPE, preexec_fn=die_with_parent,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            lines = list(process.stdout)
        tally.check(process.returncode == 0 and lines, "the soak ended before its end")
    held = [json.decode(line, type=Held) for line in lines[:-1]]
    scans, sound = lines[-1].decode().split(maxsplit=1)
    tally.attempts = held[-1].ticks
    tally.injected["tick"] += held[-1].ticks
    whole = held[-1].ticks == ticks or tally.left_s() <= 0
    tally.check(whole, f"only {held[-1].ticks} ticks were told of")
    expected = held[-1].ticks * HOSTS
    tally.check(int(scans) == expected, f"{scans} of {expected} scans are stored")
    tally.check(sound.strip() == "sound", sound)
    for one in held:
        tally.check(one.log_bytes <= WAL_BYTES, f"the log has {one.log_bytes >> 20} MiB")
        files = f"{one.files} files are open, {held[0].files} at first"
        tally.check(one.files == held[0].files, files)
        sqlite_bytes = one.weight.sqlite_bytes
        tally.check(sqlite_bytes <= SQLITE_BYTES, f"SQLite holds {sqlite_bytes / 1e6:.1f} MB")
    settled = [one for one in held if one.ticks >= min(_SETTLED, held[-1].ticks // 2)]
    _check_slope(
        tally, settled, "memory", lambda one: one.weight.held_bytes - one.weight.sqlite_bytes,
        _CHANCE_BYTES,
    )  # fmt: skip
    _check_slope(
        tally, settled, "the process", lambda one: one.weight.resident_bytes, _PIECES_BYTES
    )
    tally.note(f"SQLite at most {max(one.weight.sqlite_bytes for one in held) / 1e6:.1f} MB")
    tally.note(f"log at most {max(one.log_bytes for one in held) / 1e6:.0f} MB")
    tally.note(f"file {held[-1].file_bytes / 1e6:.0f} MB at the end")


def _check_slope(
    tally: Tally, held: Sequence[Held], what: str, of: Callable[[Held], int], chance_bytes: int
) -> None:
    ticks = [float(one.ticks) for one in held]
    slope, _ = linear_regression(ticks, [float(of(one)) for one in held])
    span = ticks[-1] - ticks[0]
    per = f"{slope * PER_TICKS / 1e6:+.2f} MB per {PER_TICKS:,} ticks"
    tally.note(f"{what} {of(held[-1]) / 1e6:.1f} MB, {per}")
    allowed_bytes = SLOPE_BYTES * span / PER_TICKS + chance_bytes
    tally.check(slope * span <= allowed_bytes, f"{what} grows by {per}")


PROOF = Proof(
    "soak",
    "days of a fleet of fifty hosts leave memory, open files and the write-ahead log as they were",
    _prove,
    {
        "leak": "every scan is kept in memory",
        "trickle": "a number is kept of every scan",
        "files": "a file is opened at every tick and not closed",
        "log": "a reader never ends, so that the log cannot be folded",
    },
)
