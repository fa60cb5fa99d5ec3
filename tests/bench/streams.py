"""What open pages cost: memory, threads and the time of /healthz with 200 streams and 50 readers
that do not read, while a host is scanned every second; and how soon a change is told.
"""

import selectors
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from app.access import COMMAND_LINE
from app.connection import Connection
from app.store.audit import Attempt, note
from app.store.engine import Store
from app.store.hosts import add_host, get_host
from tests.panel import Panel, panel

READERS, STUCK = 200, 50
_ASKED = 400
_TOLD = 40
_READY, _CHANGED = b"event: ready", b'"audit"'


def run() -> Iterator[str]:
    """The figures, a line each."""
    most = str(READERS + STUCK)
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "var"
        data.mkdir(mode=0o700)
        path = data / "npvirt.sqlite"
        store = Store.open(path)
        add_host(store, "demo", Connection(driver="test", transport="embedded", path="default"))
        store.close()
        with panel(
            data, NPVIRT_SCAN_SECONDS="1", NPVIRT_STREAMS_USER=most, NPVIRT_STREAMS_TOTAL=most
        ) as running:
            running.until(lambda: running.items("domains"))
            for _ in range(60):
                running.items("domains")
            store = Store.open(path)
            yield from _measured(running, store)
            store.close()


def _measured(running: Panel, store: Store) -> Iterator[str]:
    pid = _served_by(running)
    before, threads = _pss_mb(pid), _threads(pid)
    quiet = _health_ms(running)
    yield f"no stream: {before:.1f} MB, {threads} threads, /healthz {_spread(quiet)}"
    readers = [_reader(running) for _ in range(READERS)]
    stuck = [_reader(running, buffer_bytes=2048) for _ in range(STUCK)]
    reading = _Reading(readers)
    try:
        time.sleep(3.0)
        busy = _health_ms(running)
        yield (
            f"{READERS} streams and {STUCK} that are not read: {_pss_mb(pid) - before:+.1f} MB, "
            f"{_threads(pid)} threads, /healthz {_spread(busy)}"
        )
        host = get_host(store, "demo")
        attempt = Attempt(COMMAND_LINE, "", "host-test", "host", host.id, host.slug)
        took = []
        for _ in range(_TOLD):
            reading.expect()
            started_s = time.monotonic()
            note(store, attempt, "ok")
            took.append((reading.all_told_s() - started_s) * 1000)
        yield f"a change by another process until all {READERS} are told: {_spread(took)}"
    finally:
        reading.stop()
        for connection in (*readers, *stuck):
            connection.close()
    running.until(lambda: running.get("/api/v1/health")["streams"]["open"] == 0)
    yield f"after they left: {_pss_mb(pid) - before:+.1f} MB, {_threads(pid)} threads"


class _Reading:
    """A thread that reads all streams, and notes when each was told of a change."""

    def __init__(self, connections: list[socket.socket]) -> None:
        self._connections = connections
        self._condition = threading.Condition()
        self._told: set[socket.socket] = set()
        self._last_s = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def expect(self) -> None:
        with self._condition:
            self._told.clear()

    def all_told_s(self) -> float:
        """When the last of them was told; waits for it."""
        with self._condition:
            done = self._condition.wait_for(lambda: len(self._told) == len(self._connections), 20)
            assert done, "not all were told"
            return self._last_s

    def stop(self) -> None:
        self._stopping = True
        self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for connection in self._connections:
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ)
            while not self._stopping:
                for key, _ in selector.select(0.2):
                    readable = key.fileobj
                    assert isinstance(readable, socket.socket)
                    if _CHANGED in readable.recv(65_536):
                        with self._condition:
                            self._told.add(readable)
                            self._last_s = time.monotonic()
                            self._condition.notify_all()


def _reader(running: Panel, buffer_bytes: int | None = None) -> socket.socket:
    parts = urlsplit(running.url)
    connection = socket.socket()
    if buffer_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.settimeout(20)
    connection.connect((parts.hostname, parts.port))
    headers = "".join(f"{name}: {value}\r\n" for name, value in running.headers.items())
    connection.sendall(f"GET /events HTTP/1.1\r\nHost: {parts.netloc}\r\n{headers}\r\n".encode())
    received = b""
    while _READY not in received:
        piece = connection.recv(4096)
        assert piece, received
        received += piece
    return connection


def _health_ms(running: Panel) -> list[float]:
    took = []
    for _ in range(_ASKED):
        started_s = time.perf_counter()
        running.get("/healthz")
        took.append((time.perf_counter() - started_s) * 1000)
        time.sleep(0.005)
    return took


def _spread(took_ms: list[float]) -> str:
    ordered = sorted(took_ms)
    p99 = ordered[int(len(ordered) * 0.99)]
    return f"{statistics.median(ordered):.1f} ms (p99 {p99:.0f})"


def _served_by(running: Panel) -> int:
    pid = running.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])


def _pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
