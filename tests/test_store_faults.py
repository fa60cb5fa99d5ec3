"""The store under fault: reads go on, a banner says what is wrong, what is seen is counted as
dropped, nothing is done that cannot be audited, and it is all over once the fault is.

Every fault is really put in (tests/faults/store.py), counted, and taken away again.
"""

import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.access import COMMAND_LINE
from app.actions.plan import Ask
from app.actions.registry import ACTIONS, Action
from app.collect.scanner import Scanner
from app.connection import Connection
from app.services import services_of
from app.store.audit import get_record
from app.store.engine import Store
from app.store.history import fleet
from app.store.hosts import add_host
from tests.faults.store import (
    Injected,
    failing_calls,
    full,
    inside,
    is_mounted_apart,
    locked,
    no_larger_files,
    on_own_disk,
    read_only,
    seen_by,
    worker_of,
)
from tests.panel import NPVIRT, Panel, panel
from tests.web_support import make_web

pytestmark = pytest.mark.xdist_group("store-faults")

HOST = "demo"
_CHECK = (
    "import sqlite3, sys\n"
    "print(*sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone())\n"
)
WAIT_S = 40.0


class Faulty:
    """A running panel on a disk of its own, and what of it can be made to fail."""

    def __init__(self, running: Panel, data: Path) -> None:
        self.panel = running
        self.said = ""
        self.worker = worker_of(running.process.pid)
        self.data = seen_by(running.process.pid, data)
        self.file = self.data / "npvirt.sqlite"
        self.inside = data / "npvirt.sqlite"
        self.injected = Injected()

    def text(self, path: str) -> str:
        """The text at `path`."""
        asked = urllib.request.Request(self.panel.url + path, headers=self.panel.headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return str(answer.read().decode())

    def page(self, path: str) -> tuple[int, str]:
        """Status and text at `path`, whatever the answer."""
        try:
            return 200, self.text(path)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    @property
    def banner(self) -> str:
        """What every page says of the store; nothing where all is well."""
        return self.text("/ui/trouble")

    def last_scan(self) -> str:
        """When the host was last looked at, as far as that is stored."""
        return str(self.panel.get("/api/v1/domains")["scans"][HOST]["at"])

    def state(self) -> str:
        """How the VM stands, as libvirt was last seen to say."""
        (domain,) = self.panel.items("domains")
        return str(domain["state"])

    def act(self, action: str, expect_state: str) -> tuple[int, Any]:
        """Ask for an action on the VM: status and body."""
        (domain,) = self.panel.items("domains")
        body = {"expect_state": expect_state, "request_id": str(uuid4())}
        asked = urllib.request.Request(
            f"{self.panel.url}/api/v1/hosts/{HOST}/domains/{domain['uuid']}/actions/{action}",
            data=json.dumps(body).encode(),
            headers={**self.panel.headers, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def audited(self) -> int:
        """How many attempts the audit has."""
        return int(self.panel.get("/api/v1/audit")["total"])

    def files(self) -> list[Path]:
        """The store's files as the panel itself names them."""
        return [self.inside, *(Path(f"{self.inside}{ending}") for ending in ("-wal", "-shm"))]


@pytest.fixture(scope="module")
def a_panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """A panel that looks every second at one host of libvirt's test driver."""
    data = tmp_path_factory.mktemp("faults") / "var"

    def prepare(environ: dict[str, str]) -> None:
        add = [*NPVIRT, "host", "add", HOST, "--driver", "test"]
        subprocess.run(add, env=environ, check=True, capture_output=True)

    before = on_own_disk(data, "12m")
    with panel(
        data, prepare=prepare, before=before, NPVIRT_SCAN_SECONDS="1", NPVIRT_BACKUP_AT=""
    ) as running:
        assert is_mounted_apart(running.process.pid)
        running.until(lambda: running.items("domains"))
        yield Faulty(running, data)


@pytest.fixture
def faulty(a_panel: Faulty) -> Iterator[Faulty]:
    """The panel, in good health before and after."""
    a_panel.injected = Injected()
    a_panel.panel.until(lambda: not a_panel.banner, WAIT_S)
    yield a_panel
    a_panel.panel.until(lambda: not a_panel.banner, WAIT_S)


def _full(faulty: Faulty) -> AbstractContextManager[None]:
    return full(faulty.data, faulty.injected)


def _io(faulty: Faulty) -> AbstractContextManager[None]:
    return failing_calls(faulty.worker, faulty.files(), "EIO", faulty.injected)


def _read_only(faulty: Faulty) -> AbstractContextManager[None]:
    return failing_calls(faulty.worker, faulty.files(), "EROFS", faulty.injected)


def _locked(faulty: Faulty) -> AbstractContextManager[None]:
    return locked(faulty.inside, faulty.injected, inside(faulty.worker))


def _limited(faulty: Faulty) -> AbstractContextManager[None]:
    return no_larger_files(faulty.worker, 4096, faulty.injected)


@contextmanager
def _removed(faulty: Faulty) -> Iterator[None]:
    aside = faulty.data / "aside"
    faulty.file.rename(aside)
    faulty.injected.add("the file has another name")
    try:
        yield
    finally:
        aside.rename(faulty.file)


@contextmanager
def _emptied(faulty: Faulty) -> Iterator[None]:
    """Somebody puts an empty file in its place, then the store back."""
    aside = faulty.data / "aside"
    faulty.file.rename(aside)
    faulty.file.touch()
    faulty.injected.add("an empty file has its name")
    try:
        yield
        assert faulty.file.stat().st_size == 0
    finally:
        aside.replace(faulty.file)


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


@contextmanager
def _foreign(faulty: Faulty) -> Iterator[None]:
    aside = faulty.data / "aside"
    faulty.file.rename(aside)
    faulty.file.write_bytes(b"not a store at all " * 1000)
    before = faulty.file.read_bytes()
    faulty.injected.add("a foreign file has its name")
    try:
        yield
        assert faulty.file.read_bytes() == before
    finally:
        aside.replace(faulty.file)


PAGES = ("/", "/hosts", "/domains", "/pools", "/changes", f"/hosts/{HOST}", "/audit")
FAULTS: dict[str, tuple[Callable[[Faulty], AbstractContextManager[None]], str]] = {
    "full": (_full, "the disk is full"),
    "io": (_io, "input/output error"),
    "read-only": (_read_only, "input/output error"),
    "limited": (_limited, "input/output error"),
    "locked": (_locked, "locked by another process"),
    "removed": (_removed, "removed or replaced"),
    "emptied": (_emptied, "was emptied"),
    "foreign": (_foreign, "removed or replaced"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_under_a_fault_reads_go_on_and_nothing_is_done_and_afterwards_all_is_well(
    faulty: Faulty, fault: str
) -> None:
    put_in, said = FAULTS[fault]
    running = faulty.panel
    audited, state = faulty.audited(), faulty.state()
    with put_in(faulty):
        running.until(lambda: said in faulty.banner, WAIT_S)
        running.until(lambda: "dropped" in faulty.banner, WAIT_S)
        last = faulty.last_scan()
        assert faulty.state() == state
        for path in PAGES:
            assert 'class="note bad trouble"' in faulty.text(path)
        status, body = faulty.act("suspend", state)
        assert status == 503, body
        assert "store" in body["detail"]
        assert faulty.last_scan() == last
    assert faulty.injected.count > 0
    running.until(lambda: not faulty.banner, WAIT_S)
    running.until(lambda: faulty.last_scan() != last, WAIT_S)
    # Not a word of the action: neither in libvirt nor in the audit.
    assert faulty.state() == state
    assert faulty.audited() == audited
    check = [*inside(faulty.worker), sys.executable, "-c", _CHECK, str(faulty.inside)]
    assert subprocess.run(check, capture_output=True, text=True, check=True).stdout == "ok\n"


def test_where_nothing_is_left_to_be_read_a_sentence_says_so_until_it_is_back(
    faulty: Faulty,
) -> None:
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
    Store.open(data / "npvirt.sqlite").close()
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
        env={**own, "NPVIRT_DATA": str(data), "NPVIRT_BIND": "127.0.0.1:8049"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
