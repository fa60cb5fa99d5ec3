"""Which domains a host has, their states and their flags.

Owns the few bulk calls that tell this for any number of domains: one for all states, one for each
flag. The list is complete or not there at all.
"""

from collections.abc import Mapping
from typing import NamedTuple

import libvirt

from app.errors import VirtError
from app.virt.read.look import Look
from app.virt.read.words import own_name


class Flag(NamedTuple):
    """A property of domains, and the filter that lists those that have it.

    `period_s` None: read at every scan. Else it is read in turn, and at once when
    `with_state` and any domain came, went or changed its state: a domain is saved by stopping
    it, and a transient one comes by starting.
    """

    name: str
    filter: int
    period_s: float | None = None
    with_state: bool = False


# In the order of their bits.
FLAGS: tuple[Flag, ...] = (
    Flag("transient", libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT, 120.0, with_state=True),
    Flag("managed_save", libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE, 120.0, with_state=True),
    Flag("autostart", libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART),
    Flag("has_snapshot", libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT),
    Flag("has_checkpoint", libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT, 300.0),
)
_ALL_BITS = (1 << len(FLAGS)) - 1


class Listed(NamedTuple):
    """One domain in the list; `id` is None while inactive, `flaw` what is wrong with its name."""

    handle: libvirt.virDomain
    uuid: str
    name: str
    flaw: str | None
    id: int | None
    state: int
    reason: int


class Flags(NamedTuple):
    """Flag bits by domain UUID (absent: none set), the bits that were never read, and those whose
    list failed now and is the one of an earlier scan.
    """

    bits: Mapping[str, int]
    unknown: int
    stale: int


class ListReader:
    """Lists the domains of one host."""

    def __init__(self) -> None:
        self._bulk = True
        self._sets: dict[str, frozenset[str]] = {}
        self._states: dict[str, tuple[int | None, int]] = {}
        self._listed: list[Listed] | None = None
        self._listed_s = 0.0
        # The list that the states are of.
        self._flagged: list[Listed] | None = None

    def forget(self) -> None:
        """Try the bulk call again, on another connection."""
        self._bulk = True
        self._listed = None

    def domains(self, look: Look) -> list[Listed]:
        """All domains with their states, the very same list as before where libvirt vouches for
        it; raises VirtError when the list cannot be had.
        """
        if self._listed is None or look.lists("domain", self._listed_s):
            self._listed = None
            self._listed, self._listed_s = self._read(look), look.now_s
        return self._listed

    def _read(self, look: Look) -> list[Listed]:
        connection = look.connection
        if self._bulk:
            try:
                records = look.call(connection.getAllDomainStats, libvirt.VIR_DOMAIN_STATS_STATE, 0)
            except VirtError as error:
                if error.failure != "unsupported":
                    raise
                self._bulk = False
            else:
                return [
                    _listed(domain, state, record.get("state.reason", 0))
                    for domain, record in records
                    if (state := record.get("state.state")) is not None
                ]
        handles = look.call(connection.listAllDomains, 0)
        return [listed for handle in handles if (listed := _ask_state(look, handle)) is not None]

    def flags(self, look: Look, listed: list[Listed]) -> Flags:
        """The flags of all domains; a list that fails leaves its flag as it was last seen."""
        changed = False
        if listed is not self._flagged:
            states = {entry.uuid: (entry.id, entry.state) for entry in listed}
            changed = states != self._states
            self._states, self._flagged = states, listed
        again = look.again("domain")
        bits: dict[str, int] = {}
        unknown, stale = _ALL_BITS, 0
        for position, flag in enumerate(FLAGS):
            if not self._read_flag(look, flag, changed=again or (changed and flag.with_state)):
                stale |= 1 << position
            holders = self._sets.get(flag.name)
            if holders is not None:
                unknown &= ~(1 << position)
                for uuid in holders:
                    bits[uuid] = bits.get(uuid, 0) | 1 << position
        return Flags(bits, unknown, stale)

    def _read_flag(self, look: Look, flag: Flag, *, changed: bool) -> bool:
        """Read one list if it is due; False when that failed."""
        key = ("flag", flag.name)
        if flag.period_s is not None and not look.rotation.due(key, flag.period_s, now=changed):
            return True
        try:
            handles = look.call(look.connection.listAllDomains, flag.filter)
        except VirtError as error:
            look.note_error(f"domain flag {flag.name.replace('_', '-')}", error)
            if error.failure != "unsupported":
                look.rotation.failed(key)
            return False
        self._sets[flag.name] = frozenset(handle.UUIDString() for handle in handles)
        return True


def _listed(handle: libvirt.virDomain, state: int, reason: int) -> Listed:
    name, flaw = own_name(handle.name)
    number = handle.ID()
    return Listed(
        handle, handle.UUIDString(), name, flaw, number if number >= 0 else None, state, reason
    )


def _ask_state(look: Look, handle: libvirt.virDomain) -> Listed | None:
    """The domain with its state by a call of its own; None when it has just gone."""
    try:
        state, reason = look.call(handle.state)
    except VirtError as error:
        if error.failure == "gone":
            return None
        look.note_error("domain states", error)
        return _listed(handle, libvirt.VIR_DOMAIN_NOSTATE, 0)
    return _listed(handle, state, reason)
