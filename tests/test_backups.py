"""Backups that npvirt makes by itself: once a day, looked at whole, the oldest removed last."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, time
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.cli import main
from app.clock import DAY_MS, HOUR_MS
from app.collect.backups import Backups
from app.collect.upkeep import Upkeep
from app.errors import StoreError
from app.settings import load
from app.store import sums
from app.store.backups import (
    BackupMaker,
    advice,
    damage_of,
    is_due,
    list_backups,
    newest_good,
    planned_ms,
)
from app.store.compaction import Compactor
from app.store.engine import Store
from app.store.looked_after import last_time
from app.store.slices import Sliced
from app.store.verify import verify
from tests.faults.overwrites import fill
from tests.faults.store import Injected, no_larger_files_here
from tests.made_once import open_store
from tests.web_support import make_web

BERLIN = ZoneInfo("Europe/Berlin")
AT = time(2, 30)
NOW_MS = 1_780_000_000_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something in it, not to be changed."""
    path = tmp_path_factory.mktemp("backups") / "npvirt.sqlite"
    fill(path, days=2)
    return path


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "npvirt.sqlite"
    shutil.copyfile(filled, path)
    opened = open_store(path)
    yield opened
    opened.close()


def make(store: Store, directory: Path, now_ms: int, keep: int = 3) -> None:
    work(BackupMaker(store, directory, keep), now_ms)


def work(sliced: Sliced, now_ms: int = NOW_MS) -> bool:
    while sliced.step(now_ms, 5.0):
        pass
    return True


def is_told(store: Store) -> bool:
    """Whether the pages say that there is no backup."""
    return store.troubles.backup is not None


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def alter(path: Path) -> None:
    """Have a row be another than was written, which SQLite does not see."""
    altered = sqlite3.connect(path)
    altered.create_function(sums.FUNCTION, -1, lambda *_: 7)
    assert altered.execute("UPDATE revision SET body = body || ' ' WHERE id = 3").rowcount == 1
    altered.commit()
    altered.close()


