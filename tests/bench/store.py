"""What a tick of 1,000 running domains costs in the store: time, bytes, the fleet anew."""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import astuple, fields

from app.connection import Connection
from app.inventory import Disk, Domain, DomainSample, HostSample, Nic, Scan
from app.store.engine import Store
from app.store.history import fleet
from app.store.hosts import add_host
from app.store.record import Recorder

DOMAINS = 1000
ROUNDS = 60
_TICK_MS = 60_000


def _domain(number: int) -> Domain:
    return Domain(
        uuid=f"00000000-0000-4000-8000-{number:012d}",
        name=f"vm-{number:04d}",
        state="running",
        id=number + 1,
        persistent=True,
        autostart=number % 2 == 0,
        memory_bytes=2**31,
        max_memory_bytes=2**32,
        vcpus=2,
        disks=(Disk("vda", source=f"/var/lib/libvirt/images/vm-{number:04d}.qcow2"),),
        nics=(Nic(f"52:54:00:00:{number // 256:02x}:{number % 256:02x}", "network", "default"),),
    )


def _sample(number: int, tick: int) -> DomainSample:
    """Every declared column filled, every counter moving."""
    names = [field.name for field in fields(DomainSample)]
    values = {
        name: (number + 1) * 1_000_003 + tick * 48_611 * (position + 1)
        for position, name in enumerate(names)
    }
    return DomainSample(**values)


def _scan(domains: dict[str, Domain], tick: int) -> Scan:
    samples = {uuid: _sample(number, tick) for number, uuid in enumerate(domains)}
    return Scan(
        at_ms=1_777_627_800_000 + tick * _TICK_MS,
        took_ms=200,
        ok=True,
        host_sample=HostSample(cpu_idle_ns=tick),
        domains=domains,
        domain_samples=samples,
    )


def run() -> Iterator[str]:
    """Median time and bytes of a tick in which nothing but the measurements changed."""
    with tempfile.TemporaryDirectory() as text:
        path = Path(text, "npvirt.sqlite")
        store = Store.open(path)
        recorder = Recorder(store, add_host(store, "kvm-01", Connection()), _TICK_MS)
        domains = {domain.uuid: domain for domain in map(_domain, range(DOMAINS))}
        recorder.record(_scan(domains, 0))
        fleet(store, None)
        took, written, built, bare = [], [], [], []
        reference = _Bare(Path(text, "bare.sqlite"))
        wal = path.with_name(f"{path.name}-wal")
        for tick in range(1, ROUNDS):
            scan = _scan(domains, tick)
            with store.writing() as connection:
                connection.exec_driver_sql("SELECT 1")
            _truncate(store)
            started = time.perf_counter()
            recorder.record(scan)
            took.append(time.perf_counter() - started)
            written.append(wal.stat().st_size)
            bare.append(reference.tick(scan))
            started = time.perf_counter()
            fleet(store, None)
            built.append(time.perf_counter() - started)
        store.close()
    columns = len(fields(DomainSample))
    yield (
        f"a tick of {DOMAINS} domains x {columns} columns: {_ms(took)} (target 5), "
        f"{statistics.median(written) / 1024:.0f} KiB to the log (target 256)"
    )
    yield f"the same rows into a bare SQLite table in the same run: {_ms(bare)}"
    yield f"the fleet of {DOMAINS} domains anew after it: {_ms(built)}"


class _Bare:
    """The same sample rows through Python's sqlite3 alone: what no store can be faster than."""

    def __init__(self, path: Path) -> None:
        names = [field.name for field in fields(DomainSample)]
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        columns = ", ".join(f"{name} INTEGER" for name in names)
        self._connection.execute(
            f"CREATE TABLE sample (ts INTEGER, entity INTEGER, {columns}, PRIMARY KEY (ts, entity))"
            " STRICT, WITHOUT ROWID"
        )
        self._insert = f"INSERT INTO sample VALUES ({', '.join('?' * (len(names) + 2))})"

    def tick(self, scan: Scan) -> float:
        """Seconds that it takes to write the samples of `scan`, ready as rows, and commit."""
        measured = (scan.domain_samples or {}).values()
        rows = [(scan.at_ms, n, *astuple(sample)) for n, sample in enumerate(measured)]
        started = time.perf_counter()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(self._insert, rows)
        self._connection.execute("COMMIT")
        took = time.perf_counter() - started
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return took


def _truncate(store: Store) -> None:
    """Empty the write-ahead log, so that its size is what the next transaction writes."""
    raw = store._writer.raw_connection()
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()


def _ms(seconds: list[float]) -> str:
    return f"median {1000 * statistics.median(seconds):.1f}, least {1000 * min(seconds):.1f} ms"
