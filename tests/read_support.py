"""What the tests of app/virt/read share: node files of libvirt's test driver, sessions, faults.

A node file is a whole host in one XML file; every opened connection has a world of its own.
Faults are raised at the one choke-point, as npvirt's own typed error, and counted.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import NAMESPACE_DNS, uuid5

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.inventory import Scan
from app.virt.read import Reader
from app.virt.session import Session

RUNNING, PAUSED, SHUTOFF = 1, 3, 5
_TEST_NAMESPACE = "http://libvirt.org/schemas/domain/test/1.0"
URI = "test:///node"

NETWORK = """
<network><name>default</name><uuid>dd8fe884-6c02-601e-7551-cca97df1c5df</uuid>
  <forward mode='nat'/><bridge name='virbr0'/><domain name='lab.example'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>
  <ip family='ipv6' address='2001:db8::1' prefix='64'/></network>
"""

INTERFACES = """
<interface type='ethernet' name='eth1'><start mode='onboot'/><mac address='AA:BB:CC:DD:EE:FF'/>
  <mtu size='1492'/><protocol family='ipv4'><ip address='192.168.0.5' prefix='24'/></protocol>
</interface>
<interface type='bridge' name='virbr0'><start mode='onboot'/>
  <bridge stp='off' delay='0'/></interface>
"""


def uuid_of(name: str) -> str:
    """The UUID that the domain or pool `name` has in a node file."""
    return str(uuid5(NAMESPACE_DNS, name))


def domain_xml(
    name: str,
    *,
    state: int = SHUTOFF,
    uuid: str | None = None,
    title: str = "",
    devices: str = "",
    extra: str = "",
) -> str:
    """A domain of a node file; texts are escaped already."""
    return (
        f"<domain type='test' xmlns:test='{_TEST_NAMESPACE}'><name>{name}</name>"
        f"<uuid>{uuid or uuid_of(name)}</uuid><title>{title or name}</title>"
        "<memory>204800</memory><currentMemory>102400</currentMemory>"
        "<vcpu current='1'>2</vcpu><os><type arch='x86_64'>hvm</type></os>"
        f"<devices>{devices}</devices>"
        f"<test:runstate>{state}</test:runstate>{extra}</domain>"
    )


def pool_xml(name: str, volumes: Iterable[str]) -> str:
    """A directory pool of a node file, its volumes of 1 MiB each."""
    inside = "".join(
        f"<volume><name>{volume}</name><capacity>1048576</capacity>"
        f"<target><path>/{name}/{volume}</path><format type='qcow2'/></target></volume>"
        for volume in volumes
    )
    return (
        f"<pool type='dir'><name>{name}</name><uuid>{uuid_of(name)}</uuid>"
        f"<target><path>/{name}</path></target>{inside}</pool>"
    )


def disk_xml(path: str, target: str = "vda") -> str:
    """A disk on a file."""
    return (
        f"<disk type='file' device='disk'><source file='{path}'/>"
        f"<target dev='{target}' bus='virtio'/></disk>"
    )


def write_node(directory: Path, *parts: str) -> Path:
    """A node file with `parts` in it."""
    path = directory / "node.xml"
    path.write_text(f"<node>{''.join(parts)}</node>", encoding="utf-8")
    return path


@contextmanager
def opened(node: Path) -> Iterator[Session]:
    """A session on the world of a node file."""
    connection = Connection(driver="test", transport="embedded", path=str(node))
    session = Session.open(Endpoint(connection), read_only=False)
    try:
        yield session
    finally:
        session.close()


class Clock:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """The time now."""
        return self.now_s


class Faults:
    """A session in which chosen calls fail; `injected` counts how often one did."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._faults: dict[str, tuple[VirtError, Callable[[Any], bool]]] = {}
        self.calls: list[str] = []
        self.injected = 0
        self.alive = True

    def fail(
        self, name: str, error: VirtError, when: Callable[[Any], bool] = lambda _: True
    ) -> None:
        """Have the call `name` fail where `when` holds for the object it belongs to."""
        self._faults[name] = (error, when)

    def heal(self) -> None:
        """No call fails any more."""
        self._faults.clear()

    @property
    def session(self) -> Session:
        """This, as what a reader takes."""
        return cast(Session, self)

    @property
    def connection(self) -> Any:
        """The connection underneath."""
        return self._session.connection

    @property
    def rpc_count(self) -> int | None:
        """How many calls would have gone over a wire."""
        return len(self.calls)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As Session.call, unless the call is one that shall fail."""
        self.calls.append(function.__name__)
        fault = self._faults.get(function.__name__)
        if fault is not None and fault[1](getattr(function, "__self__", None)):
            self.injected += 1
            if fault[0].failure == "unreachable":
                self.alive = False
            # A fresh one: an error that is raised again and again keeps every frame it passed.
            error = fault[0]
            raise VirtError(error.failure, error.sentence, problem=error.problem)
        return self._session.call(function, *args, **kwargs)


def scanned(session: Session, *, at_ms: int = 1) -> Scan:
    """One scan by a reader of its own."""
    return Reader(open_writable=None).scan(session, at_ms=at_ms, uri=URI)


def parts_missing(scan: Scan) -> set[str]:
    """The names of the parts that a scan could not read."""
    return {entry.part for entry in scan.missing}
