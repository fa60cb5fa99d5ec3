"""A crowd: 200 open pages, 50 readers that do not read, and the dearest charts at the same time.

/healthz answers all the same, no tick is missed, and memory stays within bounds. How soon it
answers without the crowd is measured in the same run, as is how late scans are then.
"""

import selectors
import socket
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock
from urllib.parse import urlencode

from app.clock import DAY_MS, now_ms
from app.connection import Connection
from app.store.engine import Store
from app.store.hosts import add_host, set_enabled
from tests.bench import series as years
from tests.faults.looks import Looks, latest_s
from tests.faults.process import Server
from tests.faults.proof import Proof, Tally
from tests.panel import Panel, an_admins_token

READERS, STUCK, HOSTS = 200, 50, 5
INTERVAL_S = 2.0
HEALTH_S = 0.2
MEMORY_BYTES = 100_000_000
_DAYS = 40
_CHARTS = 3
_QUIET_S = 8.0
_UUID = "00000000-0000-4000-8000-000000000001"
_METRICS = (
    "cpu", "memory_bytes", "disk_read_bytes", "disk_write_bytes", "net_rx_bytes", "net_tx_bytes",
)  # fmt: skip


class Crowd:
    """The readers of streams and of charts, each counted."""

    def __init__(self, panel: Panel, port: int) -> None:
        self._panel = panel
        self._port = port
        self._stopping = threading.Event()
        self.charts = 0
        self.messages = 0
        self.broken: list[str] = []
        self.readers = [self._reader() for _ in range(READERS)]
        self.stuck = [self._reader(2048) for _ in range(STUCK)]
        work = [self._read, *[self._draw] * _CHARTS]
        self._threads = [threading.Thread(target=one) for one in work]
        for thread in self._threads:
            thread.start()

    def leave(self) -> None:
        """All of them leave."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        for stream in (*self.readers, *self.stuck):
            stream.close()

    def _reader(self, buffer_bytes: int | None = None) -> socket.socket:
        stream = socket.socket()
        if buffer_bytes is not None:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        stream.settimeout(60)
        stream.connect(("127.0.0.1", self._port))
        headers = "".join(f"{name}: {value}\r\n" for name, value in self._panel.headers.items())
        host = f"127.0.0.1:{self._port}"
        stream.sendall(f"GET /events HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode())
        received = b""
        while b"event: ready" not in received:
            piece = stream.recv(4096)
            if not piece:
                raise RuntimeError(f"a stream was refused: {received[:200]!r}")
            received += piece
        return stream

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for reader in self.readers:
                reader.setblocking(False)
                selector.register(reader, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select(0.2):
                    stream = key.fileobj
                    assert isinstance(stream, socket.socket)
                    if not stream.recv(65_536):
                        self.broken.append("a stream that is read was ended")
                        selector.unregister(stream)
                    self.messages += 1

    def _draw(self) -> None:
        end_s = (years._DAY + _DAYS) * DAY_MS // 1000
        asked = [("host", "kvm-01"), ("kind", "domain"), ("id", _UUID), ("points", "2000")]
        asked += [("from", str(end_s - 30 * 86_400)), ("to", str(end_s))]
        asked += [("metric", name) for name in _METRICS]
        path = f"/api/v1/series?{urlencode(asked)}"
        while not self._stopping.is_set():
            try:
                found = self._panel.get(path)
            except OSError as error:
                self.broken.append(f"a chart failed: {error}")
                return
            self.charts += bool(found)


def _prove(tally: Tally) -> None:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npvirt-crowd-")))
        data = root / "var"
        token = an_admins_token(data)
        _fill(data / "npvirt.sqlite")
        most = str(READERS + STUCK)
        settings = {
            "NPVIRT_SCAN_SECONDS": str(INTERVAL_S),
            "NPVIRT_STREAMS_USER": most,
            "NPVIRT_STREAMS_TOTAL": most,
        }
        server = Server(data, settings, tally.plant)
        stack.callback(server.kill)
        server.start()
        server.until_served()
        panel, looks = server.panel(token), Looks(data / "npvirt.sqlite")
        panel.until(lambda: len(panel.items("domains")) == HOSTS, 180.0)
        since_ms = now_ms()
        quiet = _healths_s(server, _QUIET_S)
        usual_s = _late_s(looks, since_ms)
        before = server.use()
        crowd = Crowd(panel, server.port)
        since_ms, since_s, queue = now_ms(), time.monotonic(), server.queue()
        try:
            busy = _healths_s(server, min(float(tally.of(10, 30, 1200)), tally.left_s()))
            queued_s = queue.waited_s()
        finally:
            crowd.leave()
        slower = 1 + queued_s / (time.monotonic() - since_s)
        _check(tally, crowd, quiet, busy, slower)
        grown = server.use().memory_bytes - before.memory_bytes
        tally.check(grown <= MEMORY_BYTES, f"memory grew by {grown / 1e6:.0f} MB")
        late_s = _late_s(looks, since_ms)
        tally.check(
            late_s < INTERVAL_S + max(0.0, usual_s) + queued_s,
            f"a tick was missed: a scan was {late_s:.1f} s late (usual: {usual_s:.1f} s)",
        )
        panel.until(lambda: panel.get("/api/v1/health")["streams"]["open"] == 0)
        tally.check(True, "no stream is left")
        tally.note(f"{grown / 1e6:+.0f} MB, latest scan {late_s:.2f} s ({usual_s:.2f} usual)")


def _check(
    tally: Tally, crowd: Crowd, quiet: list[float], busy: list[float], slower: float
) -> None:
    """`slower`: by how much its waiting for a processor made all that it does."""
    tally.attempts = len(busy)
    tally.injected["stream"] += len(crowd.readers)
    tally.injected["reader that does not read"] += len(crowd.stuck)
    tally.injected["chart"] += crowd.charts
    tally.check(not crowd.broken, f"{crowd.broken[:2]}")
    tally.check(crowd.messages > READERS, f"only {crowd.messages} messages were told")
    tally.check(crowd.charts, "no chart was drawn")
    usual_s, now_s = _p99(quiet), _p99(busy)
    tally.check(
        now_s <= HEALTH_S * slower + usual_s,
        f"/healthz answers within {now_s * 1000:.0f} ms (99 %), {usual_s * 1000:.0f} without them",
    )
    tally.note(
        f"/healthz {statistics.median(busy) * 1000:.0f} ms, 99 % within {now_s * 1000:.0f} "
        f"({usual_s * 1000:.0f} without them; other work made it {slower:.1f} × slower)"
    )


def _healths_s(server: Server, seconds: float) -> list[float]:
    took = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        begun_s = time.monotonic()
        if not server.answers():
            took.append(60.0)
            continue
        took.append(time.monotonic() - begun_s)
        time.sleep(0.02)
    return took


def _p99(took: list[float]) -> float:
    return sorted(took)[min(len(took) - 1, int(len(took) * 0.99))]


def _late_s(looks: Looks, since_ms: int) -> float:
    seen = looks.since(since_ms - round(INTERVAL_S * 1000)).values()
    return max(latest_s(one, INTERVAL_S) for one in seen)


def _fill(path: Path) -> None:
    """Weeks of a VM to draw charts of, and hosts to scan meanwhile."""
    store = Store.open(path)
    try:
        with mock.patch.object(years, "_DAYS", _DAYS):
            years._years(store)
        set_enabled(store, "kvm-01", False)
        demo = Connection(driver="test", transport="embedded", path="default")
        for number in range(HOSTS):
            add_host(store, f"demo-{number}", demo)
    finally:
        store.close()


PROOF = Proof(
    "crowd",
    "with 200 open pages, 50 readers that do not read and the dearest charts: /healthz answers "
    "within 200 ms, no tick is missed, and it takes at most 100 MB",
    _prove,
    {
        "held": "one request at a time, and charts take their time",
        "hoard": "every stream holds a megabyte",
    },
)
