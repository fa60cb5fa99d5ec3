"""The networks of libvirt on a host, with their leases.

Owns when they are read: the list, its states and autostart at every scan, definitions and leases,
which change rarely, in turn.
"""

from collections.abc import Mapping
from typing import Any

import libvirt
from msgspec import structs

from app.errors import VirtError
from app.inventory import Lease, Network
from app.virt.read.look import Look
from app.virt.read.words import own_name
from app.virt.xml.document import XmlRefused
from app.virt.xml.network import NetworkXml, parse_network
from app.virt.xml.values import bounded, word

DEFINITION_PERIOD_S = 15 * 60.0
PERSISTENT_PERIOD_S = 3600.0
LEASES_PERIOD_S = 5 * 60.0
_MAX_LEASES = 65536


class _Known:
    __slots__ = ("fact", "leases", "xml")

    def __init__(self) -> None:
        self.fact: Network | None = None
        self.xml: NetworkXml | None = None
        self.leases: tuple[Lease, ...] | None = None


class NetworkReader:
    """Reads the libvirt networks of one host and remembers them between scans."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._autostart: frozenset[str] | None = None
        self._persistent: frozenset[str] | None = None
        self._listed: tuple[list[libvirt.virNetwork], frozenset[str]] | None = None
        self._listed_s = 0.0

    def forget(self) -> None:
        """Handles belong to one connection and end with it."""
        self._listed = None

    def bridges(self) -> frozenset[str]:
        """The bridges that belong to libvirt's networks, as of the last scan."""
        facts = (known.fact for known in self._known.values())
        return frozenset(fact.bridge for fact in facts if fact is not None and fact.bridge)

    def last(self, uuid: str) -> Network | None:
        """The network as it was last read."""
        known = self._known.get(uuid)
        return None if known is None else known.fact

    def read(self, look: Look) -> Mapping[str, Network] | None:
        """All networks by UUID; None (and noted) when they cannot be listed. Raises VirtError
        when the host is lost.
        """
        listed = self._listed
        if listed is None or look.lists("network", self._listed_s):
            listed = self._listed = look.attempt("networks", lambda: _both(look), None)
            self._listed_s = look.now_s
        if listed is None:
            return None
        handles, active = listed
        if handles:
            self._read_flags(look, new=any(one.UUIDString() not in self._known for one in handles))
        facts: dict[str, Network] = {}
        for handle in handles:
            uuid = handle.UUIDString()
            known = self._known.setdefault(uuid, _Known())
            fact = self._read_one(look, handle, uuid, known, active=uuid in active)
            if fact is not None:
                facts[uuid] = fact
        self._known = {uuid: self._known[uuid] for uuid in facts}
        return facts

    def _read_flags(self, look: Look, *, new: bool) -> None:
        flag = libvirt.VIR_CONNECT_LIST_NETWORKS_AUTOSTART
        self._autostart = _uuids(look, "network autostart", flag, self._autostart)
        # A list from before a network was there says nothing of it.
        again = bool(look.again("network")) or new
        if look.rotation.due("network persistent", PERSISTENT_PERIOD_S, now=again):
            flag = libvirt.VIR_CONNECT_LIST_NETWORKS_PERSISTENT
            self._persistent = _uuids(look, "network persistent", flag, self._persistent)

    def _read_one(
        self, look: Look, handle: libvirt.virNetwork, uuid: str, known: _Known, *, active: bool
    ) -> Network | None:
        name, flaw = own_name(handle.name)
        state = "active" if active else "inactive"
        changed = known.fact is not None and known.fact.state != state
        try:
            flaw = _define(look, handle, known, uuid, changed=changed) or flaw
            _read_leases(look, handle, known, uuid, active=active, changed=changed)
        except VirtError as error:
            if error.failure == "gone":
                return None
            look.note_error(f"network {name}", error)
            look.rotation.failed(("network XML", uuid))
            flaw = flaw or (error.sentence if known.xml is None else None)
        fact = network_of(
            uuid,
            name,
            state,
            xml=known.xml or NetworkXml(),
            autostart=None if self._autostart is None else uuid in self._autostart,
            persistent=None if self._persistent is None else uuid in self._persistent,
            leases=known.leases,
            damaged=flaw,
        )
        if known.fact is None or fact != known.fact:
            known.fact = fact
        return known.fact


def network_of(
    uuid: str,
    name: str,
    state: str,
    *,
    xml: NetworkXml,
    autostart: bool | None,
    persistent: bool | None,
    leases: tuple[Lease, ...] | None,
    damaged: str | None = None,
) -> Network:
    """The network as a fact, of what its definition and its lists say."""
    return Network(
        uuid=uuid,
        name=name,
        state=state,
        autostart=autostart,
        persistent=persistent,
        leases=leases,
        damaged=damaged,
        **structs.asdict(xml),
    )


def _both(look: Look) -> tuple[list[libvirt.virNetwork], frozenset[str]]:
    """All networks, and the UUIDs of the active ones."""
    connection = look.connection
    handles = look.call(connection.listAllNetworks, 0)
    active = look.call(connection.listAllNetworks, libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
    return handles, frozenset(handle.UUIDString() for handle in active)


def _uuids(look: Look, part: str, flag: int, last: frozenset[str] | None) -> frozenset[str] | None:
    """The UUIDs of the networks with `flag`; where that fails, what was known last."""
    try:
        handles = look.call(look.connection.listAllNetworks, flag)
    except VirtError as error:
        look.note_error(part, error)
        if error.failure != "unsupported":
            look.rotation.failed(part)
        return last
    return frozenset(handle.UUIDString() for handle in handles)


def _define(
    look: Look, handle: libvirt.virNetwork, known: _Known, uuid: str, *, changed: bool
) -> str | None:
    """Read the network's XML when it is due; gives what is wrong with it."""
    again = look.again("network", uuid)
    due = look.rotation.due(("network XML", uuid), DEFINITION_PERIOD_S, now=again)
    if not (due or changed or known.xml is None):
        return known.fact.damaged if known.fact is not None else None
    try:
        known.xml = parse_network(look.call(handle.XMLDesc, 0))
    except XmlRefused as refused:
        return str(refused)
    return None


def _read_leases(
    look: Look,
    handle: libvirt.virNetwork,
    known: _Known,
    uuid: str,
    *,
    active: bool,
    changed: bool,
) -> None:
    if not active:
        known.leases = None
        return
    key = ("leases", uuid)
    if not look.rotation.due(key, LEASES_PERIOD_S) and not changed:
        return
    known.leases = leases_of(look, handle)


def leases_of(look: Look, handle: libvirt.virNetwork) -> tuple[Lease, ...] | None:
    """The leases of an active network; None (and noted) where they cannot be had. Raises VirtError
    when the network has gone, or the host is lost.
    """
    try:
        found = look.call(handle.DHCPLeases)
    except VirtError as error:
        if error.failure == "gone":
            raise
        look.note_error("leases", error)
        return None
    leases = [_lease(entry) for entry in (found or [])[:_MAX_LEASES]]
    return tuple(sorted(leases, key=lambda lease: (lease.mac or "", lease.address or "")))


def _lease(entry: Mapping[str, Any]) -> Lease:
    address, prefix = word(entry.get("ipaddr")), entry.get("prefix")
    expires_s = entry.get("expirytime")
    return Lease(
        mac=word(entry.get("mac")),
        address=f"{address}/{prefix}" if address and prefix else address,
        hostname=word(entry.get("hostname")),
        expires_at_ms=bounded(expires_s * 1000) if expires_s else None,
    )
