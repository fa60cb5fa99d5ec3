"""A look at some objects alone, because libvirt told that they changed.

Owns what is asked of each: a few calls, whatever else the host has. Reads what the scans remember
but changes nothing of it, so that it may run beside one. What cannot be read whole is left to a
scan: only that libvirt says "no such object" means that it is gone.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import libvirt

from app.errors import VirtError
from app.inventory import Definition, Domain, Network, Pool, Volume
from app.virt.read.agent import Answer
from app.virt.read.domain_facts import SNAPSHOT, TRANSIENT, Known, Row, fact_of, take, texts_of
from app.virt.read.listing import FLAGS, Listed
from app.virt.read.look import Look
from app.virt.read.networks import leases_of, network_of
from app.virt.read.storage import LISTABLE, Places, pool_of
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


def read_domain(
    look: Look, uuid: str, last: Known | None, answer: Answer | None, places: Places
) -> tuple[Domain, Definition | None] | None:
    """A domain with its definition, given what the scans remember of it; None: it is gone. Raises
    Unread, and VirtError when the host is lost.
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
    return fact_of(known, uuid, row, places), definition


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
