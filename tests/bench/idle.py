"""What a tick costs where nothing happens: 300 defined domains, none running, on a real libvirtd.

A tick is a whole scan and its commit. Ticks and `virsh domstats` take turns in one run, so that
both see the same machine. Events stand for the lists, so that few calls are left.
"""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from app.collect.scanner import Scanner
from app.connection import Connection
from app.inventory import Told
from app.store.engine import Store
from app.store.hosts import add_host
from app.virt import events
from tests.bench.scan import define
from tests.lab.host import LabHost

DOMAINS = 300
ROUNDS = 40


def run() -> Iterator[str]:
    """The figures, a line each."""
    events.start_loop()
    with LabHost("bench-idle") as host, tempfile.TemporaryDirectory() as text:
        define(host.uri, DOMAINS, running=0)
        store = Store.open(Path(text) / "npvirt.sqlite")
        record = add_host(store, "idle", Connection(socket=host.socket))
        scanner = Scanner(store, Path(text), record, 60_000)
        told: list[Told] = []
        scanner.listen(told.append, lambda reason: None)
        try:
            yield from _ticks(scanner, host.uri)
        finally:
            scanner.close()
            store.close()
        # npvirt itself has the pool refreshed.
        assert all(one.what == "contents" for one in told), told


def _ticks(scanner: Scanner, uri: str) -> Iterator[str]:
    for _ in range(4):
        # The first reads all; what is read in turn is read by the next ones.
        scanner.scan(next_at_ms=lambda ok: None)
    ours, virshs, busy, calls = [], [], [], []
    for _ in range(ROUNDS):
        begun, cpu = time.perf_counter(), time.process_time()
        scan = scanner.scan(next_at_ms=lambda ok: None)
        between = time.perf_counter()
        busy.append(time.process_time() - cpu)
        subprocess.run(["virsh", "-c", uri, "domstats"], check=True, stdout=subprocess.DEVNULL)
        ours.append(between - begun)
        virshs.append(time.perf_counter() - between)
        calls.append(scan.rpc_count or 0)
        assert len(scan.domains or ()) == DOMAINS
        assert not scan.missing, scan.missing
    ours_ms, virsh_ms, busy_ms = (statistics.median(times) * 1000 for times in (ours, virshs, busy))
    median = statistics.median(calls)
    yield f"idle tick of {DOMAINS} domains: {median:.0f} calls, {max(calls)} at most"
    yield (
        f"idle tick {ours_ms:.1f} ms ({busy_ms:.1f} of it npvirt's own CPU), virsh domstats "
        f"{virsh_ms:.0f} ms: ratio {ours_ms / virsh_ms:.3f} (limit 0.1)"
    )
