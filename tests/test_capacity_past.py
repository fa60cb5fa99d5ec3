"""What was foretold at a past moment stays as it was, whatever is put together afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from app.capacity.daily import Daily
from app.capacity.evidence import DomainUse, Evidence
from app.clock import DAY_MS, HOUR_MS, MINUTE_MS, rfc3339
from app.inventory import Pool, PoolSample
from app.store import schema
from app.store.capacity import evidence
from app.store.capacity_days import pool_days
from app.store.compaction import Compactor
from app.store.engine import Store
from app.store.record import Recorder
from app.store.retention import Lengths, Retention
from tests.storing import a_host
from tests.test_compaction import FIRST_DAY, START, a_scan, work
from tests.test_store_file import go_back_to
from tests.web_support import Web, make_web

GIB = 1 << 30
DAYS = 30
TODAY = FIRST_DAY + DAYS
MIDNIGHT_MS = TODAY * DAY_MS
EVERY_MS = 6 * HOUR_MS
ADDRESSES = (
    "/ui/pools", "/ui/capacity", "/api/v1/capacity", "/api/v1/capacity?format=csv&table=outlook",
    "/api/v1/capacity?format=csv&table=growth&by=pool", "/api/v1/pools",
)  # fmt: skip


@pytest.fixture
def past(tmp_path: Path) -> Iterator[tuple[Path, Recorder]]:
    """Thirty days of a pool that fills, the last of which is not put together, and grew most."""
    web = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC")
    recorder = Recorder(web.store, a_host(web.store, "kvm-01"), EVERY_MS)
    for number in range(4 * DAYS):
        if number == 4 * (DAYS - 1) + 1:
            work(Compactor(web.store), MIDNIGHT_MS - 20 * HOUR_MS)
        size = (300 + 2 * number + (40 if number >= 4 * (DAYS - 1) else 0)) * GIB
        recorder.record(
            replace(
                a_scan(START + number * EVERY_MS, number),
                pool_samples={"p": PoolSample(1000 * GIB, size)},
            )
        )
    yield tmp_path / "var", recorder
    web.store.close()


def ask(web: Web, at_ms: int) -> dict[str, str]:
    return {
        address: web.text(f"{address}{'&' if '?' in address else '?'}at={rfc3339(at_ms)}")
        for address in ADDRESSES
    }


def asked_anew(path: Path, at_ms: int) -> dict[str, str]:
    """What is told by a process that was never asked before."""
    web = make_web(path, NPVIRT_TIMEZONE="UTC")
    try:
        return ask(web, at_ms)
    finally:
        web.store.close()


def end_day(store: Store, at_ms: int) -> int:
    """The day before which days count at a moment."""
    return evidence(store, at_ms).pools[0].allocation.end_day


def pools(store: Store, at_ms: int) -> list[Daily]:
    """The days of all pools that there ever were, as read anew."""
    table = schema.entity
    with store.reading() as connection:
        found = connection.scalars(sa.select(table.c.id).where(table.c.kind == "pool")).all()
    return list(pool_days(store, at_ms, found).values())


def test_a_day_counts_from_an_hour_after_its_end_on(past: tuple[Path, Recorder]) -> None:
    path, _ = past
    web = make_web(path, NPVIRT_TIMEZONE="UTC")
    for at_ms in (MIDNIGHT_MS, MIDNIGHT_MS + 5 * MINUTE_MS, MIDNIGHT_MS + 20 * MINUTE_MS):
        assert ">in " in ask(web, at_ms)["/ui/pools"]
        assert end_day(web.store, at_ms) == TODAY - 1
    told = ask(web, MIDNIGHT_MS + 5 * MINUTE_MS)
    work(Compactor(web.store), MIDNIGHT_MS + 20 * MINUTE_MS)
    assert asked_anew(path, MIDNIGHT_MS + 5 * MINUTE_MS) == told
    # Later that day it counts, as it does for the report of a month that ends there.
    assert end_day(web.store, MIDNIGHT_MS + 2 * HOUR_MS) == TODAY
    found = evidence(web.store, MIDNIGHT_MS, every_day=True)
    assert found.pools[0].allocation.end_day == TODAY
    web.store.close()


def test_a_day_that_is_put_together_late_counts_from_then_on(past: tuple[Path, Recorder]) -> None:
    path, _ = past
    web = make_web(path, NPVIRT_TIMEZONE="UTC")
    then_ms, late_ms = MIDNIGHT_MS + 3 * HOUR_MS, MIDNIGHT_MS + 30 * HOUR_MS
    told = ask(web, then_ms)
    compactor = Compactor(web.store)
    # While it is being put together as well.
    while compactor.step(late_ms, 0.0):
        assert [one.end_day for one in pools(web.store, then_ms)] == [TODAY - 1]
    assert asked_anew(path, then_ms) == told
    assert end_day(web.store, late_ms - MINUTE_MS) == TODAY - 1
    assert end_day(web.store, late_ms + HOUR_MS) == TODAY
    assert evidence(web.store, then_ms, every_day=True).pools[0].allocation.end_day == TODAY
    web.store.close()


def test_what_was_put_together_again_is_told_of_before_as_it_was(
    past: tuple[Path, Recorder],
) -> None:
    path, recorder = past
    web = make_web(path, NPVIRT_TIMEZONE="UTC")
    work(Compactor(web.store), MIDNIGHT_MS + 20 * MINUTE_MS)
    then_ms, again_ms = MIDNIGHT_MS + 2 * HOUR_MS, MIDNIGHT_MS + 3 * HOUR_MS
    told, seen = ask(web, then_ms), evidence(web.store, then_ms)
    # A look at the host that began before midnight was over hours later, and found another pool.
    scan = a_scan(MIDNIGHT_MS - 10 * MINUTE_MS, 4 * DAYS)
    recorder.record(
        replace(
            scan, took_ms=150 * MINUTE_MS,
            pools={**(scan.pools or {}), "q": Pool(uuid="q", name="more", state="running")},
            pool_samples={"p": PoolSample(1000 * GIB, 900 * GIB), "q": PoolSample(9 * GIB, GIB)},
        )
    )  # fmt: skip
    work(Compactor(web.store), again_ms)
    anew = asked_anew(path, then_ms)
    # The page's little charts are of samples, which are told as they are.
    del anew["/ui/pools"], told["/ui/pools"]
    assert anew == told
    other = Store.open(path / "npvirt.sqlite")
    assert same(evidence(other, then_ms), seen)
    assert pools(other, then_ms) == [seen.pools[0].allocation]
    later = {pool.name: pool for pool in evidence(other, again_ms + HOUR_MS).pools}
    assert later["images"].allocation.at(TODAY - 1) == 900 * GIB
    assert later["more"].allocation.at(TODAY - 1) == GIB
    other.close()
    web.store.close()


def same(one: Evidence, other: Evidence) -> bool:
    """Whether both tell the same days."""

    def days(seen: Evidence) -> list[object]:
        uses: list[DomainUse | None] = [domain.use for domain in seen.domains]
        return [seen.first_day, seen.hosts, [pool.allocation for pool in seen.pools], uses]

    return days(one) == days(other)


def test_moments_before_this_was_kept_go_by_the_days_that_they_went_by(
    past: tuple[Path, Recorder],
) -> None:
    path, _ = past
    web = make_web(path, NPVIRT_TIMEZONE="UTC")
    work(Compactor(web.store), MIDNIGHT_MS + 20 * MINUTE_MS)
    moments = (MIDNIGHT_MS - 5 * DAY_MS + 2 * HOUR_MS, MIDNIGHT_MS + 2 * HOUR_MS)
    web.store.close()
    go_back_to(path / "npvirt.sqlite", "0011")
    store = Store.open(path / "npvirt.sqlite")
    assert [end_day(store, at_ms) for at_ms in moments] == [TODAY - 5, TODAY]
    store.close()


def test_what_is_kept_of_days_goes_with_them(past: tuple[Path, Recorder]) -> None:
    path, _ = past
    store = Store.open(path / "npvirt.sqlite")
    work(Compactor(store), MIDNIGHT_MS + 30 * HOUR_MS)

    def late() -> int | None:
        with store.reading() as connection:
            table = schema.late_day
            query = sa.select(sa.func.count()).where(table.c.day < TODAY - 11)
            found: int | None = connection.scalar(query.select_from(table))
            return found

    assert late()
    long_ms = 400 * DAY_MS
    work(Retention(store, Lengths(long_ms, long_ms, long_ms, long_ms, 10 * DAY_MS)), MIDNIGHT_MS)
    assert not late()
    store.close()
