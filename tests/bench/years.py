"""Two years in the default tiers: what they take, and what pages cost over them.

Everything is made up and measured for a share of the objects, and told for 50 hosts, 1,000
domains and 100 pools in proportion; what is made up has the entropy of the real thing (every
byte and microsecond counts), and scans are a minute apart throughout.
"""

import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import sqlalchemy as sa
from msgspec.structs import fields

from app.clock import now_ms
from app.demo.build import build
from app.demo.plan import Plan
from app.demo.play import Look, Play
from app.demo.spans import Keep
from app.inventory import DomainSample
from app.metrics import METRICS
from app.settings import load
from app.store import schema
from app.store.codec import decode, encode
from app.store.demonstration import Mark, write_mark
from app.store.engine import Store, store_path
from app.store.fill import filling
from app.store.hosts import add_host, list_hosts
from app.store.record import Recorder
from tests.demo_support import demo_web

HOSTS, DOMAINS, POOLS, DAYS = 50, 1000, 100, 730
_SHARE = Plan(0, hosts=2, domains=40, days=DAYS)
_BASE = frozenset(
    ("cpu_time_ns", "memory_bytes", "memory_unused_bytes", "memory_rss_bytes", "disk_read_bytes",
     "disk_write_bytes", "net_rx_bytes", "net_tx_bytes")
)  # fmt: skip
_GB = 1e9
# Series of domains that are in keyframes; events are not.
_IN_KEYFRAMES = 9
_ROUNDS = 25
_ADDRESSES = ("/", "/domains?per_page=100", "/hosts", "/pools")


def run() -> Iterator[str]:
    """Sizes by what is kept, and page times beside a store without history."""
    plan = Plan(now_ms(), _SHARE.hosts, _SHARE.domains, _SHARE.days)
    with tempfile.TemporaryDirectory() as text:
        years, empty = Path(text, "years"), Path(text, "empty")
        started_s = time.monotonic()
        _make(years, plan)
        yield (
            f"made up {plan.hosts} hosts, {plan.domains} domains, {plan.days} days in "
            f"{time.monotonic() - started_s:.0f} s"
        )
        yield from _sizes(years, plan)
        shutil.copytree(years, empty, ignore=shutil.ignore_patterns("*.sqlite*"))
        _make_empty(empty, plan)
        yield from _pages(years, empty, plan)


def _make(data: Path, plan: Plan) -> None:
    data.mkdir()
    store = Store.open(store_path(load({"NPVIRT_DATA": str(data)})))
    build(store, plan, Keep(seldom=1, fine=True))
    store.close()
    write_mark(data, Mark(plan.end_ms, plan.hosts, plan.domains, plan.days, plan.seed, whole=True))


# --- sizes ---------------------------------------------------------------------------------


def _sizes(data: Path, plan: Plan) -> Iterator[str]:
    path = data / "npvirt.sqlite"
    pages = _pages_of(path)
    store = Store.open(path)
    with store.reading() as connection:
        found = _counts(connection)
        base = _base_share(connection)
        bodies = _chunk_bytes(connection)
    store.close()
    per_byte = pages["chunk"] / sum(bodies.values())
    scale = {
        "host": HOSTS / plan.hosts, "domain": DOMAINS / plan.domains, "pool": POOLS / found["pool"],
        "volume": DOMAINS / plan.domains,
    }  # fmt: skip
    chunks = {kind: size * per_byte * scale[kind] for kind, size in bodies.items()}
    daily = {kind: pages[f"daily_{kind}"] * scale[kind] for kind in bodies}
    samples = {kind: pages[f"sample_{kind}"] * scale[kind] for kind in bodies}
    hosts = scale["host"]
    scans = sum(pages[name] for name in pages if name.startswith("scan")) * hosts
    keyframes = pages["keyframe"] * scale["domain"]
    facts = ("revision", "change", "entity")
    told = sum(pages[name] for name in pages if name.startswith(facts)) * scale["domain"]
    whole = (
        sum(chunks.values()) + sum(samples.values()) + sum(daily.values()) + scans + keyframes
        + told
    )  # fmt: skip
    columns, metrics = len(fields(DomainSample)), sum(one.kind == "domain" for one in METRICS)
    less = (
        chunks["domain"] * (1 - base)
        + samples["domain"] * (1 - len(_BASE) / columns)
        + daily["domain"] * (1 - len(_BASE) / metrics)
        + keyframes * (1 - len(_BASE) / _IN_KEYFRAMES)
        + chunks["volume"] + samples["volume"] + daily["volume"]
    )  # fmt: skip
    for name, size in (
        ("chunks of domains, all 18 columns", chunks["domain"]),
        ("chunks of domains, 8 base columns", chunks["domain"] * base),
        ("chunks of hosts", chunks["host"]), ("chunks of pools", chunks["pool"]),
        ("chunks of volumes", chunks["volume"]), ("rows of the day", sum(daily.values())),
        ("samples", sum(samples.values())), ("scans", scans), ("keyframes", keyframes),
        ("inventory and changes", told),
    ):  # fmt: skip
        yield f"{name}: {size / _GB:.3f} GB"
    yield (
        f"{HOSTS} hosts, {DOMAINS:,} domains with 8 base columns, {POOLS} pools, {DAYS} days: "
        f"{(whole - less) / _GB:.2f} GB (at most 1.5); with every column and volumes "
        f"{whole / _GB:.2f} GB"
    )


