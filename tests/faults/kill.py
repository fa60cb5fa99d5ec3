"""kill -9 of npvirt at random moments, while it scans, acts and serves pages.

What it told anybody before it died is written down here: scans that it said are stored, and
outcomes of actions. After it is started again all of them must be there, whole, in a sound store.
"""

import contextlib
import http.client
import json
import random
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import msgspec

from app.clock import now_ms
from app.collect.control import ask
from app.collect.summary import Summary
from app.connection import Connection
from app.inventory import KINDS
from app.store.engine import Store
from app.store.hosts import add_host
from tests.faults.daemon import SessionDaemon, unavailable
from tests.faults.inventories import write
from tests.faults.process import Server
from tests.faults.proof import Proof, Tally
from tests.panel import an_admins_token

SERVING_S = 2.0
_LONGEST_S = 1.2
_PATIENCE_S = 30.0
# So many of ten are killed while they start.
_IN_THE_START = 2
_DAEMON = "wire"
_DOMAINS = 4
_ACTIVE = {"node-0": 1, "node-1": 8, _DAEMON: _DOMAINS}
_PAGES = ("/api/v1/hosts", "/domains", "/", "/api/v1/pools", "/changes", "/hosts/wire")


@dataclass
class Told:
    """What npvirt told: scans (host, from when to when, how long) and their times; actions."""

    scans: list[tuple[str, int, int, Summary]]
    times: set[tuple[str, int]]
    outcomes: dict[int, str]