def test_a_backup_is_a_store_of_its_own_and_the_oldest_go(store: Store, tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    for day in range(5):
        make(store, directory, NOW_MS + day * DAY_MS)
    kept = list_backups(directory)
    assert [one.at_ms for one in kept] == [NOW_MS + day * DAY_MS for day in (4, 3, 2)]
    assert names(directory) == sorted(one.path.name for one in kept)
    assert (kept[0].path.stat().st_mode & 0o777) == 0o600
    copy = open_store(kept[0].path)
    assert verify(copy).wrong == []
    copy.close()
    done = last_time(store, "backup")
    assert done is not None
    assert (done.ok, done.value) == (True, kept[0].size_bytes)


def test_what_is_not_npvirts_in_the_directory_is_left_alone(store: Store, tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    directory.mkdir()
    mine = ("npvirt.sqlite", "npvirt-yesterday.sqlite", "notes.txt", "npvirt-20260101.sqlite")
    for name in mine:
        (directory / name).write_text("mine")
    for day in range(3):
        make(store, directory, NOW_MS + day * DAY_MS, keep=1)
    assert {*mine} < {*names(directory)}
    assert len(names(directory)) == len(mine) + 1


def test_a_copy_that_is_not_as_written_is_not_kept_and_no_older_one_goes(
    store: Store, tmp_path: Path
) -> None:
    directory = tmp_path / "kept"
    for day in range(3):
        make(store, directory, NOW_MS + day * DAY_MS, keep=3)
    before = names(directory)
    alter(store.path)
    with pytest.raises(StoreError, match="not kept"):
        make(store, directory, NOW_MS + 3 * DAY_MS, keep=1)
    assert names(directory) == before
    done = last_time(store, "backup")
    assert done is not None
    assert not done.ok
    assert store.troubles.backup is not None


def test_a_copy_that_the_disk_does_not_take_is_removed_and_the_old_ones_are_kept(
    store: Store, tmp_path: Path
) -> None:
    directory, injected = tmp_path / "kept", Injected()
    make(store, directory, NOW_MS)
    before = names(directory)
    with no_larger_files_here(64 << 10, injected), pytest.raises(StoreError):
        make(store, directory, NOW_MS + DAY_MS, keep=1)
    assert injected.count == 1
    assert names(directory) == before
    assert is_told(store)
    make(store, directory, NOW_MS + DAY_MS, keep=1)
    assert not is_told(store)
    assert len(names(directory)) == 1


def test_what_an_ended_process_left_half_made_is_removed(store: Store, tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    making = BackupMaker(store, directory, 3)
    assert making.step(NOW_MS, 0.0)
    (left,) = [name for name in names(directory) if name.startswith(".npvirt-making-")]
    # What has ended cleans up no more, and had another number.
    ended = directory / ".npvirt-making-1.sqlite"
    (directory / left).rename(ended)
    make(store, directory, NOW_MS + 1000)
    assert len(names(directory)) == 1
    assert not ended.exists()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata",
                                  "Australia/Lord_Howe", "America/Sao_Paulo", "UTC"])  # fmt: skip
def test_there_is_one_a_day_whatever_the_clocks_do(zone: str) -> None:
    """A year by the quarter of an hour: as many planned times as days, each some 24 hours on."""
    planned = set()
    start = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    for step in range(365 * 96):
        now_ms = start + step * HOUR_MS // 4
        last = planned_ms(AT, ZoneInfo(zone), now_ms)
        assert now_ms - 26 * HOUR_MS < last <= now_ms
        planned.add(last)
    ordered = sorted(planned)
    assert len(ordered) in (365, 366)
    assert all(22 * HOUR_MS < b - a < 26 * HOUR_MS for a, b in pairwise(ordered))
    days = [datetime.fromtimestamp(one / 1000, ZoneInfo(zone)).date() for one in ordered]
    assert len(set(days)) == len(days)


def test_the_next_is_the_first_after_now() -> None:
    now_ms = round(datetime(2026, 5, 1, 12, tzinfo=BERLIN).timestamp() * 1000)
    then = datetime(2026, 5, 2, 2, 30, tzinfo=BERLIN)
    assert planned_ms(AT, BERLIN, now_ms, following=True) == round(then.timestamp() * 1000)


def test_it_is_due_once_and_caught_up_after_a_stop(store: Store, tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    due_ms = planned_ms(AT, BERLIN, NOW_MS)
    assert is_due(directory, AT, BERLIN, due_ms)
    make(store, directory, due_ms + 5_000)
    assert not is_due(directory, AT, BERLIN, due_ms + 10_000)
    assert not is_due(directory, AT, BERLIN, due_ms + 23 * HOUR_MS)
    assert is_due(directory, AT, BERLIN, due_ms + DAY_MS)
    assert is_due(directory, AT, BERLIN, due_ms + 40 * DAY_MS)
    # A clock that was far ahead for a while keeps no backup from being made.
    assert is_due(directory, AT, BERLIN, due_ms - 10 * DAY_MS)


def test_the_process_that_collects_makes_it_and_tries_a_failed_one_again_later(
    store: Store, tmp_path: Path
) -> None:
    chosen = {"NPVIRT_DATA": str(tmp_path), "NPVIRT_BACKUP_DIR": str(tmp_path / "kept")}
    backups = Backups(load(chosen), store)
    backups.turn(work)
    assert len(list_backups(tmp_path / "kept")) == 1
    shutil.rmtree(tmp_path / "kept")
    backups.turn(work)
    assert list_backups(tmp_path / "kept") == []
    off = Backups(load({**chosen, "NPVIRT_BACKUP_AT": ""}), store)
    off.turn(work)
    assert list_backups(tmp_path / "kept") == []


@pytest.mark.parametrize("failure", [StoreError("It is full."), ValueError("It is not.")])
def test_it_is_made_and_all_is_looked_at_though_nothing_can_be_put_together(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: Any) -> bool:
        raise failure

    upkeep = Upkeep(load({"NPVIRT_DATA": str(tmp_path)}), store)
    with monkeypatch.context() as patch:
        patch.setattr(Compactor, "step", fail)
        upkeep.turn()
    assert len(list_backups(tmp_path / "backups")) == 1
    assert last_time(store, "verified") is not None
    figures = upkeep.now()
    assert figures.trouble is not None
    # Nothing is deleted of which nothing was put together.
    assert (figures.compacted_ms, figures.retained_ms) == (None, None)
    upkeep.turn()
    assert upkeep.now().trouble is None
    assert upkeep.now().compacted_ms is not None


@pytest.mark.parametrize(
    "where", ["app.collect.upkeep.Compactor.step", "app.collect.backups.is_due"]
)
def test_upkeep_that_is_stuck_in_a_step_is_told(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """As where the disk for backups does not answer any more: nothing else is done then."""
    monkeypatch.setattr("app.collect.upkeep._STUCK_S", 0.0)
    begun, let_go = threading.Event(), threading.Event()

    def hang(*_: Any) -> bool:
        begun.set()
        assert let_go.wait(60)
        return False

    monkeypatch.setattr("app.collect.backups.is_due", lambda *_: False)
    monkeypatch.setattr(where, hang)
    upkeep = Upkeep(load({"NPVIRT_DATA": str(tmp_path)}), store)
    turning = threading.Thread(target=upkeep.turn)
    turning.start()
    try:
        assert begun.wait(60)
        assert "at one step" in (upkeep.now().trouble or "")
    finally:
        let_go.set()
        turning.join()
    assert upkeep.now().trouble is None


def test_a_damaged_store_stops_the_start_and_the_newest_good_backup_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """And the command that is named puts it in place and keeps every damaged byte."""
    directory = tmp_path / "backups"
    for day in range(3):
        make(store, directory, NOW_MS + day * DAY_MS)
    store.close()
    newest, second, _ = list_backups(directory)
    newest.path.write_bytes(newest.path.read_bytes()[:100_000])
    spoilt = bytearray(store.path.read_bytes())
    spoilt[4096 : 4096 + 4096 * 20] = b"\xff" * 4096 * 20
    spoilt[100:4096] = b"\xee" * 3996
    store.path.write_bytes(spoilt)
    settings = load({"NPVIRT_DATA": str(tmp_path)})
    good = newest_good(directory)
    assert good is not None
    assert good.path == second.path
    monkeypatch.setenv("NPVIRT_DATA", str(tmp_path))
    assert _run("doctor") == 1
    said = capsys.readouterr().err
    assert f"npvirt restore {second.path}" in said
    assert f"npvirt restore {second.path}" in advice(settings)
    assert _run("restore", "--yes", str(second.path)) == 0
    (aside,) = tmp_path.glob("npvirt.sqlite.damaged-*")
    assert aside.read_bytes() == bytes(spoilt)
    again = open_store(store.path)
    assert verify(again).wrong == []
    again.close()


def test_a_backup_in_which_sqlite_alone_finds_nothing_wrong_is_no_good_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """What was good when it was made may have been spoilt by its disk since."""
    monkeypatch.setenv("NPVIRT_DATA", str(tmp_path))
    directory, settings = tmp_path / "backups", load({"NPVIRT_DATA": str(tmp_path)})
    for day in range(2):
        make(store, directory, NOW_MS + day * DAY_MS)
    newest, older = list_backups(directory)
    alter(newest.path)
    before = names(directory)
    assert damage_of(newest.path) is None
    assert newest_good(directory) == older
    assert f"npvirt restore {older.path}" in advice(settings)
    assert _run("doctor") == 1
    said = capsys.readouterr().out
    assert "FAIL backup: " in said
    assert "revision: the row 3 is not as it was written" in said
    alter(older.path)
    assert newest_good(directory) is None
    assert f"npvirt restore {newest.path}" in advice(settings)
    # There is no better one, so it can be had all the same.
    assert _run("restore", "--yes", str(newest.path)) == 0
    assert "One thing in it is not as written" in capsys.readouterr().err
    assert names(directory) == before


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_the_page_of_the_store_tells_of_the_last_and_the_next(tmp_path: Path) -> None:
    web = make_web(tmp_path / "var", NPVIRT_TIMEZONE="Europe/Berlin")
    page = web.text("/store")
    assert "Backups" in page
    assert "none yet" in page
    from app.clock import now_ms

    make(web.store, tmp_path / "var" / "backups", now_ms())
    page = web.text("/store")
    assert "none yet" not in page
    web.store.troubles.no_backup("There is no room for a backup.")
    assert "The store could not be backed up" in web.text("/")
    web.store.troubles.backed_up()
    assert "could not be backed up" not in web.text("/ui/trouble")
    web.store.close()
