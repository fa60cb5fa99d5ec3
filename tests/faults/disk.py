"""The store's faults, put in and healed again and again: each really happens to the file or the
disk of a running npvirt (tests/faults/store.py), is counted, and is taken away again.

Meanwhile reads go on, a banner says what is wrong, what is seen is counted as dropped, and nothing
is done that cannot be audited; afterwards all is well by itself.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

from tests.faults.proof import BrokenPromise, Proof, Tally
from tests.faults.store import (
    Injected,
    failing_calls,
    full,
    inside,
    is_mounted_apart,
    locked,
    no_larger_files,
    on_own_disk,
    seen_by,
    use_up_log,
    worker_of,
)
from tests.lab.host import lab_unavailable
from tests.panel import NPVIRT, Panel, panel

HOST = "demo"
WAIT_S = 120.0
_CHECK = (
    "import sqlite3, sys\n"
    "print(*sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone())\n"
)
# So many panels, each with some of the faults: most of the time one waits for its next scan.
_LANES = 2


class Faulty:
    """A running panel on a disk of its own, and what of it can be made to fail."""

    def __init__(self, running: Panel, data: Path) -> None:
        self.panel = running
        self.worker = worker_of(running.process.pid)
        self.data = seen_by(running.process.pid, data)
        self.file = self.data / "npvirt.sqlite"
        self.inside = data / "npvirt.sqlite"
        self.injected = Injected()

    def text(self, path: str) -> str:
        """The text at `path`."""
        asked = urllib.request.Request(self.panel.url + path, headers=self.panel.headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
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

    def until(self, condition: Callable[[], Any], awaited: str) -> None:
        """Wait until `condition` holds; fails with how the panel and its disk stand if it never
        does.
        """
        self.panel.until(condition, WAIT_S, awaited=awaited, instead=self.stands)

    def stands(self) -> str:
        """How the panel and its disk stand, for whoever has to find out what went wrong."""
        found: list[str] = []
        for path in ("/ui/trouble", "/api/v1/health"):
            try:
                found.append(f"{path}: {self.page(path)}")
            except OSError as error:
                found.append(f"{path}: {error}")
        for file in sorted(self.data.iterdir()):
            status = file.stat()
            found.append(f"{file.name}: {status.st_size} bytes, changed at {status.st_mtime:.0f}")
        disk = os.statvfs(self.data)
        found.append(f"{disk.f_bavail * disk.f_frsize} bytes free")
        return "; ".join(found)

    def files(self) -> list[Path]:
        """The store's files as the panel itself names them."""
        return [self.inside, *(Path(f"{self.inside}{ending}") for ending in ("-wal", "-shm"))]


@contextmanager
def _full(faulty: Faulty) -> Iterator[None]:
    with full(faulty.data, faulty.injected):
        use_up_log(faulty.inside, inside(faulty.worker))
        yield


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


def _try(tally: Tally, faulty: Faulty, fault: str) -> None:
    """Put in a fault, see what is promised, take it away, and see that all is well."""
    put_in, said = FAULTS[fault]
    faulty.injected = Injected()
    faulty.until(lambda: not faulty.banner, "a panel without a banner to begin with")
    audited, state = faulty.audited(), faulty.state()
    with put_in(faulty):
        faulty.until(lambda: said in faulty.banner, f"a banner that says “{said}”")
        faulty.until(lambda: "dropped" in faulty.banner, "a banner that counts what is dropped")
        last = faulty.last_scan()
        # As it was last seen; as unknown where a busy machine takes long to get here.
        told = faulty.state()
        tally.check(told in (state, "None"), f"{fault}: the VM is told as {told}")
        for path in PAGES:
            shown = 'class="note bad trouble"' in faulty.text(path)
            tally.check(shown, f"{fault}: {path} does not say so")
        status, body = faulty.act("suspend", state)
        refused = status == 503 and "store" in body["detail"]
        tally.check(refused, f"{fault}: an action is answered with {status}: {body}")
        tally.check(faulty.last_scan() == last, f"{fault}: a scan was stored meanwhile")
    tally.injected[fault] += faulty.injected.count
    tally.check(faulty.injected.count, f"{fault} was not put in")
    faulty.until(lambda: not faulty.banner, "the end of the banner once all is well")
    faulty.until(lambda: faulty.last_scan() != last, "a scan that is stored once all is well")
    # Not a word of the action: neither in libvirt nor in the audit.
    tally.check(faulty.state() == state, f"{fault}: the refused action was done")
    tally.check(faulty.audited() == audited, f"{fault}: the refused action is in the audit")
    check = [*inside(faulty.worker), sys.executable, "-c", _CHECK, str(faulty.inside)]
    sound = subprocess.run(check, capture_output=True, text=True, check=True).stdout
    tally.check(sound == "ok\n", f"{fault}: the store is not sound: {sound}")


@contextmanager
def faulty_panel(data: Path, size: str) -> Iterator[Faulty]:
    """A panel on a disk of that size, which looks every second at one host of libvirt's driver."""
    with panel(
        data, prepare=_add_host, before=on_own_disk(data, size),
        NPVIRT_SCAN_SECONDS="1", NPVIRT_BACKUP_AT="",
    ) as running:  # fmt: skip
        assert is_mounted_apart(running.process.pid)
        running.until(lambda: running.items("domains"))
        yield Faulty(running, data)


def _add_host(environ: Mapping[str, str]) -> None:
    add = [*NPVIRT, "host", "add", HOST, "--driver", "test"]
    subprocess.run(add, env=environ, check=True, capture_output=True)


def _prove(tally: Tally) -> None:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npvirt-disk-")))
        faults = list(FAULTS) if tally.length != "brief" else ["full"]
        stack.enter_context(_planted(tally.plant))
        lanes = stack.enter_context(ThreadPoolExecutor(_LANES))
        work = [
            lanes.submit(_rounds, tally, root / f"lane-{lane}", faults[lane::_LANES])
            for lane in range(min(_LANES, len(faults)))
        ]
        for one in work:
            one.result()


def _rounds(tally: Tally, root: Path, faults: list[str]) -> None:
    root.mkdir()
    with faulty_panel(root / "var", "64m") as faulty:
        for _ in tally.rounds(1, 3, 50):
            for fault in faults:
                try:
                    _try(tally, faulty, fault)
                except BrokenPromise:
                    raise
                except AssertionError as broken:
                    tally.check(False, f"{fault}: {broken}")
                tally.attempts += 1


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
)