def _pages_of(path: Path) -> Mapping[str, int]:
    """The bytes of each table and index."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rows = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
    finally:
        connection.close()
    return dict(rows)


def _counts(connection: sa.Connection) -> Mapping[str, int]:
    table = schema.entity
    query = sa.select(table.c.kind, sa.func.count()).where(table.c.last_seen_ms.is_(None))
    rows = connection.execute(query.group_by(table.c.kind)).all()
    return {row[0]: row[1] for row in rows}


def _chunk_bytes(connection: sa.Connection) -> dict[str, int]:
    chunk, entity = schema.chunk, schema.entity
    query = (
        sa.select(entity.c.kind, sa.func.sum(sa.func.length(chunk.c.body)))
        .join(entity, entity.c.id == chunk.c.id.op(">>")(32))
        .group_by(entity.c.kind)
    )
    return {row[0]: row[1] for row in connection.execute(query).all()}


def _base_share(connection: sa.Connection) -> float:
    """What part of domains' chunks the base columns are, by every fortieth chunk."""
    chunk, entity = schema.chunk, schema.entity
    query = (
        sa.select(chunk.c.body)
        .join(entity, entity.c.id == chunk.c.id.op(">>")(32))
        .where(entity.c.kind == "domain")
        .order_by(chunk.c.id)
    )
    whole = base = 0
    for place, body in enumerate(connection.execute(query).scalars()):
        if place % 40 == 0:
            whole += len(body)
            base += len(encode(decode(body, _BASE)))
    return base / whole


# --- pages ---------------------------------------------------------------------------------


def _make_empty(data: Path, plan: Plan) -> None:
    """The same fleet as it is in the end, looked at twice."""
    played = Play(plan)
    last: dict[str, Look] = {}
    for one in played.run():
        if isinstance(one, Look) and one.scan.ok:
            last[one.slug] = one
    store = Store.open(store_path(load({"NPVIRT_DATA": str(data)})))
    for slug, host in played.world.hosts.items():
        record = add_host(store, slug, host.site.connection)
        recorder = Recorder(store, record, 60_000)
        host.new_facts()
        scan = host.look(plan.end, plan.end_ms)
        with filling(store) as filler:
            filler.record(recorder, scan)
    store.close()


def _pages(years: Path, empty: Path, plan: Plan) -> Iterator[str]:
    """Each page drawn anew after a scan of every host, in turns over both stores."""
    webs = {"years": demo_web(years, plan), "empty": demo_web(empty, plan)}
    scanners = {
        name: [web.collector._scanner(view, 60_000) for view in list_hosts(web.store)]
        for name, web in webs.items()
    }
    for address in _ADDRESSES:
        times: dict[str, list[float]] = {name: [] for name in webs}
        for turn in range(_ROUNDS + 3):
            for name, web in webs.items():
                for scanner in scanners[name]:
                    scanner.scan(everything=False, again=(), next_at_ms=lambda ok: None)
                started_s = time.perf_counter()
                assert web.client.get(address).status_code == 200
                if turn >= 3:
                    times[name].append(1000 * (time.perf_counter() - started_s))
        mine, other = (statistics.median(times[name]) for name in ("years", "empty"))
        yield (
            f"{address}: {mine:.1f} ms over two years, {other:.1f} ms over an empty store, ratio "
            f"{mine / other:.2f} (at most 1.2)"
        )
    for web in webs.values():
        web.store.close()
