"""Where a new VM fits, when that fills what it is put on, and what breaks when a host is lost."""

import pytest
from msgspec.structs import replace

from app.capacity.losses import losses
from app.capacity.outlook import outlooks
from app.capacity.overcommit import overcommit
from app.capacity.placement import Wish, place, wish
from app.clock import DAY_MS
from app.errors import InvalidField
from tests.capacity_support import (
    AT_MS,
    GIB,
    a_domain,
    a_host,
    a_pool,
    a_volume,
    days_of,
    evidence_of,
)


def test_a_host_that_does_not_answer_is_neither_full_nor_free() -> None:
    pools = (a_pool("images", "kvm-01", known=False),)
    seen = evidence_of(hosts=(a_host(known=False),), pools=pools, domains=(a_domain(),))
    assert overcommit(seen)[0].verdict == "not-judged"
    assert overcommit(seen)[0].memory_ratio == pytest.approx(8 / 64)
    (fit,) = place(seen, wish(1, GIB, GIB), outlooks(seen)).fits
    assert (fit.verdict, fit.room) == ("not-judged", 0)
    assert fit.disk_left_bytes is fit.memory_left_bytes is None
    assert [one.known for one in outlooks(seen)] == [False, False, False, False]


def test_what_fits_says_what_is_left_and_what_runs_out_first() -> None:
    seen = evidence_of(domains=(a_domain(),))
    found = place(seen, wish(4, 8 * GIB, 100 * GIB, 10), outlooks(seen))
    (fit,) = found.fits
    assert (fit.verdict, fit.room, fit.limited_by) == ("fits", 6, "disk")
    assert fit.memory_left_bytes == 48 * GIB
    assert fit.disk_left_bytes == 500 * GIB
    assert (fit.vcpus_per_cpu, fit.pool_share_after) == (0.5, 0.5)
    assert found.placed == fit.placed == 6
    (fit,) = place(seen, wish(4, 57 * GIB, GIB), outlooks(seen)).fits
    assert (fit.verdict, fit.reasons, fit.room) == ("does-not-fit", ("memory",), 0)
    (fit,) = place(seen, wish(45, GIB), outlooks(seen)).fits
    assert (fit.reasons, fit.pool) == (("vcpus",), "")
    (fit,) = place(replace(seen, pools=()), wish(1, GIB, GIB), outlooks(seen)).fits
    assert (fit.verdict, fit.reasons) == ("does-not-fit", ("no-pool",))


def test_what_fits_today_but_fills_the_pool_soon_is_said() -> None:
    filling = a_pool(allocation=days_of(282.0 * GIB, 2.0 * GIB))
    seen = evidence_of(pools=(filling,))
    (fit,) = place(seen, wish(1, GIB, 450 * GIB), outlooks(seen)).fits
    assert (fit.verdict, fit.reasons) == ("fits-now", ("full-soon",))
    assert fit.full_after_ms is not None
    # Today 400 GiB are taken, and 450 more leave 150 for 2 a day.
    assert (fit.full_after_ms - AT_MS) / DAY_MS == pytest.approx(75, abs=1.5)


def test_hosts_that_share_a_storage_use_it_up_together() -> None:
    nas = {"type": "netfs", "source": "nas:/export"}
    pools = (a_pool("a", "kvm-01", **nas), a_pool("b", "kvm-02", **nas))
    seen = evidence_of(hosts=(a_host(), a_host("kvm-02")), pools=pools)
    found = place(seen, wish(1, GIB, 200 * GIB, 10), outlooks(seen))
    assert [fit.room for fit in found.fits] == [3, 3]
    assert found.placed == 3


def test_what_breaks_when_a_host_is_lost() -> None:
    big = [a_domain(f"big-{n}", memory_bytes=20 * GIB) for n in range(3)]
    small = [a_domain("small", "kvm-02", memory_bytes=8 * GIB)]
    hosts = (a_host(), a_host("kvm-02"), a_host("kvm-03", known=False))
    volume = a_volume("a", users=1)
    big[0] = replace(big[0], volumes=(volume[0],))
    found = losses(evidence_of(hosts=hosts, domains=(*big, *small), volumes=dict([volume])))
    assert found[0].host == "kvm-01"
    assert (found[0].without_place, found[0].breaks) == (("big-2",), "memory")
    assert found[0].local == ("big-0",)
    assert {one.host: one.without_place for one in found[1:]} == {
        "kvm-02": ("small",),
        "kvm-03": (),
    }
    assert {one.host: one.known for one in found}["kvm-03"] is False


@pytest.mark.parametrize(
    ("vcpus", "memory", "disk", "count", "field"),
    [
        (0, GIB, 0, 1, "vcpus"), (1, 0, 0, 1, "memory_bytes"), (1, GIB, -1, 1, "disk_bytes"),
        (1, GIB, 0, 0, "count"), (1, GIB, 0, 1001, "count"), (1, 1 << 61, 0, 1, "memory_bytes"),
    ],
)  # fmt: skip
def test_a_wish_that_makes_no_sense_is_refused(
    vcpus: int, memory: int, disk: int, count: int, field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        wish(vcpus, memory, disk, count)
    assert refused.value.field == field
    assert wish(1, GIB) == Wish(1, GIB, 0, 1)
