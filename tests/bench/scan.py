"""What a scan costs: calls, and time against `virsh domstats`, on a private libvirtd.

1,000 defined domains of which 30 run (firmware only, 16 MiB, TCG), one pool, one network. The
scans and `virsh` take turns in one run, so that both see the same machine.
"""

import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import NAMESPACE_DNS, uuid5

import libvirt

from app.connection import Connection, Endpoint
from app.inventory import What
from app.virt.read import Reader
from app.virt.session import Session
from tests.lab.host import LabHost

DOMAINS = 1000
RUNNING = 30
ROUNDS = 15

_NETWORK = """<network><name>default</name><forward mode='nat'/><bridge name='virbr0'/>
<ip address='192.168.122.1' netmask='255.255.255.0'>
<dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>"""
_POOL = """<pool type='dir'><name>images</name>
<target><path>/var/lib/libvirt/images</path></target></pool>"""
_VOLUME = """<volume><name>{name}</name><capacity unit='MiB'>16</capacity>
<target><format type='qcow2'/></target></volume>"""
_DOMAIN = """<domain type='qemu'><name>vm-{number:04d}</name><uuid>{uuid}</uuid>
<memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices>{disk}<interface type='network'><source network='default'/><model type='virtio'/>
</interface><graphics type='vnc' autoport='yes' listen='127.0.0.1'/></devices></domain>"""
_DISK = """<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='/var/lib/libvirt/images/shared.qcow2'/><target dev='vda' bus='virtio'/></disk>"""


def run() -> Iterator[str]:
    """The figures, a line each."""
    with LabHost("bench") as host:
        socket = str(host.socket)
        uri = f"qemu:///system?socket={socket}"
        define(uri, DOMAINS, running=RUNNING)
        # The firmware works until it has found nothing to boot.
        time.sleep(30)
        with _session(socket) as session:
            reader = Reader(open_writable=None)
            first = reader.scan(session, at_ms=1, uri=uri, everything=True)
            per_domain = (first.rpc_count or 0) / DOMAINS
            yield (
                f"first scan of {len(first.domains or ())} domains: {first.rpc_count} calls "
                f"({per_domain:.2f} per domain, limit 3), {first.took_ms} ms"
            )
            yield from _steady(reader, session, uri)
            yield _alone(reader, session)


def _steady(reader: Reader, session: Session, uri: str) -> Iterator[str]:
    calls, ours, virshs = [], [], []
    for at_ms in range(2, 2 + ROUNDS):
        started = time.perf_counter()
        scan = reader.scan(session, at_ms=at_ms, uri=uri)
        between = time.perf_counter()
        subprocess.run(["virsh", "-c", uri, "domstats"], check=True, stdout=subprocess.DEVNULL)
        ours.append(between - started)
        virshs.append(time.perf_counter() - between)
        calls.append(scan.rpc_count or 0)
        assert not scan.missing, scan.missing
    yield f"steady scan: {statistics.median(calls):.0f} calls, {max(calls)} at most (limit 16)"
    ours_ms, virsh_ms = (statistics.median(times) * 1000 for times in (ours, virshs))
    yield (
        f"steady scan {ours_ms:.0f} ms, virsh domstats {virsh_ms:.0f} ms: "
        f"ratio {ours_ms / virsh_ms:.2f} (limit 0.6)"
    )


def _alone(reader: Reader, session: Session) -> str:
    """A look at one running domain, as when libvirt tells that it was started."""
    started, what = [], frozenset[What](("state",))
    before = session.rpc_count or 0
    for number in range(ROUNDS):
        told = {("domain", str(uuid5(NAMESPACE_DNS, str(number)))): what}
        begun = time.perf_counter()
        look = reader.look_at(session, told)
        started.append(1000 * (time.perf_counter() - begun))
        assert len(look.domains) == len(look.definitions) == 1
    calls = ((session.rpc_count or 0) - before) / ROUNDS
    return f"a look at one domain alone: {calls:.0f} calls, {statistics.median(started):.1f} ms"


@contextmanager
def _session(socket: str) -> Iterator[Session]:
    session = Session.open(Endpoint(Connection(socket=socket)), read_only=True)
    try:
        yield session
    finally:
        session.close()


def define(uri: str, domains: int, *, running: int) -> None:
    """Define a network, a pool, and domains, and start some of them."""
    connection = libvirt.open(uri)
    try:
        connection.networkDefineXML(_NETWORK).create()
        pool = connection.storagePoolDefineXML(_POOL)
        pool.create()
        pool.createXML(_VOLUME.format(name="shared.qcow2"))
        for number in range(domains):
            uuid = uuid5(NAMESPACE_DNS, str(number))
            disk = "" if number < running else _DISK
            domain = connection.defineXML(_DOMAIN.format(number=number, uuid=uuid, disk=disk))
            if number < running:
                domain.create()
    finally:
        connection.close()
