"""What it costs to see to rules of notifications with 50 hosts and 1,000 domains: a turn, which
comes every five seconds.

Twenty rules of all kinds, half of them narrowed to names. Processor time in this process; nothing
is found, so nothing is sent. After a scan the fleet has been read before, as pages share it.
"""

import statistics
from collections.abc import Iterator

import sqlalchemy as sa

from app.clock import DAY_MS, now_ms
from app.notification.values import RuleKind
from app.notifier.notifier import Notifier
from app.store import schema
from app.store.history import fleet
from app.store.notification_rules import RuleDraft, add_rule
from app.store.tiers import day_text
from tests.bench.metrics import DOMAINS, HOSTS, a_host, a_panel, took_ms
from tests.web_support import Web

ROUNDS = 20
_DAYS = 120
_KINDS: tuple[tuple[RuleKind, int | None], ...] = (
    ("host-unknown", 5), ("host-partial", 60), ("pool-full", 100), ("pool-filling", 14),
    ("domain-crashed", None), ("domain-io-error", None), ("change", None),
)  # fmt: skip


def run() -> Iterator[str]:
    """Milliseconds of each sort of turn."""
    with a_panel() as web:
        yield from _figures(web)


def _figures(web: Web) -> Iterator[str]:
    scans = [a_host(web, number) for number in range(HOSTS)]
    for scan in scans:
        scan(600)
    pools = _days(web)
    for number in range(20):
        kind, threshold = _KINDS[number % len(_KINDS)]
        names = "app-* web-? db*" if number % 2 else ""
        whats = ("autostart",) if kind == "change" else ()
        draft = RuleDraft(
            f"rule {number}", kind, threshold=threshold, whats=whats, objects=names
        )  # fmt: skip
        add_rule(web.store, draft, "ada")
    notifier = Notifier(web.settings, web.store)
    first = took_ms(notifier.turn)
    foretelling = [took_ms(notifier.turn) for _ in range(-(-pools // 8))]
    changed, unchanged = [], []
    for number in range(ROUNDS):
        scans[number](700 + number)
        fleet(web.store, None)
        changed.append(took_ms(notifier.turn))
        unchanged.append(took_ms(notifier.turn))
    notifier.stop()
    yield f"{HOSTS} hosts, {HOSTS * DOMAINS:,} domains, {pools} pools of {_DAYS} days, 20 rules"
    yield f"the first turn: {first:.1f} ms"
    for name, times in (
        ("while pools are foretold", foretelling),
        ("after a scan (at most 50)", changed),
        ("unchanged", unchanged),
    ):
        yield (
            f"{name}: {statistics.median(times):.1f} ms, least {min(times):.1f}, "
            f"most {max(times):.1f} ms"
        )


def _days(web: Web) -> int:
    """Days of the pools, each of which grows in its own way; how many pools."""
    today = now_ms() // DAY_MS
    with web.store.writing() as connection:
        table = schema.entity
        query = sa.select(table.c.id).where(table.c.kind == "pool")
        pools = connection.execute(query).scalars().all()
        rows = [
            {
                "day": day_text(today - ago), "entity": pool,
                "allocation_bytes_last": float((10 << 30) - ago * pool * (1 << 20)
                                               + (ago * 7919 * pool) % (1 << 26)),
            }
            for pool in pools
            for ago in range(1, _DAYS + 1)
        ]  # fmt: skip
        connection.execute(sa.insert(schema.dailies["pool"]), rows)
    return len(pools)
