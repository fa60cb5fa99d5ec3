"""What the page of 300 domains costs: unchanged, beside a bare response of its size, and changed.

Served by gunicorn as `npvirt serve` sets it up, in a process of its own. A bare Flask response of
the same bytes comes from the same process, and requests alternate between the two over one kept
connection each, so that whatever slows the machine down slows both.
"""

import http.client
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask, Response
from msgspec.structs import replace

from app.cli.server import Server
from app.clock import now_ms
from app.connection import Connection
from app.inventory import Domain
from app.settings import Bind
from app.store.engine import Store
from app.store.history import fleet
from app.store.hosts import HostRecord, add_host
from app.store.record import Recorder
from tests.bench.process import wait_for
from tests.fleet_support import KNOWN_MS, make_domain, make_sample, make_scan
from tests.ports import free_port
from tests.signing import COOKIE, a_user, session_cookie
from tests.web_support import Web, make_web

DOMAINS = 300
ADDRESS = f"/domains?per_page={DOMAINS}"
ROUNDS = 200
CHANGES = 40
_BARE: dict[str, bytes] = {}


def run() -> Iterator[str]:
    """The ratio of the medians while nothing changes, and milliseconds on top after a change."""
    with tempfile.TemporaryDirectory() as text:
        data = Path(text) / "var"
        web = make_web(data)
        record, recorder = fill(web.store, DOMAINS)
        cookie = f"{COOKIE}={session_cookie(web.app, a_user(web.store))}"
        with served(data) as (_, port):
            yield from _unchanged(port, cookie)
            yield from _changed(port, cookie, record, recorder)
        yield from _drawn(web, record, recorder)
        web.store.close()


def _unchanged(port: int, cookie: str) -> Iterator[str]:
    page, bare = _Client(port, cookie), _Client(port, cookie)
    size = len(page.get(ADDRESS))
    times: dict[str, list[float]] = {"page": [], "bare": []}
    for number in range(ROUNDS + 20):
        for name, client, address in (("page", page, ADDRESS), ("bare", bare, f"/bare/{size}")):
            started = time.perf_counter()
            body = client.get(address)
            took = time.perf_counter() - started
            assert len(body) >= size * 0.99
            if number >= 20:
                times[name].append(took)
    mine, other = (1000 * statistics.median(times[name]) for name in ("page", "bare"))
    yield (
        f"{DOMAINS} domains, {size / 1000:.0f} kB, unchanged: {mine:.2f} ms, bare response "
        f"{other:.2f} ms, ratio {mine / other:.2f} (at most 2)"
    )


def _changed(port: int, cookie: str, record: HostRecord, recorder: Recorder) -> Iterator[str]:
    """Every scan changes every row's figures; the next request draws them all anew."""
    client = _Client(port, cookie)
    client.get(ADDRESS)
    first: list[float] = []
    second: list[float] = []
    for number in range(CHANGES):
        scan(recorder, record, 110_000 + number * 37)
        for times in (first, second):
            started = time.perf_counter()
            client.get(ADDRESS)
            times.append(1000 * (time.perf_counter() - started))
    after, again = statistics.median(first), statistics.median(second)
    yield (
        f"{DOMAINS} domains after a change of all rows: {after:.1f} ms, {after - again:.1f} ms on "
        "top of the unchanged page (at most 15)"
    )


def _drawn(web: Web, record: HostRecord, recorder: Recorder) -> Iterator[str]:
    """Processor time of the part alone, in this process, with the fleet read beforehand."""
    times = []
    for number in range(CHANGES):
        scan(recorder, record, 120_000 + number * 37)
        fleet(web.store, None)
        started = time.process_time()
        answer = web.client.get(f"/ui{ADDRESS}")
        times.append(1000 * (time.process_time() - started))
        assert answer.status_code == 200
    median, least = statistics.median(times), min(times)
    yield f"{DOMAINS} changed rows drawn, processor time: {median:.1f} ms, least {least:.1f} ms"


class _Client:
    """One kept connection."""

    def __init__(self, port: int, cookie: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Cookie": cookie}

    def get(self, address: str) -> bytes:
        self._connection.request("GET", address, headers=self._headers)
        answer = self._connection.getresponse()
        assert answer.status == 200, (address, answer.status)
        return answer.read()


def fill(store: Store, domains: int) -> tuple[HostRecord, Recorder]:
    """A host with so many running domains that were measured for a day."""
    record = add_host(store, "kvm-01", Connection(transport="ssh", host="kvm-01.test"))
    recorder = Recorder(store, record, KNOWN_MS)
    # A day before, so that every row has its sparkline.
    for half_hours in range(50, 0, -1):
        scan(recorder, record, 1800 * (51 - half_hours), domains, 1_800_000 * half_hours)
    for seconds in (100_000, 100_060):
        scan(recorder, record, seconds, domains)
    return record, recorder


def scan(
    recorder: Recorder, record: HostRecord, seconds: int, count: int = DOMAINS, ago_ms: int = 0
) -> None:
    """Store one more scan of the host, `seconds` after its counters began."""
    seen = make_scan(0, record, now_ms() - ago_ms, 0, seconds)
    domains: dict[str, Domain] = {}
    for place in range(count):
        domain = make_domain(0, place)
        if domain.state not in ("running", "blocked"):
            domain = replace(domain, state="running", state_reason="booted", id=place + 1)
        domains[domain.uuid] = domain
    samples = {uuid: make_sample(n, seconds) for n, uuid in enumerate(domains)}
    recorder.record(replace(seen, domains=domains, domain_samples=samples, definitions={}))


@contextmanager
def served(data: Path) -> Iterator[tuple[int, int]]:
    """A server over that store, its process and its port; ended and reaped afterwards."""
    port = free_port()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(data, port))
    process.start()
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz")
        assert process.pid is not None
        yield process.pid, port
    finally:
        process.terminate()
        process.join(10)


class _BenchServer(Server):
    """The server of `npvirt serve`, over the store of the benchmark; nothing is scanned."""

    def __init__(self, bind: Bind, data: Path) -> None:
        self._data = data
        super().__init__(bind, "warning", 16)

    def load(self) -> Any:
        """The application with a bare response beside it."""
        app = make_web(self._data).app
        _add_bare(app)
        return app

    def _say_where(self, _arbiter: object) -> None:
        """Say nothing."""


def _add_bare(app: Flask) -> None:
    def bare(size: int) -> Response:
        body = _BARE.setdefault(str(size), b"x" * size)
        return Response(body, mimetype="text/html")

    # Beside the checks and headers of npvirt, which are no part of a bare response.
    plain = Flask("bare")
    plain.add_url_rule("/bare/<int:size>", "bare", bare)
    whole = app.wsgi_app

    def choose(environ: dict[str, Any], start_response: Any) -> Any:
        answer = plain.wsgi_app if environ["PATH_INFO"].startswith("/bare/") else whole
        return answer(environ, start_response)

    app.wsgi_app = choose  # type: ignore[method-assign]  # the way to put something in front


def _serve(data: Path, port: int) -> None:
    _BenchServer(Bind("127.0.0.1", port), data).run()
