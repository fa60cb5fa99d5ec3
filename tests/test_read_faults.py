"""Scans in which something fails: what is left out, what stays, and what ends the scan."""

from pathlib import Path
from typing import Any

import pytest

from app.errors import Failure, VirtError
from app.virt.read import Reader
from tests.read_support import (
    INTERFACES,
    NETWORK,
    RUNNING,
    URI,
    Faults,
    domain_xml,
    opened,
    parts_missing,
    pool_xml,
    uuid_of,
    write_node,
)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A host with two domains, a pool, a network and interfaces."""
    return write_node(
        tmp_path,
        NETWORK,
        INTERFACES,
        domain_xml("up", state=RUNNING),
        domain_xml("down"),
        pool_xml("images", ["a.qcow2", "b.qcow2"]),
    )


def failed(failure: Failure = "failed", problem: str | None = None) -> VirtError:
    """An error as the choke-point raises it."""
    return VirtError(failure, "It did not work.", problem=problem)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        ("getAllDomainStats", "domains"),
        ("listAllStoragePools", "pools"),
        ("listAllNetworks", "networks"),
        ("listAllInterfaces", "interfaces"),
    ],
)
def test_a_list_that_fails_is_not_there_and_named_and_the_rest_is_whole(
    node: Path, call: str, part: str
) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail(call, failed())
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert faults.injected
    assert scan.ok
    assert part in parts_missing(scan)
    kinds = ("domains", "pools", "networks", "interfaces")
    assert [kind for kind in kinds if getattr(scan, kind) is None] == [part]
    if part == "domains":
        assert scan.domain_samples is None


@pytest.mark.parametrize(
    ("call", "part"),
    [
        ("cpu_stats", "host CPU"),
        ("memory_stats", "host memory"),
        ("getCapabilities", "host capabilities"),
        ("getCPUMap", "host CPU map"),
        ("domainListGetStats", "domain statistics"),
        ("listAllVolumes", "volumes"),
        ("getHostname", "host hostname"),
    ],
)
def test_a_call_that_fails_leaves_its_values_unknown_and_is_named(
    node: Path, call: str, part: str
) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail(call, failed())
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert faults.injected
    assert parts_missing(scan) == {part}
    assert scan.domains is not None
    assert len(scan.domains) == 2


@pytest.mark.parametrize("failure", ["unreachable", "timeout"])
def test_a_lost_host_ends_the_scan(node: Path, failure: Failure) -> None:
    calls = ("getAllDomainStats", "listAllStoragePools", "domainListGetStats", "XMLDesc")
    for call in calls:
        with opened(node) as session:
            faults = Faults(session)
            faults.fail(call, failed(failure))
            faults.alive = False
            with pytest.raises(VirtError) as caught:
                Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
        assert caught.value.failure == failure
        assert faults.injected


def test_a_timeout_of_one_call_on_a_living_connection_ends_nothing(node: Path) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("listAllVolumes", failed("timeout"))
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert parts_missing(scan) == {"volumes"}
    assert scan.volumes == {}
    assert not scan.volumes_measured


@pytest.mark.parametrize("call", ["getAllDomainStats", "domainListGetStats"])
def test_a_driver_without_a_bulk_call_is_asked_domain_by_domain(node: Path, call: str) -> None:
    with opened(node) as session:
        whole = Reader(open_writable=None).scan(session, at_ms=1, uri=URI)
        faults = Faults(session)
        faults.fail(call, failed("unsupported"))
        scan = Reader(open_writable=None).scan(faults.session, at_ms=2, uri=URI)
    assert faults.injected
    assert scan.domains == whole.domains
    assert scan.domain_samples is not None
    assert set(scan.domain_samples) == {uuid_of("up")}
    assert scan.domain_samples[uuid_of("up")].cpu_time_ns is not None
    assert scan.missing == ()


def test_a_driver_that_lacks_a_call_is_not_asked_again_at_once(node: Path) -> None:
    reader = Reader(open_writable=None)
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("listAllInterfaces", failed("unsupported"))
        faults.fail("getSysinfo", failed("unsupported"))
        first = reader.scan(faults.session, at_ms=1, uri=URI)
        injected = faults.injected
        faults.calls.clear()
        second = reader.scan(faults.session, at_ms=2, uri=URI)
    assert injected
    assert first.missing == second.missing == ()
    assert second.interfaces is None
    assert first.host is not None
    assert dict(first.host.not_available).keys() == {"sysinfo", "pool types"}
    assert first.host.sysinfo is None
    assert second.host is first.host
    assert "getSysinfo" not in faults.calls


def test_a_host_without_smbios_is_no_failure(node: Path) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("getSysinfo", failed())
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert faults.injected
    assert scan.missing == ()
    assert scan.host is not None
    assert dict(scan.host.not_available)["sysinfo"] == "It did not work."


def _is(name: str) -> Any:
    return lambda owner: owner.name() == name


def test_a_domain_that_vanishes_between_list_and_read_is_skipped(node: Path) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("XMLDesc", failed("gone"), when=_is("up"))
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert faults.injected == 1
    assert scan.domains is not None
    assert set(scan.domains) == {uuid_of("down")}
    assert scan.domain_samples == {}
    assert scan.missing == ()


@pytest.mark.parametrize(
    ("call", "name", "kind"),
    [
        ("info", "images", "pools"),
        ("XMLDesc", "default", "networks"),
    ],
)
def test_a_pool_or_network_that_vanishes_is_skipped(
    node: Path, call: str, name: str, kind: str
) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail(call, failed("gone"), when=_is(name))
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert faults.injected
    assert getattr(scan, kind) == {}
    assert scan.missing == ()


def test_a_volume_that_vanishes_is_skipped(node: Path) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("XMLDesc", failed("gone"), when=_is("a.qcow2"))
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert faults.injected
    assert set(scan.volumes[uuid_of("images")]) == {"b.qcow2"}
    assert scan.volumes_measured
    assert scan.missing == ()


@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [
        ("down", "domains", uuid_of("down")),
        ("a.qcow2", "volumes", "a.qcow2"),
    ],
)
def test_a_definition_that_is_no_text_marks_one_row(
    node: Path, name: str, kind: str, key: str
) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("XMLDesc", failed(problem="bad-text"), when=_is(name))
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert faults.injected
    rows: Any = getattr(scan, kind)
    rows = rows if kind == "domains" else rows[uuid_of("images")]
    assert len(rows) == 2
    assert [k for k, row in rows.items() if row.damaged] == [key]
    assert rows[key].damaged == "Its XML is not valid UTF-8."


def test_a_damaged_volume_still_tells_its_sizes(node: Path) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("XMLDesc", failed(problem="bad-text"), when=_is("a.qcow2"))
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert scan.volumes[uuid_of("images")]["a.qcow2"].capacity_bytes == 1 << 20
    assert scan.volume_samples[uuid_of("images"), "a.qcow2"].allocation_bytes is not None


def test_what_failed_is_read_at_the_next_scan(node: Path) -> None:
    reader = Reader(open_writable=None)
    with opened(node) as session:
        faults = Faults(session)
        for call in ("XMLDesc", "getCapabilities", "listAllInterfaces"):
            faults.fail(call, failed())
        first = reader.scan(faults.session, at_ms=1, uri=URI)
        faults.heal()
        second = reader.scan(faults.session, at_ms=2, uri=URI)
        whole = Reader(open_writable=None).scan(session, at_ms=3, uri=URI)
    assert len(parts_missing(first)) >= 3
    assert second.missing == ()
    assert second.domains == whole.domains
    assert second.host == whole.host
    assert second.networks == whole.networks
    assert second.interfaces == whole.interfaces
    assert second.volumes == whole.volumes
    assert set(second.definitions) == set(whole.definitions)


def test_a_failed_flag_list_changes_no_known_domain_and_is_unknown_for_a_new_one(
    node: Path,
) -> None:
    reader = Reader(open_writable=None)
    with opened(node) as session:
        session.connection.lookupByName("down").setAutostart(1)
        first = reader.scan(session, at_ms=1, uri=URI)
        session.connection.defineXML(domain_xml("new"))
        faults = Faults(session)
        faults.fail("listAllDomains", failed())
        second = reader.scan(faults.session, at_ms=2, uri=URI)
        third = reader.scan(session, at_ms=3, uri=URI)
    assert faults.injected == 4
    assert first.domains is not None
    assert second.domains is not None
    assert third.domains is not None
    for name in ("up", "down"):
        assert second.domains[uuid_of(name)] is first.domains[uuid_of(name)]
    new = second.domains[uuid_of("new")]
    assert (new.autostart, new.persistent, new.has_snapshot) == (None, None, None)
    assert third.domains[uuid_of("new")].autostart is False


def test_one_domain_that_spoils_the_statistics_costs_only_its_own(node: Path) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("info", failed(), when=_is("up"))
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert faults.injected == 1
    assert parts_missing(scan) == {"domain statistics"}
    assert scan.domain_samples is not None
    assert scan.domain_samples[uuid_of("up")].cpu_time_ns is None


def test_how_many_domains_are_defined_is_unknown_where_a_list_failed(node: Path) -> None:
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("listAllDomains", failed())
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert faults.injected
    assert scan.host_sample is not None
    assert scan.host_sample.defined_domains is None


def test_snapshots_are_unknown_until_it_is_known_who_has_any(node: Path) -> None:
    reader = Reader(open_writable=None)
    with opened(node) as session:
        session.connection.lookupByName("down").snapshotCreateXML(
            "<domainsnapshot><name>before</name></domainsnapshot>", 0
        )
        faults = Faults(session)
        faults.fail("listAllDomains", failed())
        first = reader.scan(faults.session, at_ms=1, uri=URI)
        second = reader.scan(session, at_ms=2, uri=URI)
    assert first.domains is not None
    assert second.domains is not None
    assert first.domains[uuid_of("down")].snapshots is None
    assert [one.name for one in second.domains[uuid_of("down")].snapshots or ()] == ["before"]
    assert second.domains[uuid_of("up")].snapshots == ()


def test_snapshots_that_could_not_be_read_are_read_at_the_next_scan(node: Path) -> None:
    reader = Reader(open_writable=None)
    with opened(node) as session:
        session.connection.lookupByName("down").snapshotCreateXML(
            "<domainsnapshot><name>before</name></domainsnapshot>", 0
        )
        faults = Faults(session)
        faults.fail("listAllSnapshots", failed("denied"))
        first = reader.scan(faults.session, at_ms=1, uri=URI)
        second = reader.scan(session, at_ms=2, uri=URI)
    assert parts_missing(first) == {"domain snapshots"}
    assert second.domains is not None
    assert [one.name for one in second.domains[uuid_of("down")].snapshots or ()] == ["before"]


def test_a_definition_that_is_text_again_as_before_is_marked_no_more(node: Path) -> None:
    reader = Reader(open_writable=None)
    with opened(node) as session:
        whole = reader.scan(session, at_ms=1, uri=URI)
        faults = Faults(session)
        faults.fail("XMLDesc", failed(problem="bad-text"), when=_is("up"))
        bad = reader.scan(faults.session, at_ms=2, uri=URI, everything=True)
        healed = reader.scan(session, at_ms=3, uri=URI, everything=True)
    assert bad.domains is not None
    assert bad.domains[uuid_of("up")].damaged
    assert healed.domains == whole.domains


def test_interfaces_are_not_inactive_because_the_list_of_active_ones_failed(node: Path) -> None:
    reader = Reader(open_writable=None)
    with opened(node) as session:
        whole = Reader(open_writable=None).scan(session, at_ms=1, uri=URI)
        faults = Faults(session)
        lists = 0

        def second_list(_owner: Any) -> bool:
            nonlocal lists
            lists += 1
            return lists == 2

        faults.fail("listAllInterfaces", failed(), when=second_list)
        first = reader.scan(faults.session, at_ms=2, uri=URI)
        second = reader.scan(session, at_ms=3, uri=URI)
    assert faults.injected == 1
    assert first.interfaces is None
    assert second.interfaces == whole.interfaces


def test_what_smbios_says_is_asked_again_after_it_was_refused(node: Path) -> None:
    reader = Reader(open_writable=None)
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("getSysinfo", failed("denied"))
        first = reader.scan(faults.session, at_ms=1, uri=URI)
        second = reader.scan(session, at_ms=2, uri=URI)
    assert parts_missing(first) == {"host sysinfo"}
    assert second.missing == ()
    assert second.host is not None
    assert second.host.sysinfo is not None
