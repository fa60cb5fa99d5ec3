"""The XML of hosts, pools, volumes, networks and interfaces becomes values."""

import pytest

from app.inventory import DhcpRange, NumaCell, SysinfoSection
from app.virt.xml.host import parse_capabilities, parse_max_vcpus, parse_sysinfo, processor_name
from app.virt.xml.network import parse_interface, parse_network
from app.virt.xml.storage import parse_pool, parse_volume

CAPABILITIES = """
<capabilities><host><uuid>1f1735f0-305d-408d-94b6-229d2aa129b1</uuid>
<cpu><arch>x86_64</arch><model>EPYC</model><vendor>AMD</vendor></cpu>
<topology><cells num='2'>
 <cell id='1'><memory unit='KiB'>1024</memory>
  <distances><sibling id='1' value='10'/><sibling id='0' value='21'/></distances>
  <cpus num='2'><cpu id='3'/><cpu id='2'/></cpus></cell>
 <cell id='0'><cpus num='1'><cpu id='0'/></cpus></cell>
</cells></topology></host>
<guest><arch name='x86_64'><domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>
"""

SYSINFO = """
<sysinfo type='smbios'>
 <bios><entry name='vendor'>Example Systems</entry></bios>
 <processor><entry name='socket_destination'>CPU 1</entry>
  <entry name='version'>Example CPU 9000</entry></processor>
 <memory_device><entry name='size'>16 GB</entry></memory_device>
 <memory_device><entry name='size'></entry></memory_device>
 <oemStrings><entry>one</entry><entry>two</entry></oemStrings>
</sysinfo>
"""


def test_capabilities() -> None:
    found = parse_capabilities(CAPABILITIES)
    assert found.uuid == "1f1735f0-305d-408d-94b6-229d2aa129b1"
    assert (found.architecture, found.processor) == ("x86_64", "AMD EPYC")
    assert found.domain_types == ("kvm", "qemu")
    assert found.numa == (
        NumaCell(1, 1 << 20, (2, 3), (21, 10)),
        NumaCell(0, None, (0,), ()),
    )


def test_every_smbios_table_is_kept_in_order() -> None:
    sections = parse_sysinfo(SYSINFO)
    kinds = ["bios", "processor", "memory_device", "memory_device", "oemStrings"]
    assert [section.kind for section in sections] == kinds
    assert sections[3].entries == (("size", ""),)
    assert sections[4].entries == (("1", "one"), ("2", "two"))
    assert processor_name(sections) == "Example CPU 9000"


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ((("version", "Not Specified"), ("manufacturer", "M"), ("family", "F")), "M F"),
        ((("version", "V"),), "V"),
        ((), None),
    ],
)
def test_a_processor_without_a_version_is_named_by_maker_and_family(
    entries: tuple[tuple[str, str], ...], name: str | None
) -> None:
    assert processor_name((SysinfoSection("processor", entries),)) == name


def test_max_vcpus() -> None:
    assert parse_max_vcpus("<domainCapabilities><vcpu max='255'/></domainCapabilities>") == 255
    assert parse_max_vcpus("<domainCapabilities/>") is None


@pytest.mark.parametrize(
    ("inside", "source"),
    [
        ("<host name='nas.example'/><dir path='/export'/>", "nas.example:/export"),
        ("<device path='/dev/sdb'/><device path='/dev/sdc'/><name>vg</name>", "/dev/sdb, /dev/sdc"),
        ("<name>vg0</name>", "vg0"),
        ("", None),
    ],
)
def test_a_pools_source_is_one_text(inside: str, source: str | None) -> None:
    text = f"<pool type='x'><source>{inside}</source><target><path>/t</path></target></pool>"
    pool = parse_pool(text)
    assert (pool.type, pool.target, pool.source) == ("x", "/t", source)


def test_a_volume() -> None:
    volume = parse_volume(
        "<volume type='file'><name>a</name><capacity unit='MiB'>2</capacity>"
        "<allocation unit='bytes'>512</allocation>"
        "<target><path>/p/a</path><format type='qcow2'/></target>"
        "<backingStore><path>/p/base</path></backingStore></volume>"
    )
    assert (volume.type, volume.format, volume.path) == ("file", "qcow2", "/p/a")
    assert (volume.capacity_bytes, volume.allocation_bytes) == (2 << 20, 512)
    assert volume.backing_path == "/p/base"
    assert volume.beyond == ()


def test_a_volume_beyond_63_bits_is_of_unknown_size_and_says_so() -> None:
    text = "<volume><capacity>18446744073709551615</capacity><allocation>1</allocation></volume>"
    volume = parse_volume(text)
    assert (volume.capacity_bytes, volume.allocation_bytes) == (None, 1)
    assert volume.beyond == ("capacity",)


def test_a_network() -> None:
    network = parse_network(
        "<network><forward mode='route'/><bridge name='br1'/><domain name='d.example'/>"
        "<ip address='10.0.0.1' netmask='255.255.252.0'>"
        "<dhcp><range start='10.0.0.2' end='10.0.3.9'/></dhcp></ip>"
        "<ip family='ipv6' address='2001:db8::1' prefix='64'/></network>"
    )
    assert (network.bridge, network.forward, network.domain_name) == ("br1", "route", "d.example")
    assert network.addresses == ("10.0.0.1/22", "2001:db8::1/64")
    assert network.dhcp == (DhcpRange("10.0.0.2", "10.0.3.9"),)


def test_forwarding_without_a_mode_is_nat_and_none_is_isolated() -> None:
    assert parse_network("<network><forward/></network>").forward == "nat"
    assert parse_network("<network/>").forward is None


def test_a_netmask_that_is_none_leaves_the_address_alone() -> None:
    text = "<network><ip address='10.0.0.1' netmask='255.0.255.0'/></network>"
    assert parse_network(text).addresses == ("10.0.0.1",)


def test_an_interface_with_its_ports() -> None:
    interface = parse_interface(
        "<interface type='bridge' name='br0'><mtu size='9000'/>"
        "<protocol family='ipv4'><ip address='192.0.2.5' prefix='24'/></protocol>"
        "<bridge><interface type='ethernet' name='eth0'/><interface name='eth1'/></bridge>"
        "</interface>"
    )
    assert (interface.type, interface.mtu) == ("bridge", 9000)
    assert interface.addresses == ("192.0.2.5/24",)
    assert interface.ports == ("eth0", "eth1")


def test_an_interface_without_any_protocol_has_unknown_addresses_not_none() -> None:
    assert parse_interface("<interface type='ethernet' name='eth0'/>").addresses is None
