"""What the list of changes costs: in a tick in which much changed, to read it once it is long, and
to tell what was before it.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from app.connection import Connection
from app.store import changes, schema
from app.store.changes import Wanted, count_by_what, latest
from app.store.engine import Store
from app.store.hosts import HostRecord, add_host
from app.store.record import Recorder
from app.store.walking import tell_older
from tests.bench.store import DOMAINS, _domain, _scan

CHANGES = 300_000
_HOSTS = 50
_TURNING = 100
_ROUNDS = 20
_BASE_MS = 1_777_627_800_000
_TWO_YEARS_MS = 730 * 86_400_000
_WHATS = ("started", "stopped", "memory", "vcpus", "snapshot-taken", "disk-changed", "paused",
          "resumed", "definition-changed", "created")  # fmt: skip


def run() -> Iterator[str]:
    """The figures, a line each."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store.open(Path(directory) / "npvirt.sqlite")
        host = add_host(store, "kvm-01", Connection())
        yield from _ticks(store, host)
        yield from _walk(store, host)
        store.close()
    with tempfile.TemporaryDirectory() as directory:
        store = Store.open(Path(directory) / "npvirt.sqlite")
        _fill(store)
        yield from _reading(store)
        store.close()


def _ticks(store: Store, host: HostRecord) -> Iterator[str]:
    """Ticks in which a tenth of the domains stopped or started."""
    recorder = Recorder(store, host, 60_000)
    running = {domain.uuid: domain for domain in map(_domain, range(DOMAINS))}
    recorder.record(_scan(running, 0))
    took = []
    for tick in range(1, _ROUNDS + 1):
        turned = dict(running)
        for uuid in list(running)[:_TURNING] if tick % 2 else ():
            turned[uuid] = replace(running[uuid], state="shutoff", state_reason="shutdown", id=None)
        scan = _scan(turned, tick)
        started = time.perf_counter()
        recorder.record(scan)
        took.append(1000 * (time.perf_counter() - started))
    yield (
        f"a tick of {DOMAINS} domains of which {_TURNING} turned: median "
        f"{statistics.median(took):.1f}, least {min(took):.1f} ms"
    )


def _walk(store: Store, host: HostRecord) -> Iterator[str]:
    """The same told again by the walk over the revisions."""
    with store.writing() as connection:
        connection.execute(schema.change.delete())
        connection.execute(
            schema.change_walk.insert().values(host_id=host.id, next_ms=0, until_ms=2**62)
        )
    slices = []
    while True:
        started = time.perf_counter()
        more = tell_older(store)
        slices.append(1000 * (time.perf_counter() - started))
        if not more:
            break
    yield (
        f"{_ROUNDS * _TURNING} changes told by the walk over {_ROUNDS} scans: "
        f"{sum(slices):.0f} ms in {len(slices)} slices, the longest {max(slices):.0f} ms"
    )


def _fill(store: Store) -> None:
    chance = random.Random(1)
    for number in range(_HOSTS):
        add_host(store, f"kvm-{number:02d}", Connection(transport="ssh", host=f"h{number}.test"))
    keys = [f"00000000-0000-4000-8000-{number:012d}" for number in range(DOMAINS)]
    times = sorted(_BASE_MS + chance.randrange(_TWO_YEARS_MS) for _ in range(CHANGES))
    rows = []
    for at_ms in times:
        number = chance.randrange(DOMAINS)
        rows.append(
            {"at_ms": at_ms, "after_ms": at_ms - 60_000, "host_id": 1 + number % _HOSTS,
             "entity_id": number + 1, "kind": "domain", "key": keys[number],
             "name": f"vm-{number:04d}", "what": chance.choice(_WHATS), "old": "running",
             "new": "shutdown"}
        )  # fmt: skip
    with store.writing() as connection:
        connection.execute(
            schema.entity.insert(),
            [{"id": n + 1, "host_id": 1 + n % _HOSTS, "kind": "domain", "key": key,
              "first_seen_ms": _BASE_MS} for n, key in enumerate(keys)],
        )  # fmt: skip
        connection.execute(schema.change.insert(), rows)


def _reading(store: Store) -> Iterator[str]:
    past = _BASE_MS + _TWO_YEARS_MS // 2
    scope = frozenset((3, 4, 5))
    asked: tuple[tuple[str, Callable[[], object]], ...] = (
        ("the newest 8", lambda: latest(store, Wanted(), 8)),
        ("the newest 8 of a year ago", lambda: latest(store, Wanted(as_of_ms=past), 8)),
        ("the newest 8 of three hosts", lambda: latest(store, Wanted(host_ids=scope), 8)),
        ("the newest 8 of a VM, and how many", lambda: changes.changes(
            store, Wanted(entity_id=77), limit=8)),
        ("a page, counted anew", lambda: changes.changes(store, Wanted(), limit=100)),
        ("the counts of every word", lambda: count_by_what(store, Wanted(as_of_ms=past))),
        ("a step", lambda: changes.step(store, past, "next")),
    )  # fmt: skip
    for name, ask in asked:
        took = []
        for _ in range(_ROUNDS):
            # As after a change: counts are kept until then.
            changes._stores.pop(store, None)
            started = time.perf_counter()
            ask()
            took.append(1000 * (time.perf_counter() - started))
        yield f"of {CHANGES} changes, {name}: median {statistics.median(took):.1f} ms"
