"""What was foretold at a past moment stays as it was, whatever is put together afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from app.clock import DAY_MS, HOUR_MS, rfc3339
from app.inventory import PoolSample
from app.store.capacity import evidence
from app.store.compaction import Compactor
from app.store.record import Recorder
from tests.storing import a_host
from tests.test_compaction import FIRST_DAY, START, a_scan, work
from tests.web_support import Web, make_web

GIB = 1 << 30
DAYS = 30
TODAY = FIRST_DAY + DAYS
MIDNIGHT_MS = TODAY * DAY_MS
EVERY_MS = 6 * HOUR_MS
ADDRESSES = (
    "/ui/pools", "/ui/capacity", "/api/v1/capacity", "/api/v1/capacity?format=csv&table=outlook",
    "/api/v1/capacity?format=csv&table=growth&by=pool",
)  # fmt: skip


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Path]:
    """Thirty days of a pool that fills, the last of which is not put together, and grew most."""
    web = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC")
    recorder = Recorder(web.store, a_host(web.store, "kvm-01"), EVERY_MS)
    for number in range(4 * DAYS + 1):
        if number == 4 * (DAYS - 1) + 1:
            work(Compactor(web.store), MIDNIGHT_MS - 20 * HOUR_MS)
        size = (300 + 2 * number + (40 if number >= 4 * (DAYS - 1) else 0)) * GIB
        scan = a_scan(START + number * EVERY_MS, number)
        recorder.record(replace(scan, pool_samples={"p": PoolSample(1000 * GIB, size)}))
    yield tmp_path / "var"
    web.store.close()


def ask(web: Web, at_ms: int) -> dict[str, str]:
    return {
        address: web.text(f"{address}{'&' if '?' in address else '?'}at={rfc3339(at_ms)}")
        for address in ADDRESSES
    }


def test_what_was_foretold_stays_when_the_day_before_is_put_together(past: Path) -> None:
    before, after = (make_web(past, NPVIRT_TIMEZONE="UTC") for _ in range(2))
    for at_ms in (MIDNIGHT_MS, MIDNIGHT_MS + 5 * 60_000, MIDNIGHT_MS + 20 * 60_000):
        told = ask(before, at_ms)
        assert ">in " in told["/ui/pools"]
        assert evidence(before.store, at_ms).pools[0].allocation.end_day == TODAY - 1
    told = ask(before, MIDNIGHT_MS + 5 * 60_000)
    work(Compactor(before.store), MIDNIGHT_MS + 20 * 60_000)
    assert ask(after, MIDNIGHT_MS + 5 * 60_000) == told
    # Later that day it counts, as it does for the report of a month that ends there.
    for at_ms, every_day in ((MIDNIGHT_MS + 2 * HOUR_MS, False), (MIDNIGHT_MS, True)):
        found = evidence(after.store, at_ms, every_day=every_day)
        assert found.pools[0].allocation.end_day == TODAY
    for web in (before, after):
        web.store.close()
