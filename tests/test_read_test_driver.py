"""Reading hosts of libvirt's test driver: everything it has, and what it lacks."""

from pathlib import Path

import libvirt
import pytest

from app.connection import Connection, Endpoint
from app.virt.read import Reader
from app.virt.session import Session
from tests.read_support import (
    INTERFACES,
    NETWORK,
    PAUSED,
    RUNNING,
    SHUTOFF,
    URI,
    Faults,
    disk_xml,
    domain_xml,
    opened,
    pool_xml,
    scanned,
    uuid_of,
    write_node,
)

BIDI = "\u202egnp.exe"


def test_the_demo_host_is_read_whole_and_lacks_nothing() -> None:
    endpoint = Endpoint(Connection(driver="test", transport="embedded", path="default"))
    session = Session.open(endpoint, read_only=False)
    try:
        scan = scanned(session)
    finally:
        session.close()
    assert scan.ok
    assert scan.missing == ()
    assert scan.host is not None
    assert (scan.host.hypervisor, scan.host.hypervisor_version) == ("TEST", "0.0.2")
    assert scan.host.uuid is None
    assert (scan.host.numa_nodes, scan.host.sockets_per_node) == (2, 2)
    assert len(scan.host.numa) == 2
    assert scan.host.sysinfo is not None
    assert [section.kind for section in scan.host.sysinfo] == ["bios"]
    assert scan.domains
    assert scan.pools
    assert scan.networks
    assert scan.interfaces


def test_what_the_driver_lacks_is_unknown_and_neither_missing_nor_zero(tmp_path: Path) -> None:
    with opened(write_node(tmp_path, NETWORK, domain_xml("a", state=RUNNING))) as session:
        scan = scanned(session)
    assert scan.host_sample is not None
    assert scan.host_sample.memory_free_bytes is None
    assert scan.networks is not None
    assert [network.leases for network in scan.networks.values()] == [None]
    assert (scan.devices, scan.device_samples) == ({}, {})
    assert scan.missing == ()


def test_a_running_domain_is_measured_by_info_where_the_bulk_call_tells_states_only(
    tmp_path: Path,
) -> None:
    node = write_node(tmp_path, domain_xml("a", state=RUNNING), domain_xml("b"))
    with opened(node) as session:
        scan = scanned(session)
    assert scan.domain_samples is not None
    assert set(scan.domain_samples) == {uuid_of("a")}
    sample = scan.domain_samples[uuid_of("a")]
    assert sample.memory_bytes == 102400 * 1024
    assert sample.cpu_time_ns is not None
    assert sample.disk_read_bytes is None


def test_states_reasons_and_ids_are_libvirts_words(tmp_path: Path) -> None:
    node = write_node(
        tmp_path,
        domain_xml("up", state=RUNNING),
        domain_xml("held", state=PAUSED),
        domain_xml("down", state=SHUTOFF),
    )
    with opened(node) as session:
        domain = session.connection.lookupByName("up")
        domain.destroy()
        scan = scanned(session)
    assert scan.domains is not None
    by_name = {domain.name: domain for domain in scan.domains.values()}
    assert (by_name["up"].state, by_name["up"].state_reason) == ("shutoff", "destroyed")
    assert (by_name["held"].state, by_name["held"].id is not None) == ("paused", True)
    assert (by_name["down"].state, by_name["down"].id) == ("shutoff", None)


def test_every_flag_is_read(tmp_path: Path) -> None:
    node = write_node(
        tmp_path,
        domain_xml("plain"),
        domain_xml("passing", state=RUNNING, extra="<test:transient/>"),
        domain_xml("saved", extra="<test:hasmanagedsave/>"),
        domain_xml("auto"),
        domain_xml("snapped", state=RUNNING),
        domain_xml("checked", state=RUNNING, devices=disk_xml("/images/c.qcow2")),
    )
    with opened(node) as session:
        connection = session.connection
        connection.lookupByName("auto").setAutostart(1)
        connection.lookupByName("snapped").snapshotCreateXML("<domainsnapshot/>", 0)
        checkpoint = "<domaincheckpoint><name>c</name></domaincheckpoint>"
        connection.lookupByName("checked").checkpointCreateXML(checkpoint, 0)
        scan = scanned(session)
    assert scan.domains is not None
    flags = {
        domain.name: (
            domain.persistent,
            domain.autostart,
            domain.managed_save,
            domain.has_snapshot,
            domain.has_checkpoint,
        )
        for domain in scan.domains.values()
    }
    assert flags == {
        "plain": (True, False, False, False, False),
        "passing": (False, False, False, False, False),
        "saved": (True, False, True, False, False),
        "auto": (True, True, False, False, False),
        "snapped": (True, False, False, True, False),
        "checked": (True, False, False, False, True),
    }


