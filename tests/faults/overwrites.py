"""Random bytes over the pages of a filled store: is every one found that changes what is told?

Harmless is what lies where nothing is: all rows, read by tables and by indexes, are as before.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.access import COMMAND_LINE, Principal
from app.clock import DAY_MS
from app.connection import Connection
from app.errors import StoreError
from app.inventory import Definition, Domain, DomainSample, Host, HostSample, Pool, PoolSample, Scan
from app.store.audit import Attempt, conclude, intend, note
from app.store.compaction import Compactor
from app.store.credentials import add_credential
from app.store.engine import Store
from app.store.hosts import add_host
from app.store.record import Recorder
from app.store.retention import Lengths, Retention
from app.store.sessions import begin_session
from app.store.tokens import add_token
from app.store.users import add_user
from app.store.verify import verify
from tests.faults.proof import Proof, Tally
from tests.faults.store import Injected, fold, overwrite, random_overwrites

_START = 20_575 * DAY_MS
_STEP_MS = 30 * 60_000
_LENGTHS = Lengths(2 * DAY_MS, 4 * DAY_MS, 20 * DAY_MS, 40 * DAY_MS, 60 * DAY_MS)
LENGTH = 64


def fill(path: Path, days: int = 6) -> None:
    """Make a store with something in every table: days that are packed and a day that is not."""
    store = Store.open(path)
    data = path.parent
    key = data / "key"
    key.write_text("a key")
    add_credential(store, data, "ops", "ssh-key", path=key)
    users = [add_user(store, f"user-{n}", "viewer", None) for n in range(2)]
    for user in users:
        begin_session(store, user, "192.0.2.7", "a browser")
        add_token(store, f"token-{user.name}", "viewer", created_by=user.name)
    hosts = [
        add_host(store, slug, Connection(transport="ssh", host=f"{slug}.test", user="ops"))
        for slug in ("kvm-01", "kvm-02")
    ]
    with store.writing() as connection:
        connection.exec_driver_sql(f"UPDATE host SET created_at_ms = {_START - 60_000}")
    for position, host in enumerate(hosts):
        recorder = Recorder(store, host, _STEP_MS)
        for number in range(days * DAY_MS // _STEP_MS):
            recorder.record(_scan(_START + number * _STEP_MS + position, number, position))
    for number in range(40):
        attempt = Attempt(
            Principal("user", "ada", "admin"), "192.0.2.7", "suspend", "domain", hosts[0].id,
            "kvm-01", f"uuid-{number}", f"vm-{number}", {"expect_state": "running"}, str(number),
        )  # fmt: skip
        intent = intend(store, attempt)
        assert intent is not None
        conclude(store, intent, "ok", took_ms=number)
    note(store, Attempt(COMMAND_LINE, "", "scan", "host"), "ok")
    now_ms = _START + days * DAY_MS
    for work in (Compactor(store), Retention(store, _LENGTHS)):
        while work.step(now_ms, 10.0):
            pass
    store.close()
    # Without free pages, so that there is nothing where it does not matter.
    plain = sqlite3.connect(path)
    plain.execute("VACUUM")
    plain.close()
    fold(path)


def _scan(at_ms: int, number: int, position: int) -> Scan:
    domains = {
        f"{position}-{n}": Domain(
            uuid=f"{position}-{n}", name=f"vm-{position}-{n}", vcpus=2, id=n + 1,
            state="running" if (number // 40 + n) % 5 else "paused", memory_bytes=2**30,
            title="words " * (number // 60 % 4),
        )
        for n in range(12)
    }  # fmt: skip
    samples = {
        key: DomainSample(
            cpu_time_ns=(number + 1) * 10**9 + n, memory_bytes=2**30,
            memory_usable_bytes=2**29 + number * 4096 + n, disk_read_bytes=number * 4096 * (n + 1),
            net_rx_packets=number * n,
        )
        for n, key in enumerate(domains)
    }  # fmt: skip
    return Scan(
        at_ms=at_ms, took_ms=10 + number % 7, ok=True,
        host=Host(uri="qemu+ssh://kvm", cpus=4),
        host_sample=HostSample(cpu_user_ns=number * 10**9, cpu_idle_ns=number * 10**10),
        domains=domains, domain_samples=samples,
        definitions={key: Definition(inactive_xml=f"<a>{key * 40}</a>") for key in domains},
        pools={"p": Pool(uuid="p", name="images", state="running")},
        pool_samples={"p": PoolSample(capacity_bytes=2**40, allocation_bytes=2**30 + number)},
    )  # fmt: skip


def _told(path: Path) -> Any:
    """All that the store can tell, by its tables and by its indexes; the error where it cannot."""
    try:
        connection = sqlite3.connect(path)
        connection.text_factory = bytes
        try:
            return list(_rows(connection))
        finally:
            connection.close()
    except sqlite3.Error as error:
        return str(error)


def _rows(connection: sqlite3.Connection) -> Iterator[Any]:
    schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
    yield schema
    for type_, name, table, _ in schema:
        quoted = table.decode()
        if type_ == b"table":
            info = connection.execute(f'PRAGMA table_info("{quoted}")').fetchall()
            names = [row[1].decode() for row in info if row[1] != b"crc"]
            shown = ", ".join(f'"{column}"' for column in names)
            yield connection.execute(f'SELECT {shown} FROM "{quoted}"').fetchall()
        elif type_ == b"index":
            info = connection.execute(f'PRAGMA index_info("{name.decode()}")').fetchall()
            order = ", ".join(f'"{row[2].decode()}"' for row in info)
            query = f'SELECT {order} FROM "{quoted}" INDEXED BY "{name.decode()}" ORDER BY {order}'
            try:
                yield connection.execute(query).fetchall()
            except sqlite3.OperationalError as error:
                # Of a partial index SQLite knows no such use.
                if "no query solution" not in str(error):
                    raise


def finds(path: Path) -> list[str]:
    """What npvirt finds wrong: at the start, or when it looks at all of the store."""
    try:
        store = Store.open(path)
    except StoreError as error:
        return [str(error)]
    try:
        return verify(store).wrong
    finally:
        store.close()


def _remove(path: Path) -> None:
    for file in (path, *path.parent.glob(f"{path.name}-*")):
        file.unlink(missing_ok=True)


def _sqlite_finds(path: Path) -> list[str]:
    """What SQLite finds by itself: a store without npvirt's checksums."""
    try:
        connection = sqlite3.connect(path)
        try:
            rows = connection.execute("PRAGMA integrity_check").fetchall()
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return [str(error)]
    return [] if rows == [("ok",)] else [str(rows[0][0])]


