"""The log beside the store's file: cut off, spoilt or removed it costs its end, never the rest."""

import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from app.connection import Connection
from app.store.engine import Store
from app.store.hosts import add_host, list_hosts
from app.store.verify import verify
from tests.faults.store import Injected, overwrite

_WRITE = (
    "import os, sys, pathlib\n"
    "from app.connection import Connection\n"
    "from app.store.engine import Store\nfrom app.store.hosts import add_host\n"
    "store = Store.open(pathlib.Path(sys.argv[1]))\n"
    "for n in range(20):\n    add_host(store, f'kvm-{n:02}', Connection())\n"
    "os._exit(9)\n"
)
ALL = [f"kvm-{n:02}" for n in range(20)]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process that was killed left: a file, and a log with twenty commits."""
    path = tmp_path_factory.mktemp("log") / "npvirt.sqlite"
    killed = subprocess.run([sys.executable, "-c", _WRITE, str(path)], check=False)
    assert killed.returncode == 9
    assert Path(f"{path}-wal").stat().st_size > 0
    return path


def _copied(left: Path, directory: Path) -> tuple[Path, Path]:
    path = directory / left.name
    for ending in ("", "-wal"):
        shutil.copyfile(f"{left}{ending}", f"{path}{ending}")
    return path, Path(f"{path}-wal")


def _sound_hosts(path: Path) -> list[str]:
    store = Store.open(path)
    try:
        assert verify(store).wrong == []
        return sorted(host.slug for host in list_hosts(store))
    finally:
        store.close()


def test_with_its_log_a_killed_process_lost_nothing(left: Path, tmp_path: Path) -> None:
    path, _ = _copied(left, tmp_path)
    assert _sound_hosts(path) == ALL


@pytest.mark.parametrize("seed", range(6))
def test_a_log_that_is_cut_off_or_spoilt_costs_its_end_alone(
    left: Path, tmp_path: Path, seed: int
) -> None:
    path, log = _copied(left, tmp_path)
    chance, injected = random.Random(seed), Injected()
    place = chance.randrange(32, log.stat().st_size - 64)
    if seed % 2:
        with log.open("r+b") as file:
            file.truncate(place)
        injected.add("the log is shorter")
    else:
        overwrite(log, place, chance.randbytes(64), injected)
    found = _sound_hosts(path)
    assert injected.count == 1
    assert found == ALL[: len(found)]
    assert len(found) < len(ALL)


def test_without_its_log_the_file_is_as_it_was_at_its_last_checkpoint(
    left: Path, tmp_path: Path
) -> None:
    path, log = _copied(left, tmp_path)
    log.unlink()
    found = _sound_hosts(path)
    assert found == ALL[: len(found)]


def test_a_log_that_is_removed_while_npvirt_runs_costs_nothing(tmp_path: Path) -> None:
    """Planted: without the look at the log, what it held was gone at the next start."""
    path, injected = tmp_path / "npvirt.sqlite", Injected()
    store = Store.open(path)
    add_host(store, "kvm-01", Connection())
    add_host(store, "kvm-02", Connection())
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink()
        injected.add(f"the {ending} is gone")
    add_host(store, "kvm-03", Connection())
    assert [host.slug for host in list_hosts(store)] == ["kvm-01", "kvm-02", "kvm-03"]
    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM host").fetchone() == (3,)
    other.close()
    store.close()
    assert injected.count == 2
    assert _sound_hosts(path) == ["kvm-01", "kvm-02", "kvm-03"]


_VISIT = (
    "import sqlite3, sys\n"
    "connection = sqlite3.connect(sys.argv[1])\n"
    "print(connection.execute('SELECT count(*) FROM host').fetchone()[0])\n"
    "connection.close()\n"
)


def test_opening_the_store_again_takes_no_lock_away_from_those_who_use_it(tmp_path: Path) -> None:
    """Planted: a look at the file's beginning that opens and closes it, which ends every lock of
    this process: whoever leaves next takes himself for the last, and removes the log.
    """
    path = tmp_path / "npvirt.sqlite"
    store = Store.open(path)
    add_host(store, "kvm-01", Connection())
    log = Path(f"{path}-wal")
    before = log.stat().st_ino
    Store.open(path).close()
    visit = [sys.executable, "-c", _VISIT, str(path)]
    assert subprocess.run(visit, capture_output=True, text=True, check=True).stdout == "1\n"
    assert log.exists()
    assert log.stat().st_ino == before
    add_host(store, "kvm-02", Connection())
    assert [host.slug for host in list_hosts(store)] == ["kvm-01", "kvm-02"]
    store.close()