def test_a_definition_is_read_live_and_inactive_and_never_with_secrets(tmp_path: Path) -> None:
    vnc = "<graphics type='vnc' port='5901' passwd='s3cret'/>"
    node = write_node(
        tmp_path,
        domain_xml("up", state=RUNNING, devices=vnc),
        domain_xml("passing", state=RUNNING, extra="<test:transient/>"),
        domain_xml("down"),
    )
    with opened(node) as session:
        handle = session.connection.lookupByName("up")
        assert "s3cret" in handle.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
        scan = scanned(session)
    up, passing, down = (scan.definitions[uuid_of(name)] for name in ("up", "passing", "down"))
    assert up.live_xml
    assert up.inactive_xml
    assert "s3cret" not in up.live_xml + up.inactive_xml
    assert passing.live_xml
    assert passing.inactive_xml is None
    assert down.live_xml is None
    assert down.inactive_xml


def test_devices_are_read_and_a_disk_knows_the_volume_it_lies_on(tmp_path: Path) -> None:
    devices = (
        disk_xml("/images/root.qcow2")
        + disk_xml("/elsewhere/data.img", "vdb")
        + "<interface type='network'><mac address='52:54:00:AA:BB:01'/>"
        "<source network='default'/><model type='virtio'/></interface>"
        "<graphics type='vnc' port='5901' listen='127.0.0.1'/>"
    )
    node = write_node(
        tmp_path,
        NETWORK,
        domain_xml("up", state=RUNNING, devices=devices),
        pool_xml("images", ["root.qcow2"]),
    )
    with opened(node) as session:
        scan = scanned(session)
    assert scan.domains is not None
    domain = scan.domains[uuid_of("up")]
    root, data = domain.disks
    assert (root.pool, root.volume) == ("images", "root.qcow2")
    assert (data.source, data.pool, data.volume) == ("/elsewhere/data.img", None, None)
    assert [(nic.mac, nic.source) for nic in domain.nics] == [("52:54:00:aa:bb:01", "default")]
    assert [(g.type, g.port, g.listen) for g in domain.graphics] == [("vnc", 5901, "127.0.0.1")]
    assert (domain.memory_bytes, domain.max_memory_bytes) == (102400 << 10, 204800 << 10)
    assert (domain.vcpus, domain.max_vcpus) == (1, 2)


def test_pools_and_volumes_are_read_with_their_sizes(tmp_path: Path) -> None:
    node = write_node(tmp_path, pool_xml("images", ["a.qcow2", "b.qcow2"]), pool_xml("off", []))
    with opened(node) as session:
        session.connection.storagePoolLookupByName("off").destroy()
        session.connection.storagePoolLookupByName("images").setAutostart(1)
        scan = scanned(session)
    images, off = uuid_of("images"), uuid_of("off")
    assert scan.pools is not None
    assert scan.pool_samples is not None
    assert (scan.pools[images].state, scan.pools[off].state) == ("running", "inactive")
    assert (scan.pools[images].autostart, scan.pools[off].autostart) == (True, False)
    assert (scan.pools[images].type, scan.pools[images].target) == ("dir", "/images")
    assert set(scan.pool_samples) == {images}
    assert scan.pool_samples[images].volume_count == 2
    assert scan.pool_samples[images].volumes_capacity_bytes == 2 << 20
    assert set(scan.volumes) == {images}
    volume = scan.volumes[images]["a.qcow2"]
    assert (volume.path, volume.format) == ("/images/a.qcow2", "qcow2")
    assert volume.capacity_bytes == 1 << 20
    assert set(scan.volume_samples) == {(images, "a.qcow2"), (images, "b.qcow2")}
    assert scan.volumes_measured


def test_a_disk_stays_on_its_volume_when_the_pool_is_stopped(tmp_path: Path) -> None:
    node = write_node(
        tmp_path,
        domain_xml("a", devices=disk_xml("/images/root.qcow2")),
        pool_xml("images", ["root.qcow2"]),
    )
    reader = Reader(open_writable=None)
    with opened(node) as session:
        before = reader.scan(session, at_ms=1, uri=URI)
        session.connection.storagePoolLookupByName("images").destroy()
        after = reader.scan(session, at_ms=2, uri=URI)
    assert before.domains is not None
    assert after.domains is not None
    assert after.volumes == {}
    assert after.domains[uuid_of("a")] is before.domains[uuid_of("a")]
    assert after.domains[uuid_of("a")].disks[0].volume == "root.qcow2"


