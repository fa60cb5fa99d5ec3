"""Faults of the store beside those that come and go again and again (tests/faults/disk.py): nothing
is left to be read, the store goes away between an action and its audit, the start finds no store.

Every fault is really put in (tests/faults/store.py), counted, and taken away again.
"""

import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.access import COMMAND_LINE
from app.actions.plan import Ask
from app.actions.registry import ACTIONS, Action
from app.collect.scanner import Scanner
from app.connection import Connection
from app.services import services_of
from app.store.audit import get_record
from app.store.history import fleet
from app.store.hosts import add_host
from tests.faults.disk import HOST, PAGES, WAIT_S, Faulty, faulty_panel
from tests.faults.store import Injected, inside, locked, read_only
from tests.made_once import open_store
from tests.panel import NPVIRT
from tests.ports import free_port
from tests.web_support import make_web


@contextmanager
def _truncated(faulty: Faulty) -> Iterator[None]:
    """The very file loses what it holds, and gets it back."""
    with locked(faulty.inside, Injected(), inside(faulty.worker)):
        kept = faulty.file.read_bytes()
        os.truncate(faulty.file, 0)
    faulty.injected.add(f"{len(kept)} bytes are gone")
    try:
        yield
        assert faulty.file.stat().st_size == 0
    finally:
        with faulty.file.open("r+b") as file:
            file.write(kept)


def test_where_nothing_is_left_to_be_read_a_sentence_says_so_until_it_is_back(
    tmp_path: Path,
) -> None:
    with faulty_panel(tmp_path / "var", "12m") as faulty:
        last = faulty.last_scan()
        with _truncated(faulty):
            faulty.panel.until(lambda: "was emptied" in faulty.page("/")[1], WAIT_S)
            for path in PAGES:
                status, text = faulty.page(path)
                # What was drawn a moment ago may still be shown.
                assert status in (200, 503)
                assert "was emptied" in text
        assert faulty.injected.count > 0
        faulty.panel.until(lambda: not faulty.banner, WAIT_S)
        faulty.panel.until(lambda: faulty.last_scan() != last, WAIT_S)


class _LockAtIntent:
    """Takes the store's lock, as another process would, once the intent of an action is there."""

    def __init__(self, path: Path, injected: Injected) -> None:
        self._path = path
        self._injected = injected
        self._connection: sqlite3.Connection | None = None

    def send(self, entry: Mapping[str, Any]) -> None:
        if entry["outcome"] is None:
            self._connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("BEGIN IMMEDIATE")
            self._injected.add("another connection holds the lock")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def test_what_was_done_is_audited_as_soon_as_the_store_can_be_written(tmp_path: Path) -> None:
    """Planted: an outcome that is given up at its first error leaves the record without one."""
    web = make_web(tmp_path / "var")
    store, injected = web.store, Injected()
    demo = Connection(driver="test", transport="embedded", path="default")
    scanner = Scanner(store, web.settings.data, add_host(store, HOST, demo), 60_000)
    scanner.scan(next_at_ms=lambda _ok: None)
    (domain,) = fleet(store, None).domains
    performer = services_of(web.app).performer
    listener = store.audit_listener = _LockAtIntent(store.path, injected)
    done = performer.perform(
        Ask(COMMAND_LINE, "", _action("suspend"), HOST, domain.key, {"expect_state": "running"})
    )
    assert (done.outcome, injected.count) == ("ok", 1)
    record = get_record(store, done.audit_id)
    assert record is not None
    assert record.outcome is None
    assert len(performer.unwritten) == 1
    listener.close()
    store.audit_listener = None
    end = time.monotonic() + WAIT_S
    while len(performer.unwritten) and time.monotonic() < end:
        time.sleep(0.05)
    record = get_record(store, done.audit_id)
    assert record is not None
    assert record.outcome == "ok"
    performer.perform(
        Ask(COMMAND_LINE, "", _action("resume"), HOST, domain.key, {"expect_state": "paused"})
    )
    scanner.close()
    performer.close()
    store.close()


def _action(name: str) -> Action:
    return next(one for one in ACTIONS if (one.kind, one.name) == ("domain", name))


def test_a_store_on_a_read_only_disk_is_refused_in_a_sentence_and_left_as_it_is(
    tmp_path: Path,
) -> None:
    data = tmp_path / "var"
    data.mkdir(mode=0o700)
    open_store(data / "npvirt.sqlite").close()
    before = (data / "npvirt.sqlite").read_bytes()
    said = _served(data, *read_only(data))
    assert said.returncode != 0
    assert "read-only" in said.stderr
    assert "Traceback" not in said.stderr
    assert (data / "npvirt.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    ("body", "sentence"), [(b"", "is empty"), (b"words " * 999, "is not a store of npvirt")]
)
def test_an_empty_or_foreign_file_is_refused_at_the_start_and_left_as_it_is(
    tmp_path: Path, body: bytes, sentence: str
) -> None:
    data = tmp_path / "var"
    data.mkdir(mode=0o700)
    file = data / "npvirt.sqlite"
    file.write_bytes(body)
    said = _served(data)
    assert said.returncode != 0
    assert sentence in said.stderr
    assert "Traceback" not in said.stderr
    assert file.read_bytes() == body
    assert [path.name for path in data.glob("npvirt.sqlite*")] == ["npvirt.sqlite"]


def _served(data: Path, *before: str) -> "subprocess.CompletedProcess[str]":
    """What `npvirt serve` says and how it ends, where it does not start."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("NPVIRT_")}
    return subprocess.run(
        [*before, *NPVIRT, "serve"],
        env={**own, "NPVIRT_DATA": str(data), "NPVIRT_BIND": f"127.0.0.1:{free_port()}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
