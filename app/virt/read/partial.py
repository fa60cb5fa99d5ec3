"""A look at some objects alone, because libvirt told that they changed.

Owns what is asked of each: a few calls, whatever else the host has. Reads what the scans remember
but changes nothing of it, so that it may run beside one. What cannot be read whole is left to a
scan: only that libvirt says "no such object" means that it is gone.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import libvirt
from msgspec import structs

from app.errors import VirtError
from app.inventory import Definition, Domain, Network, PartialLook, Pool, Volume, What
from app.virt.read.agent import AgentWatch, Answer
from app.virt.read.domain_facts import SNAPSHOT, TRANSIENT, Known, Row, fact_of, take, texts_of
from app.virt.read.domains import DomainReader
from app.virt.read.listing import FLAGS, Listed
from app.virt.read.look import Look, each
from app.virt.read.networks import NetworkReader, leases_of, network_of
from app.virt.read.storage import LISTABLE, Places, StorageReader, pool_of
from app.virt.read.volumes import PoolVolumes
from app.virt.read.words import own_name, pool_state
from app.virt.xml.document import XmlRefused
from app.virt.xml.network import parse_network
from app.virt.xml.storage import parse_pool

T = TypeVar("T")

_MANAGED_SAVE = 1 << [flag.name for flag in FLAGS].index("managed_save")
_AUTOSTART = 1 << [flag.name for flag in FLAGS].index("autostart")
_CHECKPOINT = 1 << [flag.name for flag in FLAGS].index("has_checkpoint")


class Unread(Exception):
    """An object that could not be read whole now."""


class PartialReader:
    """Reads some objects of one host, given what the readers of its scans remember."""

    def __init__(
        self,
        domains: DomainReader,
        storage: StorageReader,
        networks: NetworkReader,
        agent: AgentWatch | None,
    ) -> None:
        self._domains = domains
        self._storage = storage
        self._networks = networks
        self._agent = agent
        # Domains that were read whole here, each with the number of scans begun until then: what
        # the scans remember is newer only once one that began later has ended.
        self._whole: dict[str, tuple[int, Known]] = {}
        self._begun = 0

    def scan_begins(self) -> None:
        """Take note that a scan begins."""
        self._begun += 1

    def scan_ends(self) -> None:
        """Take note that it was read to its end."""
        for uuid, (number, _) in list(self._whole.items()):
            if number < self._begun:
                self._whole.pop(uuid, None)

    def read(self, look: Look, told: Mapping[tuple[str, str], frozenset[What]]) -> PartialLook:
        """Look at the objects that were told of; raises VirtError when the host is lost."""
        domains: dict[str, Domain | None] = {}
        definitions: dict[str, Definition] = {}
        pools: dict[str, Pool | None] = {}
        volumes: dict[str, Mapping[str, Volume]] = {}
        networks: dict[str, Network | None] = {}
        unread: set[tuple[str, str]] = set()

        def read_one(one: tuple[str, str]) -> None:
            kind, key = one
            try:
                if kind == "domain":
                    found = self._domain(look, key, told[one])
                    domains[key] = None if found is None else found[0]
                    if found is not None and found[1] is not None:
                        definitions[key] = found[1]
                elif kind == "pool":
                    pool = read_pool(look, key, *self._storage.last(key))
                    pools[key] = None if pool is None else pool[0]
                    if pool is not None and pool[1] is not None:
                        volumes[key] = pool[1]
                elif kind == "network":
                    networks[key] = read_network(look, key, self._networks.last(key))
            except Unread:
                unread.add(one)

        each(read_one, list(told), worth=4)
        return PartialLook(
            0, 0, told, domains, definitions, pools, volumes, networks, frozenset(unread)
        )

    def _domain(
        self, look: Look, uuid: str, what: frozenset[What]
    ) -> tuple[Domain, Definition | None] | None:
        answers = {} if self._agent is None else self._agent.answers()
        # What the agent's channel was before says nothing of what it is now.
        heard = "agent" in what
        answer = None if heard else answers.get(uuid)
        number, places = self._begun, self._storage.places
        last = self._last(uuid, what)
        found = read_domain(look, uuid, last, answer, places)
        if found is None:
            self._whole.pop(uuid, None)
            return None
        domain, definition, known = found
        if last is None:
            self._whole[uuid] = number, known
        if heard and self._agent is not None:
            self._agent.heard(uuid, domain.agent)
            if (told := answers.get(uuid)) is not None and told.id == domain.id:
                domain = structs.replace(domain, guest=told.guest)
        return domain, definition

    def _last(self, uuid: str, what: frozenset[What]) -> Known | None:
        """What is remembered of a domain that need not be asked; None: all is to be read. Of one
        that is asked for it is, whatever libvirt tells by itself.
        """
        if "asked" in what:
            return None
        whole = self._whole.get(uuid)
        return self._domains.last(uuid) if whole is None else whole[1]


def read_domain(
    look: Look, uuid: str, last: Known | None, answer: Answer | None, places: Places
) -> tuple[Domain, Definition | None, Known] | None:
    """A domain with its definition and what is to be remembered of it, given what is; None: it is
    gone. Raises Unread, and VirtError when the host is lost.
    """
    handle = _found(look, look.connection.lookupByUUIDString, uuid)
    if handle is None:
        return None
    entry = _whole(look, lambda: _stand(look, handle, uuid))
    before = None if last is None else last.row
    bits, unknown = _whole(look, lambda: _bits(look, handle, before))
    if answer is not None and answer.id != entry.id:
        answer = None
    row = Row(entry.name, entry.flaw, entry.id, entry.state, entry.reason, bits, unknown, answer)
    known = Known()
    known_snapshots = last is not None and before is not None
    # Of a domain that is remembered they are, too; libvirt tells nothing of snapshots.
    asked = row._replace(bits=bits & ~SNAPSHOT) if known_snapshots else row
    texts = texts_of(look, entry, asked)
    if texts.error is not None:
        raise Unread
    definition = take(look, known, entry, texts)
    if known.flaw is not None:
        # What the scans remember of its definition from before holds.
        raise Unread
    if last is not None and known_snapshots:
        known.snapshots = last.snapshots
    return fact_of(known, uuid, row, places), definition, known


def read_pool(
    look: Look, uuid: str, last: Pool | None, known: Mapping[str, Volume]
) -> tuple[Pool, Mapping[str, Volume] | None] | None:
    """A pool, and its volumes of which new ones alone are looked at: None where that is left to a
    scan. None alone: it is gone. Errors as of `read_domain`.
    """
    handle = _found(look, look.connection.storagePoolLookupByUUIDString, uuid)
    if handle is None:
        return None
    name, flaw = own_name(handle.name)

    def read() -> Pool:
        state = pool_state(look.call(handle.info)[0])
        xml = parse_pool(look.call(handle.XMLDesc, 0))
        return pool_of(
            uuid, name, state, xml=xml, damaged=flaw,
            autostart=bool(look.call(handle.autostart)),
            persistent=bool(look.call(handle.isPersistent)),
        )  # fmt: skip

    pool = _whole(look, read)
    was_listed = last is not None and last.state in LISTABLE
    if pool.state not in LISTABLE or not was_listed:
        return pool, None
    volumes = PoolVolumes(known)
    found = volumes.read(look, handle, uuid, again=False)
    return pool, None if found is None else volumes.facts


def read_network(look: Look, uuid: str, last: Network | None) -> Network | None:
    """A network; None: it is gone. Errors as of `read_domain`."""
    handle = _found(look, look.connection.networkLookupByUUIDString, uuid)
    if handle is None:
        return None
    name, flaw = own_name(handle.name)

    def read() -> Network:
        state = "active" if look.call(handle.isActive) else "inactive"
        leases = None
        if state == "active":
            is_same = last is not None and last.state == state
            leases = last.leases if is_same and last is not None else leases_of(look, handle)
        return network_of(
            uuid, name, state, xml=parse_network(look.call(handle.XMLDesc, 0)),
            autostart=bool(look.call(handle.autostart)),
            persistent=bool(look.call(handle.isPersistent)),
            leases=leases, damaged=flaw,
        )  # fmt: skip

    return _whole(look, read)


def _found(look: Look, lookup: Callable[[str], T], uuid: str) -> T | None:
    """The object; None where libvirt says that there is none."""
    try:
        return look.call(lookup, uuid)
    except VirtError as error:
        if error.failure == "gone":
            return None
        if look.is_lost(error):
            raise
        raise Unread from None


def _whole(look: Look, read: Callable[[], T]) -> T:
    """What `read` gives, if no call of it fails. That an object goes meanwhile is told by an event
    of its own.
    """
    try:
        return read()
    except XmlRefused:
        raise Unread from None
    except VirtError as error:
        if look.is_lost(error):
            raise
        raise Unread from None


def _stand(look: Look, handle: libvirt.virDomain, uuid: str) -> Listed:
    """The domain's state and id of one moment."""
    name, flaw = own_name(handle.name)
    try:
        ask = look.connection.domainListGetStats
        records = look.call(ask, [handle], libvirt.VIR_DOMAIN_STATS_STATE, 0)
    except VirtError as error:
        if error.failure != "unsupported":
            raise
        state, reason = look.call(handle.state)
        number = handle.ID()
    else:
        if not records:
            raise Unread
        ((one, record),) = records
        if (state := record.get("state.state")) is None:
            raise Unread
        reason, number = record.get("state.reason", 0), one.ID()
    return Listed(handle, uuid, name, flaw, number if number >= 0 else None, state, reason)


def _bits(look: Look, handle: libvirt.virDomain, before: Row | None) -> tuple[int, int]:
    """The domain's flags and those that are unknown: as in the lists. Of what libvirt does not
    tell (autostart, snapshots) the last list is good enough where there is one.
    """
    asked: dict[int, Callable[[], object]] = {
        TRANSIENT: lambda: not look.call(handle.isPersistent),
        _MANAGED_SAVE: lambda: look.call(handle.hasManagedSaveImage, 0),
    }
    bits = unknown = 0
    if before is None:
        asked |= {
            _AUTOSTART: lambda: look.call(handle.autostart),
            SNAPSHOT: lambda: look.call(handle.snapshotNum, 0),
            _CHECKPOINT: lambda: look.call(handle.listAllCheckpoints, 0),
        }
    else:
        kept = ~(TRANSIENT | _MANAGED_SAVE)
        bits, unknown = before.bits & kept, before.unknown & kept
    for bit, ask in asked.items():
        try:
            bits |= bit if ask() else 0
        except VirtError as error:
            if error.failure != "unsupported":
                raise
            unknown |= bit
    return bits, unknown
