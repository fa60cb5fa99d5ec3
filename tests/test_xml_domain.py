"""A domain's XML becomes its devices and figures."""

import pytest

from app.inventory import Disk, Graphics, Nic
from app.virt.xml.domain import parse_domain

LIVE = """
<domain type='kvm' id='7'>
  <name>web</name>
  <title>Web &lt;1&gt;</title>
  <description>front
end</description>
  <memory unit='KiB'>2097152</memory>
  <currentMemory unit='KiB'>1048576</currentMemory>
  <vcpu placement='static' current='2'>8</vcpu>
  <os firmware='efi'><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='host-passthrough'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/images/web.qcow2'/>
      <backingStore type='file'>
        <format type='qcow2'/><source file='/images/base.qcow2'/>
        <backingStore type='file'><source file='/images/root.qcow2'/><backingStore/></backingStore>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='volume' device='disk'>
      <source pool='fast' volume='data'/><target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='network' device='disk'>
      <source protocol='rbd' name='pool/image'>
        <host name='2001:db8::5' port='6789'/></source>
      <target dev='vdc' bus='virtio'/>
    </disk>
    <disk type='block' device='lun'><source dev='/dev/sdx'/><target dev='sda' bus='scsi'/></disk>
    <disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>
    <interface type='network'>
      <mac address='52:54:00:AA:00:01'/>
      <source network='default' portid='x' bridge='virbr0'/>
      <target dev='vnet3'/><model type='virtio'/>
    </interface>
    <interface type='direct'><mac address='52:54:00:aa:00:02'/><source dev='eth0'/></interface>
    <interface type='bridge'><mac address='52:54:00:aa:00:03'/><source bridge='br0'/></interface>
    <graphics type='vnc' port='5903' autoport='yes'>
      <listen type='address' address='::1'/></graphics>
    <graphics type='spice' port='-1' tlsPort='5904' listen='0.0.0.0'/>
    <channel type='unix'><target type='virtio' name='com.redhat.spice.0'/></channel>
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
  </devices>
</domain>
"""


def test_texts_figures_and_machine() -> None:
    domain = parse_domain(LIVE)
    assert (domain.title, domain.description) == ("Web <1>", "front\nend")
    assert (domain.memory_bytes, domain.max_memory_bytes) == (1 << 30, 2 << 30)
    assert (domain.vcpus, domain.max_vcpus) == (2, 8)
    assert (domain.type, domain.os_type, domain.architecture) == ("kvm", "hvm", "x86_64")
    assert (domain.machine, domain.firmware) == ("pc-q35-7.2", "efi")
    assert domain.cpu_mode == "host-passthrough"
    assert domain.beyond == ()


def test_disks() -> None:
    root, volume, network, lun, cdrom = parse_domain(LIVE).disks
    assert root == Disk(
        target="vda",
        bus="virtio",
        source_type="file",
        source="/images/web.qcow2",
        format="qcow2",
        backing=("/images/base.qcow2", "/images/root.qcow2"),
    )
    assert (volume.pool, volume.volume, volume.source) == ("fast", "data", "fast/data")
    assert network.source == "rbd://[2001:db8::5]:6789/pool/image"
    assert (lun.device, lun.source) == ("lun", "/dev/sdx")
    assert (cdrom.device, cdrom.source, cdrom.read_only) == ("cdrom", None, True)


def test_interfaces() -> None:
    assert parse_domain(LIVE).nics == (
        Nic("52:54:00:aa:00:01", "network", "default", "virtio", "vnet3"),
        Nic("52:54:00:aa:00:02", "direct", "eth0"),
        Nic("52:54:00:aa:00:03", "bridge", "br0"),
    )


def test_graphics_without_a_port_yet_have_none() -> None:
    assert parse_domain(LIVE).graphics == (
        Graphics("vnc", 5903, None, "::1"),
        Graphics("spice", None, 5904, "0.0.0.0"),
    )


@pytest.mark.parametrize(
    ("state", "agent"),
    [
        (" state='connected'", "connected"),
        (" state='disconnected'", "disconnected"),
        ("", "disconnected"),
    ],
)
def test_the_agents_channel(state: str, agent: str) -> None:
    channel = f"<channel><target name='org.qemu.guest_agent.0'{state}/></channel>"
    assert parse_domain(f"<domain><devices>{channel}</devices></domain>").agent == agent
    assert parse_domain("<domain><devices/></domain>").agent is None


def test_an_empty_domain_is_all_unknown() -> None:
    domain = parse_domain("<domain/>")
    assert (domain.memory_bytes, domain.vcpus, domain.title) == (None, None, None)
    assert (domain.disks, domain.nics, domain.graphics) == ((), (), ())


def test_memory_beyond_63_bits_is_unknown_and_said() -> None:
    domain = parse_domain("<domain><memory>18446744073709551615</memory></domain>")
    assert domain.max_memory_bytes is None
    assert domain.beyond == ("memory",)


def test_uefi_by_loader_is_recognised() -> None:
    text = "<domain><os><loader type='pflash'>/x/OVMF.fd</loader></os></domain>"
    assert parse_domain(text).firmware == "efi"
