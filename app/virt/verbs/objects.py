"""The objects of a host that can be acted on: looked up, and how they stand right now."""

from typing import TYPE_CHECKING, Any, Literal

import libvirt
from msgspec import Struct

from app.errors import VirtError
from app.virt.read.words import domain_state, pool_state
from app.virt.xml.document import XmlRefused
from app.virt.xml.domain import parse_domain

if TYPE_CHECKING:
    from app.virt.session import Session

Kind = Literal["domain", "pool", "volume", "network", "snapshot"]


class Target(Struct, frozen=True):
    """One object. `uuid` is its own; of a volume that of its pool, of a snapshot that of its
    domain, and `name` is theirs.
    """

    kind: Kind
    uuid: str
    name: str = ""


class Standing(Struct, frozen=True):
    """How an object stands: its state (of a volume: its pool's; of a snapshot: its domain's) and,
    of a domain, its id while it is active.
    """

    state: str
    id: int | None = None


def standing(session: "Session", target: Target) -> Standing:
    """Ask libvirt how the object stands; raises VirtError ("gone" when it is not there)."""
    if target.kind in ("domain", "snapshot"):
        domain = find_domain(session, target.uuid)
        state, _ = session.call(domain.state)
        number = domain.ID()
        if target.kind == "snapshot":
            session.call(domain.snapshotLookupByName, target.name, 0)
        return Standing(domain_state(state), number if number >= 0 else None)
    if target.kind == "network":
        network = find_network(session, target.uuid)
        return Standing("active" if session.call(network.isActive) else "inactive")
    pool = find_pool(session, target.uuid)
    state = pool_state(session.call(pool.info)[0])
    if target.kind == "volume" and state != "inactive":
        session.call(pool.storageVolLookupByName, target.name)
    return Standing(state)


def find_domain(session: "Session", uuid: str) -> Any:
    """The domain's handle; raises VirtError."""
    return session.call(connection_of(session).lookupByUUIDString, uuid)


def find_pool(session: "Session", uuid: str) -> Any:
    """The storage pool's handle; raises VirtError."""
    return session.call(connection_of(session).storagePoolLookupByUUIDString, uuid)


def find_network(session: "Session", uuid: str) -> Any:
    """The network's handle; raises VirtError."""
    return session.call(connection_of(session).networkLookupByUUIDString, uuid)


def find_volume(session: "Session", target: Target) -> Any:
    """The volume's handle; raises VirtError."""
    return session.call(find_pool(session, target.uuid).storageVolLookupByName, target.name)


def connection_of(session: "Session") -> Any:
    """Libvirt's connection; raises VirtError where the session is over."""
    connection = session.connection
    if connection is None:
        raise VirtError("unreachable", "The connection was lost.", problem="lost")
    return connection


def volume_path(session: "Session", target: Target) -> str:
    """Where a volume lies on its host; raises VirtError."""
    return str(session.call(find_volume(session, target).path))


def users_of_path(session: "Session", path: str, pool: str, volume: str) -> list[str]:
    """The names of the domains that have the volume at `path` as a disk or under one, by what
    they run with and by what they would start with. Asks about every domain; raises VirtError.
    """
    connection, found = connection_of(session), set()
    for handle in session.call(connection.listAllDomains, 0):
        flags = [0, libvirt.VIR_DOMAIN_XML_INACTIVE] if handle.ID() >= 0 else [0]
        for flag in flags:
            try:
                xml = parse_domain(session.call(handle.XMLDesc, flag))
            except XmlRefused:
                continue
            except VirtError as error:
                # Gone meanwhile, or transient, so that it would start with nothing.
                if error.failure in ("gone", "invalid_state", "unsupported", "failed"):
                    continue
                raise
            for disk in xml.disks:
                by_name = (disk.pool, disk.volume) == (pool, volume)
                if disk.source == path or path in disk.backing or by_name:
                    found.add(handle.name())
    return sorted(found)