def _prove(tally: Tally) -> None:
    """Put random bytes over places of a filled store, one after the other, each in a sound copy."""
    look = _sqlite_finds if tally.plant == "no-checksums" else finds
    count, seed = tally.of(brief=30, ci=100, long=5000), 20_261_128
    found = harmless = 0
    missed, injected = [], Injected()
    with tempfile.TemporaryDirectory(prefix="npvirt-overwrites-") as directory:
        sound, path = Path(directory, "sound.sqlite"), Path(directory, "npvirt.sqlite")
        fill(sound)
        before = _told(sound)
        tally.check(not isinstance(before, str), f"the sound store cannot be read: {before}")
        shutil.copyfile(sound, path)
        tally.check(not look(path), f"of the sound store is said: {look(path)}")
        _remove(path)
        for offset, body in random_overwrites(sound, count, seed, LENGTH):
            shutil.copyfile(sound, path)
            if tally.left_s() <= 0:
                break
            overwrite(path, offset, body, injected)
            tally.attempts += 1
            tally.checks += 1
            if look(path):
                found += 1
            elif _told(path) == before:
                harmless += 1
            else:
                missed.append(f"{len(body)} bytes at {offset} (seed {seed})")
            _remove(path)
    tally.injected["overwrite of 64 bytes"] = injected.count
    tally.note(f"{found} found, {harmless} harmless")
    tally.check(not missed, f"{len(missed)} missed, the first: {missed[:1]}")
    tally.check(found >= tally.attempts // 4, f"only {found} overwrites did any harm")


PROOF = Proof(
    "overwrites",
    "bytes that are others on the disk are found wherever they change what is told",
    _prove,
    plants={"no-checksums": "a store that only SQLite's own check looks at"},
    cheap=("no-checksums",),
)