class Load:
    """Threads that ask for scans, act and look at pages, and write down what they are told."""

    def __init__(self, server: Server, token: str) -> None:
        self._server = server
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.told = Told([], set(), {})
        self.requests = 0
        work = (self._ask_for_scans, self._act, self._look, self._look)
        self._threads = [threading.Thread(target=self._again, args=(one,)) for one in work]
        for thread in self._threads:
            thread.start()

    def take(self) -> Told:
        """What was told since the last time."""
        with self._lock:
            taken, self.told = self.told, Told([], set(), {})
            return taken

    def until_told(self, count: int) -> None:
        """Wait until so many scans were acknowledged since they were taken the last time."""
        end_s = time.monotonic() + _PATIENCE_S
        while len(self.told.scans) + len(self.told.times) < count and time.monotonic() < end_s:
            time.sleep(0.01)

    def stop(self) -> None:
        """End the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _again(self, work: Callable[[random.Random], None]) -> None:
        luck = random.Random(str(work))
        while not self._stopping.is_set():
            # It is being killed: whatever an answer is cut off with.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                work(luck)
            self._stopping.wait(0.03)

    def _ask_for_scans(self, luck: random.Random) -> None:
        slug = luck.choice(list(_ACTIVE))
        from_ms = now_ms()
        answer = ask(self._server.data, {"scan": [slug]}, 5.0)
        if not answer:
            return
        summary = msgspec.convert(answer, dict[str, Summary | None]).get(slug)
        if summary is not None:
            with self._lock:
                self.told.scans.append((slug, from_ms, now_ms(), summary))

    def _look(self, luck: random.Random) -> None:
        path = luck.choice(_PAGES)
        status, body = self._request("GET", path)
        if status != 200 or not path.startswith("/api"):
            return
        scans = json.loads(body)["scans"]
        times = {
            (slug, round(datetime.fromisoformat(one["at"]).timestamp() * 1000))
            for slug, one in scans.items()
            if one.get("at")
        }
        with self._lock:
            self.told.times |= times

    def _act(self, luck: random.Random) -> None:
        uuid = f"00000000-0000-4000-8000-{luck.randrange(1, _DOMAINS):012d}"
        for state, action in (("running", "suspend"), ("paused", "resume")):
            body = {"expect_state": state, "request_id": str(uuid4())}
            path = f"/api/v1/hosts/{_DAEMON}/domains/{uuid}/actions/{action}"
            status, answer = self._request("POST", path, json.dumps(body))
            if status == 200:
                audit = json.loads(answer)["audit"]
                with self._lock:
                    self.told.outcomes[int(audit["id"])] = str(audit["outcome"])

    def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=5)
        try:
            connection.request(method, path, body, self._headers)
            answer = connection.getresponse()
            whole = answer.read()
            self.requests += 1
            return answer.status, whole
        finally:
            connection.close()


# --- what is checked --------------------------------------------------------------------------


def _check(tally: Tally, server: Server, told: Told, since_ms: int) -> None:
    path, started_ms = server.data / "npvirt.sqlite", server.started_ms
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("BEGIN")
        _check_sound(tally, connection)
        _check_told(tally, connection, told, started_ms)
        for sentence in _torn(connection, since_ms):
            tally.check(False, sentence)
        tally.check(True, "no scan is torn")
    except sqlite3.DatabaseError as error:
        tally.check(False, f"the store cannot be read: {error}")
    finally:
        connection.close()


def _check_sound(tally: Tally, connection: sqlite3.Connection) -> None:
    found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    tally.check(found == ["ok"], f"the store is not sound: {found[:2]}")
    keys = connection.execute("PRAGMA foreign_key_check").fetchall()
    tally.check(not keys, f"rows that belong to nothing: {len(keys)}")


def _check_told(tally: Tally, connection: sqlite3.Connection, told: Told, started_ms: int) -> None:
    query = "SELECT 1 FROM scan JOIN host ON host.id = scan.host_id WHERE host.slug = ? AND "
    for slug, at_ms in told.times:
        found = connection.execute(query + "at_ms = ?", (slug, at_ms)).fetchone()
        tally.check(found, f"a scan of {slug} that a list was as of is lost ({at_ms})")
    for slug, from_ms, until_ms, summary in told.scans:
        found = connection.execute(
            query + "at_ms BETWEEN ? AND ? AND took_ms = ?",
            (slug, from_ms, until_ms, summary.took_ms),
        ).fetchone()
        tally.check(found, f"an acknowledged scan of {slug} is lost ({from_ms} to {until_ms})")
    for number, outcome in told.outcomes.items():
        row = connection.execute("SELECT outcome FROM audit WHERE intent_id = ?", (number,))
        found = row.fetchone()
        tally.check(
            found and found["outcome"] == outcome,
            f"the outcome {outcome} of action {number} that was told is lost",
        )
    query = (
        "SELECT count(*) FROM audit WHERE intent_id IS NULL AND outcome IS NULL AND at_ms < ? "
        "AND id NOT IN (SELECT intent_id FROM audit WHERE intent_id IS NOT NULL)"
    )
    open_ones = connection.execute(query, (started_ms,)).fetchone()[0]
    tally.check(not open_ones, f"{open_ones} actions of before the start have no outcome")


def _torn(connection: sqlite3.Connection, since_ms: int) -> Iterator[str]:
    """What is stored of scans since then in part alone."""
    bits: dict[str, int] = {kind.name: 1 << place for place, kind in enumerate(KINDS)}
    scans = connection.execute(
        "SELECT host_id, slug, at_ms, listed, sampled, changes FROM scan "
        "JOIN host ON host.id = host_id WHERE at_ms >= ? AND ok = 1", (since_ms,)
    ).fetchall()  # fmt: skip
    for kind, expected in (("host", lambda slug: 1), ("domain", _ACTIVE.__getitem__)):
        counted = {
            (row["host_id"], row["ts"]): row["number"]
            for row in connection.execute(
                f"SELECT host_id, ts, count(*) AS number FROM sample_{kind} "
                "JOIN entity ON entity.id = entity WHERE ts >= ? GROUP BY host_id, ts",
                (since_ms,),
            )
        }
        for scan in scans:
            number = counted.pop((scan["host_id"], scan["at_ms"]), 0)
            if scan["sampled"] & bits[kind] and number != expected(scan["slug"]):
                yield f"{number} samples ({kind}) of a scan of {scan['slug']} at {scan['at_ms']}"
        if counted:
            yield f"samples ({kind}) without a scan: {list(counted)[:3]}"
    revisions = {
        (row["host_id"], row["valid_from_ms"]): row["number"]
        for row in connection.execute(
            "SELECT host_id, valid_from_ms, count(*) AS number FROM revision "
            "JOIN entity ON entity.id = entity_id WHERE valid_from_ms >= ? "
            "AND revision.kind <> 'device' GROUP BY host_id, valid_from_ms",
            (since_ms,),
        )
    }
    partial = connection.execute(
        "SELECT host_id, at_ms, changes FROM partial_look WHERE at_ms >= ?", (since_ms,)
    ).fetchall()
    for look in (*scans, *partial):
        number = revisions.pop((look["host_id"], look["at_ms"]), 0)
        if number != look["changes"]:
            yield f"{number} of {look['changes']} changes of the look at {look['at_ms']}"
    if revisions:
        yield f"changes without a look: {list(revisions)[:3]}"


# --- the proof ------------------------------------------------------------------------------


def _prove(tally: Tally) -> None:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npvirt-kill-")))
        daemon = stack.enter_context(SessionDaemon(_DOMAINS))
        data = root / "var"
        token = an_admins_token(data)
        _add_hosts(data / "npvirt.sqlite", root, daemon.port)
        settings = {"NPVIRT_SCAN_SECONDS": "1", "NPVIRT_ALLOW_TEST_FILES": "1"}
        server = Server(data, settings, tally.plant)
        stack.callback(server.kill)
        load = Load(server, token)
        stack.callback(load.stop)
        try:
            _rounds(tally, server, load)
        except RuntimeError as error:
            tally.check(False, str(error))
        tally.note(f"{load.requests} requests answered meanwhile")


def _rounds(tally: Tally, server: Server, load: Load) -> None:
    luck = random.Random(tally.length)
    served: list[tuple[float, float]] = []
    known = 0
    begun_ms = since_ms = now_ms()
    for number in tally.rounds(4, 50, 2_000):
        server.start()
        tally.attempts += 1
        if number % 10 >= 10 - _IN_THE_START:
            time.sleep(luck.uniform(0.05, _LONGEST_S))
            tally.injected["kill -9 in the start"] += 1
            server.kill()
            continue
        served.append(server.until_served())
        # Where even the first start, of a store that nobody ever killed, took long: half as much
        # again as that.
        allowed_s = max(SERVING_S, 1.5 * served[0][1])
        own_s = served[-1][1]
        tally.check(own_s <= allowed_s, f"serves only {own_s:.1f} s after it was started again")
        told = load.take()
        known += len(told.times) + len(told.scans) + len(told.outcomes)
        _check(tally, server, told, since_ms)
        since_ms = now_ms() - 60_000
        # Else nothing may be at stake on a busy machine.
        load.until_told(2)
        time.sleep(luck.uniform(0.0, _LONGEST_S))
        tally.injected["kill -9 under load"] += 1
        server.kill()
    server.start()
    server.until_served()
    _check(tally, server, load.take(), begun_ms)
    tally.check(known > tally.attempts, f"only {known} things were acknowledged")
    again = served[1:]
    own, whole = max(one[1] for one in again), max(one[0] for one in again)
    tally.note(f"{known} scans and outcomes acknowledged, 0 lost")
    tally.note(f"serving again after {own:.2f} s at most ({whole:.2f} s with other load)")


def _add_hosts(path: Path, root: Path, port: int) -> None:
    store = Store.open(path)
    try:
        for number in range(2):
            node = write(root, number)
            add_host(
                store, f"node-{number}",
                Connection(driver="test", transport="embedded", path=str(node)),
            )  # fmt: skip
        way = Connection(driver="test", transport="tcp", host="127.0.0.1", port=port)
        add_host(store, _DAEMON, way)
    finally:
        store.close()


PROOF = Proof(
    "kill",
    "kill -9 at any moment loses no acknowledged scan or outcome and tears none, leaves the store "
    "sound, and npvirt serves two seconds after it is started again",
    _prove,
    {
        "early": "a scan is acknowledged before it is stored",
        "torn": "a scan is stored in two transactions",
        "unsound": "something writes into the middle of the store",
        "slow": "npvirt takes four seconds before it begins",
    },
    ("early",),
    unavailable,
)
