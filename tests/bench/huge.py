"""What a host with 10,000 domains costs: to scan, to store, to show.

The host is a node file of libvirt's test driver, which lists and tells definitions but measures
nothing; so this is about sizes, not about a hypervisor's speed. Times are of one run.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.connection import Connection
from app.store.engine import Store
from app.store.history import fleet
from app.store.hosts import add_host
from app.store.record import Recorder
from app.virt.read import Reader
from tests.bench.process import pss_bytes
from tests.read_support import RUNNING, SHUTOFF, URI, domain_xml, opened, pool_xml, write_node
from tests.web_support import Web, make_web

DOMAINS = 10_000
POOLS = 10
VOLUMES = 1_000

T = TypeVar("T")


def run() -> Iterator[str]:
    """The figures, a line each."""
    with tempfile.TemporaryDirectory() as directory:
        yield from _figures(Path(directory))


def huge_node(directory: Path, domains: int = DOMAINS) -> Path:
    """A node file with that many domains, a tenth of them running, and pools with volumes."""
    states = [RUNNING if number % 10 == 0 else SHUTOFF for number in range(domains)]
    return write_node(
        directory,
        *(domain_xml(f"vm-{number:05d}", state=state) for number, state in enumerate(states)),
        *(pool_xml(f"pool-{n}", [f"v{v}" for v in range(VOLUMES)]) for n in range(POOLS)),
    )


def _figures(directory: Path) -> Iterator[str]:
    web = make_web(directory / "var", NPVIRT_TIMEZONE="UTC")
    record = add_host(web.store, "huge", Connection())
    recorder = Recorder(web.store, record, 60_000)
    before = pss_bytes(os.getpid())
    with opened(huge_node(directory)) as session:
        reader = Reader(open_writable=None)
        for name in ("first", "second", "third"):
            at_ms = int(time.time() * 1000)
            scan, scanned_s = _timed(partial(reader.scan, session, at_ms=at_ms, uri=URI))
            _, stored_s = _timed(partial(recorder.record, scan))
            yield (
                f"{name} scan of {len(scan.domains or ()):,} domains and "
                f"{sum(map(len, scan.volumes.values())):,} volumes: {scanned_s:.2f} s, "
                f"stored in {1000 * stored_s:.0f} ms, {len(scan.missing)} parts missing"
            )
    yield from _pages(web)
    size = (directory / "var" / "npvirt.sqlite").stat().st_size / 2**20
    more = (pss_bytes(os.getpid()) - before) / 2**20
    yield f"the store {size:.0f} MiB, this process {more:+.0f} MiB PSS"
    web.store.close()


def _pages(web: Web) -> Iterator[str]:
    _, built_s = _timed(lambda: _rebuilt(web.store))
    yield f"the fleet out of the store: {built_s:.2f} s"
    for address in (
        "/domains", "/domains?q=vm-09999", "/domains?page=50", "/hosts/huge", "/", "/pools",
        "/api/v1/domains?per_page=1000", "/api/v1/domains?format=csv", "/health", "/metrics",
    ):  # fmt: skip
        first, first_s = _timed(partial(web.text, address))
        _, again_s = _timed(partial(web.text, address))
        yield (
            f"{address}: {len(first) / 1024:,.0f} KiB, {1000 * first_s:.0f} ms, "
            f"again {1000 * again_s:.1f} ms"
        )


def _rebuilt(store: Store) -> int:
    return len(fleet(store, int(time.time() * 1000)).domains)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started_s = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started_s
