"""The host's own network interfaces.

Owns that an interface which is the bridge of a libvirt network is not shown as one of the
host's. They change rarely and are read in turn.
"""

from collections.abc import Callable, Mapping

import libvirt
from msgspec import structs

from app.errors import VirtError
from app.inventory import Interface
from app.virt.read.look import Look
from app.virt.read.words import own_name
from app.virt.xml.document import XmlRefused
from app.virt.xml.network import InterfaceXml, parse_interface
from app.virt.xml.values import clean

PERIOD_S = 5 * 60.0


class InterfaceReader:
    """Reads the host's own interfaces and remembers them between scans."""

    def __init__(self) -> None:
        self._handles: list[libvirt.virInterface] | None = None
        self._active: frozenset[str] = frozenset()
        self._flaws: dict[str, str] = {}
        self._xml: dict[str, InterfaceXml] = {}
        self._facts: Mapping[str, Interface] | None = None

    def forget(self) -> None:
        """Handles belong to one connection and end with it."""
        self._handles = None

    def read(self, look: Look, bridges: frozenset[str]) -> Mapping[str, Interface] | None:
        """All interfaces by name but `bridges`; None when they cannot be listed. Raises
        VirtError when the host is lost.
        """
        if not self._list(look) or self._handles is None:
            return None
        facts: dict[str, Interface] = {}
        for handle in self._handles:
            name, flaw = own_name(handle.name)
            if name in bridges:
                continue
            flaw = self._define(look, handle, name) or flaw
            fact = self._fact(handle, name, flaw)
            last = self._facts.get(name) if self._facts is not None else None
            facts[name] = last if last is not None and last == fact else fact
        if facts != self._facts:
            self._facts = facts
        return self._facts

    def _list(self, look: Look) -> bool:
        """Bring the list up to date if that is due; False when it failed."""
        connection = look.connection
        # A card was plugged in or out.
        again = look.again("interface")
        due = look.rotation.due("interfaces", PERIOD_S, now=again)
        try:
            if due or self._handles is None:
                self._handles = look.call(connection.listAllInterfaces, 0)
            if look.rotation.due("active interfaces", PERIOD_S, now=again):
                flag = libvirt.VIR_CONNECT_LIST_INTERFACES_ACTIVE
                active = look.call(connection.listAllInterfaces, flag)
                self._active = frozenset(own_name(handle.name)[0] for handle in active)
        except VirtError as error:
            look.note_error("interfaces", error)
            if error.failure != "unsupported":
                # Both: the list without the other would show every interface as inactive.
                look.rotation.failed("interfaces")
                look.rotation.failed("active interfaces")
            return False
        return True

    def _define(self, look: Look, handle: libvirt.virInterface, name: str) -> str | None:
        """Read the interface's XML when it is due; gives what is wrong with it."""
        if not look.rotation.due(("interface XML", name), PERIOD_S):
            return self._flaws.get(name)
        try:
            self._xml[name] = parse_interface(look.call(handle.XMLDesc, 0))
        except XmlRefused as refused:
            self._flaws[name] = str(refused)
        except VirtError as error:
            if error.failure != "gone":
                look.note_error("interfaces", error)
                look.rotation.failed(("interface XML", name))
                if name not in self._xml:
                    self._flaws[name] = error.sentence
        else:
            self._flaws.pop(name, None)
        return self._flaws.get(name)

    def _fact(self, handle: libvirt.virInterface, name: str, flaw: str | None) -> Interface:
        xml = self._xml.get(name) or InterfaceXml()
        return Interface(
            name=name,
            state="active" if name in self._active else "inactive",
            mac=_mac(handle.MACString),
            damaged=flaw,
            **structs.asdict(xml),
        )


def _mac(own: Callable[[], str | None]) -> str | None:
    """An interface's MAC address, which it knows itself; none for some (loopback says zeros)."""
    try:
        mac = clean(own() or "").lower()
    except (UnicodeDecodeError, libvirt.libvirtError):
        return None
    return None if mac in ("", "00:00:00:00:00:00") else mac
