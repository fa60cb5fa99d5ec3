"""Reading a real libvirtd: what only a real one shows."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import libvirt
import pytest

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.inventory import Guest, Scan, device_names
from app.virt.read import Reader
from app.virt.session import Session
from tests.lab.dmidecode import dmidecode_text
from tests.lab.guest import talking_guest, talking_guest_xml
from tests.lab.host import LabHost, Options, lab_unavailable

_UNAVAILABLE = lab_unavailable()
pytestmark = pytest.mark.skipif(_UNAVAILABLE is not None, reason=_UNAVAILABLE or "")

_NETWORK = """<network><name>{name}</name>{forward}<bridge name='{bridge}' stp='off'/>
<ip address='192.168.{octet}.1' netmask='255.255.255.0'>
<dhcp><range start='192.168.{octet}.2' end='192.168.{octet}.99'/></dhcp></ip></network>"""

_TINY = """<domain type='qemu'><name>{name}</name><title>{name} &lt;b&gt;</title>
<memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices>{devices}
<graphics type='vnc' autoport='yes' listen='127.0.0.1' passwd='s3cret'/></devices></domain>"""

_CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
_NIC = "<interface type='network'><source network='default'/><model type='virtio'/></interface>"


@contextmanager
def opened(host: LabHost, *, read_only: bool = True) -> Iterator[Session]:
    """A session on a lab host."""
    session = open_session(host, read_only=read_only)
    try:
        yield session
    finally:
        session.close()


def open_session(host: LabHost, *, read_only: bool) -> Session:
    return Session.open(Endpoint(Connection(socket=host.socket)), read_only=read_only)


@contextmanager
def admin(host: LabHost) -> Iterator[libvirt.virConnect]:
    """A plain connection by which a test changes the host."""
    connection = libvirt.open(host.uri)
    try:
        yield connection
    finally:
        connection.close()


def scan_until(
    reader: Reader, session: Session, holds: Callable[[Scan], bool], *, first_ms: int = 1
) -> Scan:
    """Scan again and again until `holds`; fails when that takes more than half a minute."""
    for number in range(300):
        scan = reader.scan(session, at_ms=first_ms + number, uri="qemu:///system")
        if holds(scan):
            return scan
        time.sleep(0.1)
    pytest.fail(f"never held; the last scan was {scan}")


@pytest.fixture(scope="module")
def host() -> Iterator[LabHost]:
    """A host with SMBIOS tables, a running network, a stopped one, and a pool."""
    with LabHost("reading", Options(dmidecode=dmidecode_text())) as lab:
        with admin(lab) as connection:
            for name, forward, bridge, octet in (
                ("default", "<forward mode='nat'/>", "virbr0", 122),
                ("isolated", "", "virbr7", 77),
            ):
                text = _NETWORK.format(name=name, forward=forward, bridge=bridge, octet=octet)
                network = connection.networkDefineXML(text)
                if name == "default":
                    network.setAutostart(1)
                    network.create()
            pool = connection.storagePoolDefineXML(
                "<pool type='dir'><name>images</name>"
                "<target><path>/var/lib/libvirt/images</path></target></pool>"
            )
            pool.create()
        yield lab


@pytest.fixture(scope="module")
def scan(host: LabHost) -> Scan:
    """One scan of it as it stands at first."""
    with opened(host) as session:
        return Reader(open_writable=None).scan(session, at_ms=1, uri="qemu:///system")


def test_a_real_host_is_read_whole_over_a_read_only_connection(scan: Scan, host: LabHost) -> None:
    facts = scan.host
    assert scan.missing == ()
    assert facts is not None
    assert facts.uuid == host.uuid
    assert facts.hostname == host.name
    assert facts.hypervisor == "QEMU"
    assert facts.hypervisor_version is not None
    assert facts.hypervisor_version in host.virsh("version")
    assert f"libvirt {facts.libvirt_version}" in host.virsh("version")
    assert facts.architecture == "x86_64"
    assert facts.cpus is not None
    assert facts.cpus_online == facts.cpus
    assert facts.cpu_map is not None
    assert sum(facts.cpu_map) == facts.cpus
    assert (facts.memory_bytes or 0) > 1 << 27
    assert (facts.max_vcpus or 0) >= 16
    assert facts.not_available == ()


def test_every_smbios_table_is_there_and_names_the_processor(scan: Scan) -> None:
    assert scan.host is not None
    assert scan.host.sysinfo is not None
    kinds = [section.kind for section in scan.host.sysinfo]
    assert {"bios", "system", "baseBoard", "chassis"} <= set(kinds)
    # libvirt leaves out the two empty slots.
    assert (kinds.count("processor"), kinds.count("memory_device")) == (2, 6)
    assert scan.host.processor == "Example X9 16-Core Processor"
    sizes = [
        dict(section.entries).get("size")
        for section in scan.host.sysinfo
        if section.kind == "memory_device"
    ]
    assert sizes.count("64 GB") == 6


def test_a_host_without_smbios_says_why_and_is_not_partial() -> None:
    with LabHost("plain") as lab, opened(lab) as session:
        scan = Reader(open_writable=None).scan(session, at_ms=1, uri="qemu:///system")
    assert scan.missing == ()
    assert scan.host is not None
    assert scan.host.sysinfo is None
    assert [part for part, _ in scan.host.not_available] == ["sysinfo"]
    assert scan.host.processor
    assert (scan.domains, scan.pools, scan.networks) == ({}, {}, {})


def test_host_counters_are_there(scan: Scan) -> None:
    sample = scan.host_sample
    assert sample is not None
    assert (sample.cpu_user_ns or 0) > 0
    assert (sample.memory_total_bytes or 0) > (sample.memory_free_bytes or 0) > 0
    assert sample.memory_cached_bytes is not None


def test_networks_and_interfaces(scan: Scan) -> None:
    assert scan.networks is not None
    assert scan.interfaces is not None
    by_name = {network.name: network for network in scan.networks.values()}
    default, isolated = by_name["default"], by_name["isolated"]
    assert (default.state, default.forward, default.bridge) == ("active", "nat", "virbr0")
    assert (default.autostart, default.persistent) == (True, True)
    assert default.addresses == ("192.168.122.1/24",)
    assert [(r.start, r.end) for r in default.dhcp] == [("192.168.122.2", "192.168.122.99")]
    assert default.leases == ()
    assert (isolated.state, isolated.forward, isolated.leases) == ("inactive", None, None)
    assert set(scan.interfaces) == {"lo", "mgmt0"}
    assert scan.interfaces["mgmt0"].state == "active"


def test_a_lease_is_read(host: LabHost) -> None:
    host.run(
        "ip link add lease0 type veth peer name lease1 && ip link set lease0 master virbr0 up && "
        "ip link set lease1 address 52:54:00:12:34:56 up"
    )
    try:
        host.run("busybox udhcpc -i lease1 -n -q -t 10 -x hostname:leaser -s /bin/true")
        # dnsmasq tells libvirt of the lease after it has told the client.
        host.run(
            "for n in $(seq 100); do virsh -q net-dhcp-leases default | grep -q leaser && break; "
            "sleep 0.1; done"
        )
        with opened(host) as session:
            scan = Reader(open_writable=None).scan(session, at_ms=1, uri="qemu:///system")
    finally:
        host.run("ip link del lease0")
    assert scan.networks is not None
    (lease,) = next(n.leases for n in scan.networks.values() if n.leases)
    assert (lease.mac, lease.hostname) == ("52:54:00:12:34:56", "leaser")
    assert (lease.address or "").startswith("192.168.122.")
    assert (lease.address or "").endswith("/24")
    assert (lease.expires_at_ms or 0) > 1_500_000_000_000


def test_volumes_of_every_shape_and_the_domains_on_them(host: LabHost) -> None:
    images = "/var/lib/libvirt/images"
    host.run(
        f"cd {images} && qemu-img create -q -f qcow2 base.qcow2 8M && "
        "qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2 && truncate -s 3M plain.raw "
        "&& touch $'caf\\xe9.img' '<b>&.img'"
    )
    disks = (
        f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
        f"<source file='{images}/top.qcow2'/><target dev='vda' bus='virtio'/></disk>"
        "<disk type='volume' device='disk'><source pool='images' volume='plain.raw'/>"
        "<target dev='vdb' bus='virtio'/></disk>"
    )
    with admin(host) as connection:
        connection.storagePoolLookupByName("images").refresh()
        domain = connection.defineXML(_TINY.format(name="stored", devices=disks))
        try:
            domain.create()
            with opened(host) as session:
                reader = Reader(open_writable=None)
                running = reader.scan(session, at_ms=1, uri="qemu:///system")
        finally:
            domain.destroy()
            domain.undefine()
            host.run(f"rm {images}/*")
            connection.storagePoolLookupByName("images").refresh()
    (volumes,) = running.volumes.values()
    assert set(volumes) == {"base.qcow2", "top.qcow2", "plain.raw", "caf\\xe9.img", "<b>&.img"}
    top = volumes["top.qcow2"]
    assert (top.format, top.capacity_bytes) == ("qcow2", 8 << 20)
    assert top.backing_path == f"{images}/base.qcow2"
    assert (volumes["plain.raw"].format, volumes["plain.raw"].capacity_bytes) == ("raw", 3 << 20)
    damaged = {name for name, volume in volumes.items() if volume.damaged}
    assert damaged == {"caf\\xe9.img"}
    assert running.volumes_measured
    assert running.missing == ()
    assert running.domains is not None
    (fact,) = running.domains.values()
    assert [(disk.pool, disk.volume) for disk in fact.disks] == [
        ("images", "top.qcow2"),
        ("images", "plain.raw"),
    ]
    assert fact.disks[0].backing == (f"{images}/base.qcow2",)


def test_a_running_domain_is_measured_and_shows_its_port(host: LabHost) -> None:
    with admin(host) as connection:
        domain = connection.createXML(_TINY.format(name="passing", devices=_NIC))
        try:
            with opened(host) as session:
                scan = Reader(open_writable=None).scan(session, at_ms=1, uri="qemu:///system")
        finally:
            domain.destroy()
    assert scan.domains is not None
    assert scan.domain_samples is not None
    (fact,), (sample,) = scan.domains.values(), scan.domain_samples.values()
    assert (fact.state, fact.state_reason, fact.persistent) == ("running", "booted", False)
    assert fact.title == "passing <b>"
    assert fact.id is not None
    (graphics,) = fact.graphics
    assert (graphics.type, graphics.listen) == ("vnc", "127.0.0.1")
    assert (graphics.port or 0) >= 5900
    assert [nic.source for nic in fact.nics] == ["default"]
    assert sample.memory_bytes == 16 << 20
    assert sample.cpu_time_ns is not None
    assert sample.net_rx_bytes is not None
    assert scan.host_sample is not None
    assert (scan.host_sample.running_domains, scan.host_sample.defined_domains) == (1, 0)
    assert scan.host_sample.assigned_memory_bytes == 16 << 20
    (definition,) = scan.definitions.values()
    assert definition.inactive_xml is None
    assert definition.live_xml is not None
    assert "s3cret" not in definition.live_xml


def test_devices_of_a_domain_with_several_are_told_one_by_one(host: LabHost) -> None:
    images = "/var/lib/libvirt/images"
    host.run(f"truncate -s 2M {images}/one.raw {images}/two.raw")
    disk = (
        "<disk type='file' device='disk'><source file='{images}/{name}.raw'/>"
        "<target dev='{target}' bus='virtio'/></disk>"
    )
    disks = "".join(
        disk.format(images=images, name=name, target=target)
        for name, target in (("one", "vda"), ("two", "vdb"))
    )
    with admin(host) as connection:
        domain = connection.createXML(_TINY.format(name="wide", devices=disks + _NIC + _NIC))
        try:
            with opened(host) as session:
                scan = Reader(open_writable=None).scan(session, at_ms=1, uri="qemu:///system")
        finally:
            domain.destroy()
            host.run(f"rm {images}/one.raw {images}/two.raw")
    assert scan.domains is not None
    assert scan.domain_samples is not None
    assert scan.devices is not None
    assert scan.device_samples is not None
    (fact,), (sample,) = scan.domains.values(), scan.domain_samples.values()
    assert {device.name for device in scan.devices.values()} == set(device_names(fact))
    assert {device.run for device in scan.devices.values()} == {fact.id}
    own = [key for key, device in scan.devices.items() if device.share == "own"]
    assert sorted(scan.device_samples) == sorted(own)
    read = [scan.device_samples[key].disk_read_bytes for key in own if "/disk:" in key]
    if read:
        assert sum(value or 0 for value in read) == sample.disk_read_bytes
    received = [scan.device_samples[key].net_rx_bytes for key in own if "/nic:" in key]
    if received:
        assert sum(value or 0 for value in received) == sample.net_rx_bytes


def test_a_channel_without_an_agent_is_disconnected_and_delays_nothing(host: LabHost) -> None:
    reader = Reader(open_writable=lambda: open_session(host, read_only=False))
    with admin(host) as connection, opened(host) as session:
        domain = connection.createXML(_TINY.format(name="mute", devices=_CHANNEL))
        try:
            scans = [reader.scan(session, at_ms=n, uri="qemu:///system") for n in range(1, 4)]
        finally:
            domain.destroy()
            reader.close()
    for scan in scans:
        assert scan.domains is not None
        (fact,) = scan.domains.values()
        assert (fact.agent, fact.guest) == ("disconnected", None)
        assert scan.missing == ()


def test_a_pool_is_refreshed_beside_the_scans_and_says_when(host: LabHost) -> None:
    path = "/var/lib/libvirt/images/dropped.raw"
    host.run(f"truncate -s 1M {path}")
    reader = Reader(open_writable=lambda: open_session(host, read_only=False))
    try:
        with opened(host) as session:
            first = reader.scan(session, at_ms=1, uri="qemu:///system")
            # The first scan after the refresh may have begun before it, and tell of its time later.
            scan = scan_until(
                reader,
                session,
                lambda scan: any(
                    sample.refreshed_at_ms for sample in (scan.pool_samples or {}).values()
                ),
            )
    finally:
        reader.close()
        host.run(f"rm {path}")
        host.virsh("pool-refresh", "images")
    assert first.pool_samples is not None
    assert scan.pool_samples is not None
    assert "dropped.raw" in next(iter(scan.volumes.values()))
    assert [sample.refreshed_at_ms for sample in first.pool_samples.values()] == [None]
    (sample,) = scan.pool_samples.values()
    assert (sample.refreshed_at_ms or 0) > 1_500_000_000_000
    assert sample.volume_count == 1


def test_a_host_that_refuses_writes_says_so_among_its_facts(host: LabHost) -> None:
    reader = Reader(open_writable=lambda: open_session(host, read_only=True))
    try:
        with opened(host) as session:
            scan = scan_until(
                reader,
                session,
                lambda scan: scan.host is not None and bool(scan.host.not_available),
            )
    finally:
        reader.close()
    assert scan.missing == ()
    assert scan.host is not None
    assert [part for part, _ in scan.host.not_available] == ["pool refresh"]


def test_a_transient_pool_whose_directory_vanished_is_gone_after_its_refresh(host: LabHost) -> None:
    reader = Reader(open_writable=lambda: open_session(host, read_only=False))
    with admin(host) as connection:
        host.run("mkdir /var/lib/libvirt/short-lived")
        pool = connection.storagePoolCreateXML(
            "<pool type='dir'><name>short-lived</name>"
            "<target><path>/var/lib/libvirt/short-lived</path></target></pool>"
        )
        host.run("rmdir /var/lib/libvirt/short-lived")
        uuid = pool.UUIDString()
        try:
            with opened(host) as session:
                # A transient pool that libvirt finds broken is gone afterwards.
                scan_until(
                    reader, session, lambda scan: scan.pools is not None and uuid not in scan.pools
                )
        finally:
            reader.close()


def test_a_scan_of_many_domains_makes_few_calls_and_the_first_at_most_three_each(
    host: LabHost,
) -> None:
    def calls(session: Session) -> tuple[int, int]:
        reader = Reader(open_writable=None)
        first = reader.scan(session, at_ms=1, uri="qemu:///system")
        steady = [reader.scan(session, at_ms=n, uri="qemu:///system") for n in range(2, 12)]
        assert all(not scan.definitions for scan in steady)
        return first.rpc_count or 0, max(scan.rpc_count or 99 for scan in steady)

    with admin(host) as connection, opened(host) as session:
        few_first, few_steady = calls(session)
        domains = [
            connection.defineXML(_TINY.format(name=f"many-{n}", devices=_NIC)) for n in range(60)
        ]
        try:
            for domain in domains[:2]:
                domain.create()
            many_first, many_steady = calls(session)
        finally:
            for domain in domains:
                if domain.isActive():
                    domain.destroy()
                domain.undefine()
    assert many_steady <= 16
    assert few_steady <= 16
    assert many_first - few_first <= 3 * 60


def test_a_libvirtd_that_ends_ends_the_scan_and_after_a_reconnect_all_is_as_before() -> None:
    with LabHost("dying") as lab:
        with admin(lab) as connection:
            connection.defineXML(_TINY.format(name="kept", devices=""))
        reader = Reader(open_writable=None)
        with opened(lab) as session:
            before = reader.scan(session, at_ms=1, uri="qemu:///system")
            lab.stop_libvirtd()
            with pytest.raises(VirtError) as caught:
                reader.scan(session, at_ms=2, uri="qemu:///system")
        assert caught.value.failure == "unreachable"
        reader.forget()
        lab.start_libvirtd()
        with opened(lab) as session:
            after = reader.scan(session, at_ms=50, uri="qemu:///system")
    assert before.domains is not None
    assert after.domains is not None
    assert after.missing == ()
    assert [after.domains[uuid] is fact for uuid, fact in before.domains.items()] == [True]


def test_scanning_leaves_no_thread_behind(host: LabHost) -> None:
    reader = Reader(open_writable=lambda: open_session(host, read_only=False))
    with opened(host) as session:
        for at_ms in range(1, 6):
            reader.scan(session, at_ms=at_ms, uri="qemu:///system")
        reader.close()
    names = ("npvirt-agent", "npvirt-refresh", "npvirt-stats", "npvirt-read")
    left = [thread for thread in threading.enumerate() if thread.name.startswith(names)]
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)


def test_an_agent_tells_of_its_guest_and_one_that_hangs_delays_nothing(host: LabHost) -> None:
    image = host.root / "lib/guest"
    shutil.copytree(talking_guest(), image)
    uuid = str(uuid4())
    reader = Reader(open_writable=lambda: open_session(host, read_only=False))
    with admin(host) as connection, opened(host) as session:
        domain = connection.createXML(talking_guest_xml("talking", uuid, image))
        try:
            first = reader.scan(session, at_ms=1, uri="qemu:///system")
            told = scan_until(reader, session, lambda scan: guest_of(scan, uuid) is not None)
            freeze_agent(host, uuid)
            reader.forget()
            # Whoever is asked now waits for the agent; the scans go on meanwhile.
            hung = [reader.scan(session, at_ms=n, uri="qemu:///system") for n in range(400, 404)]
            assert agent_hangs(host, uuid)
        finally:
            domain.destroy()
            reader.close()
        ended = reader.scan(session, at_ms=500, uri="qemu:///system")
    assert guest_of(first, uuid) is None
    guest = guest_of(told, uuid)
    assert guest is not None
    assert (guest.hostname, guest.os) == ("talking-guest", "Tiny Linux 1")
    (interface,) = guest.addresses
    assert (interface.name, interface.mac) == ("eth0", "52:54:00:7a:1c:01")
    assert "192.168.122.77/24" in interface.addresses
    for scan in hung:
        assert guest_of(scan, uuid) == guest
        assert scan.missing == ()
    assert ended.domains == {}


def guest_of(scan: Scan, uuid: str) -> Guest | None:
    """What the agent of that domain told."""
    assert scan.domains is not None
    return scan.domains[uuid].guest


def freeze_agent(host: LabHost, uuid: str) -> None:
    """Have the guest's own agent stop itself, so that it is connected and answers nothing."""
    arguments = {"path": "/bin/sh", "arg": ["-c", "kill -STOP $(pidof qemu-ga)"]}
    command = json.dumps({"execute": "guest-exec", "arguments": arguments})
    host.virsh("qemu-agent-command", "--timeout", "5", uuid, command)
    while not agent_hangs(host, uuid):
        time.sleep(0.1)


def agent_hangs(host: LabHost, uuid: str) -> bool:
    """Whether the agent leaves a ping unanswered for a second."""
    try:
        host.virsh("qemu-agent-command", "--timeout", "1", uuid, '{"execute": "guest-ping"}')
    except RuntimeError:
        return True
    return False
