"""What can be taken back: what is idle, off, unused, old or larger than needed, and what is not."""

import pytest
from msgspec.structs import replace

from app.capacity.evidence import DomainEvidence, SnapshotEvidence, VolumeEvidence
from app.capacity.reclaim import Finding, freed, reclaimable
from app.capacity.rightsizing import larger_than_needed, rounded_up
from app.clock import DAY_MS
from tests.capacity_support import (
    AT_MS,
    GIB,
    TODAY,
    a_domain,
    a_pool,
    a_use,
    a_volume,
    days_of,
    evidence_of,
    found_in,
)


@pytest.mark.parametrize(
    ("domain", "idle"),
    [
        (a_domain(use=a_use(0.005, moved=100)), True),
        (a_domain(use=a_use(0.02, moved=100)), False),
        (a_domain(use=a_use(0.005, moved=5000)), False),
        (a_domain(use=a_use(0.005, moved=100, days=20)), False),
        (a_domain(use=a_use(0.005, moved=100), first_seen_ms=(TODAY - 20) * DAY_MS), False),
        (a_domain(use=a_use(0.005, moved=100), active=False, state="paused"), False),
        (a_domain(use=None), False),
    ],
)
def test_idle_is_what_did_nothing_for_thirty_days(domain: DomainEvidence, *, idle: bool) -> None:
    assert (found_in(evidence_of(pools=(), domains=(domain,))) == [("idle-domain", "app")]) is idle


def test_what_was_not_measured_is_not_known_to_be_idle() -> None:
    use = a_use(0.0, moved=0)
    silent = replace(use, cpu_p95=[None] * 40)
    assert found_in(evidence_of(pools=(), domains=(a_domain(use=silent),))) == []
    unmoved = replace(use, disk_bytes_per_s=[None] * 40, net_bytes_per_s=[None] * 40)
    assert found_in(evidence_of(pools=(), domains=(a_domain(use=unmoved),))) == []


def test_a_domain_that_is_off_frees_what_is_its_own_on_disk() -> None:
    mine, shared, base = (
        a_volume("a", users=1), a_volume("b", users=2), a_volume("base", users=1, overlays=3),
    )  # fmt: skip
    domain = a_domain(
        active=False, state="shutoff", off_since_ms=(TODAY - 143) * DAY_MS,
        volumes=(mine[0], shared[0], base[0]),
    )  # fmt: skip
    seen = evidence_of(domains=(domain,), volumes=dict((mine, shared, base)))
    (found,) = reclaimable(seen)
    assert (found.kind, found.frees_disk_bytes) == ("domain-off", 5 * GIB)
    assert found.since_ms == (TODAY - 143) * DAY_MS
    lately = replace(domain, off_since_ms=(TODAY - 6) * DAY_MS)
    assert reclaimable(replace(seen, domains=(lately,))) == []
    unknown = replace(domain, volumes=(mine[0], ("kvm-01", "uuid-images", "nowhere")))
    (found,) = reclaimable(replace(seen, domains=(unknown,)))
    assert found.frees_disk_bytes is None


@pytest.mark.parametrize(
    ("volume", "unused"),
    [
        (a_volume("old.qcow2"), True),
        (a_volume("used", users=1), False),
        (a_volume("base", overlays=1), False),
        (a_volume("debian.ISO", format="raw"), False),
        (a_volume("new", first_seen_ms=AT_MS - DAY_MS), False),
    ],
)
def test_volumes_are_unused_if_no_domain_and_no_image_needs_them(
    volume: tuple[tuple[str, str, str], VolumeEvidence], *, unused: bool
) -> None:
    seen = evidence_of(volumes=dict([volume]), domains=())
    names = [one.subject for one in reclaimable(seen) if one.kind == "unused-volume"]
    assert (names == [f"images/{volume[1].name}"]) is unused


def test_a_volume_that_another_host_uses_from_the_same_storage_is_used() -> None:
    nas = {"type": "netfs", "source": "nas:/export"}
    pools = (a_pool("a", "kvm-01", **nas), a_pool("b", "kvm-02", **nas))
    here, there = a_volume("x", "a", "kvm-01"), a_volume("x", "b", "kvm-02", users=1)
    both = dict((here, there))
    unused = [one.kind for one in reclaimable(evidence_of(pools=pools, volumes=both))]
    assert "unused-volume" not in unused
    both = dict((here, a_volume("x", "b", "kvm-02")))
    found = reclaimable(evidence_of(pools=pools, volumes=both))
    assert [one.host for one in found if one.kind == "unused-volume"] == ["kvm-01"]


def test_a_pool_is_unused_if_nothing_in_it_moves_and_no_domain_needs_it() -> None:
    assert found_in(evidence_of()) == [("unused-pool", "images")]
    moving = a_pool(allocation=days_of(400.0 * GIB, GIB))
    assert found_in(evidence_of(pools=(moving,))) == []
    assert found_in(evidence_of(pools=(a_pool(allocation=days_of(1.0, count=10)),))) == []
    assert found_in(evidence_of(pools=(a_pool(state="inactive"),))) == []
    used = dict([a_volume("a", users=1)])
    assert found_in(evidence_of(volumes=used)) == []


def test_old_snapshots_are_told_without_a_size() -> None:
    snapshots = (
        SnapshotEvidence("before", (TODAY - 200) * DAY_MS), SnapshotEvidence("new", AT_MS),
        SnapshotEvidence("undated", None),
    )  # fmt: skip
    used = dict([a_volume("a", users=1)])
    seen = evidence_of(domains=(a_domain(snapshots=snapshots),), volumes=used)
    (found,) = reclaimable(seen)
    assert (found.kind, found.subject) == ("old-snapshot", "app/before")
    assert found.frees_disk_bytes is None
    assert freed([found]).unknown_disks == 1
    assert reclaimable(replace(seen, domains=(a_domain(snapshots=None),))) == []


def test_a_dismissed_finding_returns_when_its_facts_change() -> None:
    def digest(domain: DomainEvidence) -> str:
        found: list[Finding] = reclaimable(evidence_of(pools=(), domains=(domain,)))
        return found[0].facts_digest

    one = a_domain(use=a_use(0.005, moved=100))
    assert digest(one) == digest(replace(one, use=a_use(0.004, moved=90)))
    assert digest(one) != digest(replace(one, memory_bytes=16 * GIB))


def test_only_days_since_it_was_resized_tell_what_a_domain_needs() -> None:
    busy = a_domain(vcpus=8, memory_bytes=32 * GIB, use=a_use(0.1, memory=4.0 * GIB))
    (found,) = larger_than_needed(evidence_of(domains=(busy,)))
    assert (found.enough_vcpus, found.enough_memory_bytes) == (2, 6 * GIB)
    assert (found.frees_vcpus, found.frees_memory_bytes) == (6, 26 * GIB)
    resized = replace(busy, sized_day=TODAY - 5)
    assert larger_than_needed(evidence_of(domains=(resized,))) == []
    needed = replace(busy, use=a_use(0.6, memory=25.0 * GIB))
    assert larger_than_needed(evidence_of(domains=(needed,))) == []


def test_memory_is_rounded_to_sizes_that_people_give() -> None:
    sizes = [0.2, 0.6, 1.1, 2.0, 2.5, 3.5, 5.0, 9.0, 13.0, 17.0]
    assert [rounded_up(size * GIB) / GIB for size in sizes] == [
        0.5, 1, 2, 2, 3, 4, 6, 12, 16, 24,
    ]  # fmt: skip
