"""What a scrape of /metrics costs with 50 hosts and 1,000 domains, each with a disk, a CD-ROM that
nobody reads, and a NIC; asked for as Prometheus asks, which takes gzip.

Processor time of the whole request in this process, without a server: after a scan of one host (so
that the fleet is read and written anew), after that with the fleet read before, and unchanged.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from msgspec.structs import fields, replace

from app.clock import now_ms
from app.connection import Connection
from app.inventory import Device, DomainSample, Share
from app.store.history import fleet
from app.store.hosts import add_host
from app.store.record import Recorder
from tests.fleet_support import KNOWN_MS, make_domain, make_scan
from tests.signing import bearer
from tests.web_support import Web, make_web

HOSTS = 50
DOMAINS = 20
ROUNDS = 20


def run() -> Iterator[str]:
    """Milliseconds of each sort of scrape, and the size of the text."""
    with a_panel() as web:
        yield from _figures(web)


@contextmanager
def a_panel() -> Iterator[Web]:
    """A panel over an empty store that is gone afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        web = make_web(Path(directory) / "var")
        try:
            yield web
        finally:
            web.store.close()


def _figures(web: Web) -> Iterator[str]:
    scans = [a_host(web, number) for number in range(HOSTS)]
    for scan in scans:
        scan(600)
    headers = bearer(web.store, "viewer")
    text = _scrape(web, headers)
    samples = sum(not line.startswith(b"#") for line in text.splitlines())
    headers = {**headers, "Accept-Encoding": "gzip"}
    packed = len(_scrape(web, headers))
    changed, drawn, unchanged = [], [], []
    for number in range(ROUNDS):
        scans[number](700 + number)
        changed.append(took_ms(partial(_scrape, web, headers)))
        scans[number](800 + number)
        fleet(web.store, None)
        drawn.append(took_ms(partial(_scrape, web, headers)))
        unchanged.append(took_ms(partial(_scrape, web, headers)))
    yield (
        f"{HOSTS} hosts, {HOSTS * DOMAINS:,} domains: {samples:,} samples, "
        f"{len(text) / 1e6:.2f} MB, packed {packed / 1e6:.2f}"
    )
    for name, times in (
        ("after a scan", changed),
        ("with the fleet read before (at most 50)", drawn),
        ("unchanged", unchanged),
    ):
        yield f"{name}: {statistics.median(times):.1f} ms, least {min(times):.1f} ms"


def a_host(web: Web, number: int) -> Callable[[int], None]:
    """Add a host; what scans it, so many seconds after its counters began."""
    record = add_host(web.store, f"kvm-{number:02d}", Connection())
    recorder = Recorder(web.store, record, KNOWN_MS)
    names = [field.name for field in fields(DomainSample)]

    def scan(seconds: int) -> None:
        facts = [replace(make_domain(number, n), state="running", id=n + 1) for n in range(DOMAINS)]
        values = {name: (seconds + place) * 48_611 for place, name in enumerate(names)}
        samples = {one.uuid: DomainSample(**values) for one in facts}
        made = make_scan(number, record, now_ms(), 0, seconds)
        domains = {one.uuid: one for one in facts}
        shares: tuple[tuple[str, Share], ...] = (("disk:vda", "whole"), ("disk:sda", "nothing"))
        devices = {
            f"{one.uuid}/{name}": Device(one.uuid, name, share, one.id)
            for one in facts
            for name, share in shares
        }
        recorder.record(
            replace(
                made, domains=domains, domain_samples=samples, definitions={}, devices=devices,
                device_samples={},
            )
        )  # fmt: skip

    return scan


def _scrape(web: Web, headers: dict[str, str]) -> bytes:
    answer = web.client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    text: bytes = answer.data
    return text


def took_ms(work: Callable[[], object]) -> float:
    """The processor time of something."""
    started_s = time.process_time()
    work()
    return 1000 * (time.process_time() - started_s)
