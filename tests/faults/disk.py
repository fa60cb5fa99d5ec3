"""The store's faults, put in and healed again and again: what is put in, and what must be seen
then, is said by tests/test_store_faults.py, which tries each of them once.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from tests import test_store_faults as said
from tests.faults import store
from tests.faults.proof import Proof, Tally
from tests.lab.host import lab_unavailable
from tests.panel import NPVIRT, panel

# What that test asserts, each page apart.
_CHECKS = 11


def _prove(tally: Tally) -> None:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npvirt-disk-")))
        data = root / "var"
        with _planted(tally.plant):
            running = stack.enter_context(
                panel(
                    data, prepare=_add_host, before=store.on_own_disk(data, "64m"),
                    NPVIRT_SCAN_SECONDS="1",
                )
            )  # fmt: skip
        running.until(lambda: running.items("domains"))
        faulty = said.Faulty(running, data)
        for _ in range(tally.of(1, 3, 50)):
            for fault in ("full",) if tally.length == "brief" else said.FAULTS:
                faulty.injected = store.Injected()
                try:
                    running.until(lambda: not faulty.banner, said.WAIT_S)
                    _TRY(faulty, fault)
                except AssertionError as broken:
                    tally.check(False, f"{fault}: {broken}")
                tally.attempts += 1
                tally.checks += _CHECKS + len(said.PAGES)
                tally.injected[fault] += faulty.injected.count


_TRY = said.test_under_a_fault_reads_go_on_and_nothing_is_done_and_afterwards_all_is_well


def _add_host(environ: Mapping[str, str]) -> None:
    add = [*NPVIRT, "host", "add", said.HOST, "--driver", "test"]
    subprocess.run(add, env=environ, check=True, capture_output=True)


@contextmanager
def _planted(plant: str) -> Iterator[None]:
    """Npvirt is started with a fault of its own."""
    if not plant:
        yield
        return
    program = (NPVIRT[0], "-m", "tests.faults.planted", plant)
    with mock.patch("tests.panel.NPVIRT", program):
        yield


PROOF = Proof(
    "disk",
    "under every fault of the store reads go on, a banner says what it is, what is dropped is "
    "counted, nothing is done without audit, and all is well again by itself",
    _prove,
    {
        "silent": "no fault of the store is noticed",
        "unaudited": "an action goes on when its intent cannot be written",
    },
    (),
    lab_unavailable,
    "test_store_faults.py",
)
