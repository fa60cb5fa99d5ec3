"""Days of a fleet of fifty hosts as fast as they go: memory, files and the log stay as they are.

The fault is time itself: every tick of a minute is one, with all that has to be put together and
deleted meanwhile. What is held is told by the process that does it (tests/faults/soaking).
"""

import subprocess
import sys
import tempfile
from statistics import linear_regression

from tests.faults.proof import Proof, Tally
from tests.faults.soaking import HOSTS
from tests.lab.host import die_with_parent

SLOPE_BYTES = 1_000_000
PER_TICKS = 10_000
WAL_BYTES = 64 << 20
# Until then there is more each day of what is kept for some days.
_SETTLED = 3_000
# What the allocator may keep or give back, whatever is held.
_NOISE_BYTES = 1_500_000


def _prove(tally: Tally) -> None:
    ticks = tally.of(600, 5_000, 86_400)
    with tempfile.TemporaryDirectory(prefix="npvirt-soak-") as directory:
        command = [sys.executable, "-m", "tests.faults.soaking", directory, str(ticks)]
        with subprocess.Popen(
            [*command, tally.plant], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
        ) as process:
            assert process.stdout is not None
            rows = [line.split() for line in process.stdout]
        tally.check(process.returncode == 0 and rows, "the soak ended before its end")
    scans, sound = int(rows[-1][1]), " ".join(rows[-1][2:])
    held = [tuple(map(int, row)) for row in rows[:-1]]
    tally.attempts = held[-1][0]
    tally.injected["tick"] += held[-1][0]
    tally.check(held[-1][0] == ticks, f"only {held[-1][0]} ticks were told of")
    tally.check(scans == ticks * HOSTS, f"{scans} of {ticks * HOSTS} scans are stored")
    tally.check(sound == "sound", sound)
    for _, _, files, wal, _ in held:
        tally.check(wal <= WAL_BYTES, f"the log has {wal >> 20} MiB")
        tally.check(files == held[0][2], f"{files} files are open, {held[0][2]} at first")
    _check_memory(tally, held)
    tally.note(f"log at most {max(row[3] for row in held) / 1e6:.0f} MB")
    tally.note(f"file {held[-1][4] / 1e6:.0f} MB at the end")


def _check_memory(tally: Tally, held: list[tuple[int, ...]]) -> None:
    settled = [row for row in held if row[0] >= min(_SETTLED, held[-1][0] // 2)]
    ticks = [float(row[0]) for row in settled]
    slope, _ = linear_regression(ticks, [float(row[1]) for row in settled])
    grown = slope * (ticks[-1] - ticks[0])
    allowed = SLOPE_BYTES * (ticks[-1] - ticks[0]) / PER_TICKS + _NOISE_BYTES
    per = slope * PER_TICKS / 1e6
    tally.note(f"memory {settled[-1][1] / 1e6:.0f} MB, {per:+.2f} MB per {PER_TICKS:,} ticks")
    tally.check(grown <= allowed, f"memory grows by {per:.1f} MB per {PER_TICKS:,} ticks")


PROOF = Proof(
    "soak",
    "days of a fleet of fifty hosts leave memory, open files and the write-ahead log as they were",
    _prove,
    {
        "leak": "every scan is kept in memory",
        "files": "a file is opened at every tick and not closed",
        "log": "a reader never ends, so that the log cannot be folded",
    },
)