def test_an_interface_that_is_the_bridge_of_a_network_is_left_out(tmp_path: Path) -> None:
    with opened(write_node(tmp_path, INTERFACES)) as session:
        without = scanned(session)
    with opened(write_node(tmp_path, NETWORK, INTERFACES)) as session:
        scan = scanned(session)
    assert without.interfaces is not None
    assert scan.interfaces is not None
    assert set(without.interfaces) == {"eth1", "virbr0"}
    assert set(scan.interfaces) == {"eth1"}
    interface = scan.interfaces["eth1"]
    assert (interface.state, interface.mtu) == ("active", 1492)
    assert interface.mac == "aa:bb:cc:dd:ee:ff"
    assert interface.addresses == ("192.168.0.5/24",)


def test_a_network_is_read_with_addresses_and_dhcp_range(tmp_path: Path) -> None:
    with opened(write_node(tmp_path, NETWORK)) as session:
        scan = scanned(session)
    assert scan.networks is not None
    (network,) = scan.networks.values()
    assert (network.state, network.forward, network.bridge) == ("active", "nat", "virbr0")
    assert network.domain_name == "lab.example"
    assert network.addresses == ("192.168.122.1/24", "2001:db8::1/64")
    assert [(r.start, r.end) for r in network.dhcp] == [("192.168.122.2", "192.168.122.254")]


@pytest.mark.parametrize(
    "name",
    [
        "&lt;img src=x onerror=alert(1)&gt;",
        "quote&quot;&apos;`",
        "=1+1",
        BIDI,
        "名前 with spaces",
        "%s%n{}{0}${x}",
        "..",
    ],
)
def test_a_hostile_name_arrives_as_it_is(tmp_path: Path, name: str) -> None:
    uuid = uuid_of("hostile")
    with opened(write_node(tmp_path, domain_xml(name, uuid=uuid))) as session:
        told = session.connection.lookupByUUIDString(uuid).name()
        scan = scanned(session)
    assert scan.domains is not None
    assert scan.domains[uuid].name == told
    assert scan.missing == ()


def test_a_title_of_any_length_is_cut_to_four_kibibytes_and_stays_distinct(tmp_path: Path) -> None:
    node = write_node(
        tmp_path,
        domain_xml("a", title="é" * 50_000 + "1"),
        domain_xml("b", title="é" * 50_000 + "2"),
    )
    with opened(node) as session:
        scan = scanned(session)
    assert scan.domains is not None
    titles = [domain.title or "" for domain in scan.domains.values()]
    assert all(4000 < len(title.encode()) <= 4096 for title in titles)
    assert len(set(titles)) == 2


def test_a_definition_over_a_mebibyte_marks_its_domain_and_spoils_nothing_else(
    tmp_path: Path,
) -> None:
    huge = domain_xml("huge", title="x" * (1 << 20))
    with opened(write_node(tmp_path, huge, domain_xml("small"))) as session:
        scan = scanned(session)
    assert scan.domains is not None
    assert scan.domains[uuid_of("huge")].damaged == "Its XML is larger than 1 MiB."
    assert scan.domains[uuid_of("huge")].name == "huge"
    assert scan.domains[uuid_of("small")].damaged is None
    assert set(scan.definitions) == {uuid_of("small")}


def test_thousands_of_domains_cost_no_more_calls_than_a_few(tmp_path: Path) -> None:
    def calls(count: int) -> tuple[int, int]:
        node = write_node(tmp_path, NETWORK, *(domain_xml(f"d{n}") for n in range(count)))
        reader = Reader(open_writable=None)
        with opened(node) as session:
            counted = Faults(session)
            first = reader.scan(counted.session, at_ms=1, uri=URI)
            made = len(counted.calls)
            reader.scan(counted.session, at_ms=2, uri=URI)
        assert first.domains is not None
        assert len(first.domains) == count
        return made, len(counted.calls) - made

    few_first, few_steady = calls(3)
    many_first, many_steady = calls(2000)
    assert many_steady == few_steady <= 16
    assert many_first - few_first == 1997
