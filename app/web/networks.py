"""libvirt's networks across hosts, and the hosts' own interfaces."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flask import Blueprint, Response, request
from msgspec.structs import replace

from app.inventory import Lease
from app.language import N_, gettext, pgettext
from app.web.api.lists import answer_named
from app.web.format import UNKNOWN, switch
from app.web.kinds import (
    INTERFACES,
    NETWORKS,
    InterfaceSeen,
    NetworkSeen,
    plain_list,
)
from app.web.list_page import asked, host_choices, placed
from app.web.page import Drawing, View, draw
from app.web.permission import needs
from app.web.since import list_since
from app.web.when import When, Zone, since_text

blueprint = Blueprint("networks", __name__)

LIST = View("networks/list.html", "networks", frozenset(("host", "q", "differs")))
_MOST = 1000
_LEASES_SHOWN = 256
_FORWARD = {"nat": "NAT", "route": N_("routed"), "open": N_("open"), "bridge": N_("bridge")}


class LeaseRow(NamedTuple):
    """One lease of a network."""

    address: str
    mac: str
    hostname: str
    expires: When | None


class NetworkRow(NamedTuple):
    """One libvirt network; `leases` None where the driver cannot tell."""

    host: str
    uuid: str
    name: str
    damaged: str
    transient: bool
    known: bool
    css: str
    icon: str
    word: str
    small: str
    bridge: str
    forward: str
    addresses: tuple[str, ...]
    domain_name: str
    dhcp: tuple[str, ...]
    leases: tuple[LeaseRow, ...] | None
    lease_count: int
    autostart: str


class InterfaceRow(NamedTuple):
    """One interface of a host."""

    host: str
    name: str
    damaged: str
    known: bool
    css: str
    icon: str
    word: str
    small: str
    type: str
    mac: str
    mtu: str
    addresses: tuple[str, ...] | None
    ports: tuple[str, ...]


@blueprint.get("/networks")
@blueprint.get("/ui/networks")
@blueprint.get("/ui/since/networks")
@needs("viewer")
def networks() -> Response:
    """Networks and interfaces, their part, or the networks as CSV."""
    if "format" in request.args:
        return answer_named("networks")
    return placed(draw(LIST, build, SINCE), "/networks")


def on_page(drawing: Drawing) -> Sequence[NetworkSeen]:
    """The networks that the page shows."""
    query = replace(asked(drawing, NETWORKS, "/networks").query, per_page=_MOST)
    return plain_list(drawing.fleet.networks, NETWORKS, query).found.items


SINCE = list_since("network", on_page)


def build(drawing: Drawing) -> Mapping[str, object]:
    """The context of networks/list.html."""
    seen, zone = drawing.fleet, drawing.zone
    ask = asked(drawing, NETWORKS, "/networks")
    query = replace(ask.query, per_page=_MOST)
    since = {
        view.slug: zone.maybe(view.status.unknown_since_ms, seen.as_of_ms) for view in seen.hosts
    }
    nets = plain_list(seen.networks, NETWORKS, query)
    ports = plain_list(seen.interfaces, INTERFACES, query)
    exported = ask.exported().replace("/networks", "", 1)
    return {
        "title": "Networks",
        "asked": ask,
        "text": query.text,
        "hosts": host_choices(seen, query.host),
        "states": (),
        "has_hosts": bool(seen.hosts),
        "narrowed": query.narrows,
        "clear": ask.href(hosts=(), text=""),
        "networks": [network_row(one, since, zone) for one in nets.found.items],
        "network_total": nets.found.total,
        "interfaces": [interface_row(one, since) for one in ports.found.items],
        "interface_total": ports.found.total,
        "most": _MOST,
        "leases_shown": _LEASES_SHOWN,
        "csv": f"{exported}{'&' if '?' in exported else '?'}format=csv",
        "untold": _untold(drawing),
        "acting_rows": drawing.live and drawing.may("admin"),
        "new_on": [view.slug for view in seen.hosts if view.status.known],
    }


def _untold(drawing: Drawing) -> list[tuple[str, str]]:
    """Hosts whose last scan could not read networks or interfaces, and why."""
    parts = ("networks", "interfaces", "leases")
    return [
        (view.slug, f"{missing.part}: {missing.reason}")
        for view in drawing.fleet.hosts
        for missing in view.status.missing
        if missing.part in parts and view.status.known
    ]


def _look(known: bool, state: str, since: When | None) -> tuple[str, str, str, str]:
    """Class, icon, word and small text of a network's or interface's state."""
    if not known:
        return "unk", "unk", gettext("Unknown"), since_text(since)
    if state == "active":
        return "run", "run", pgettext("of a network", "Active"), ""
    return "off", "off", pgettext("of a network", "Inactive"), ""


def network_row(seen: NetworkSeen, since: Mapping[str, When | None], zone: Zone) -> NetworkRow:
    """One row of the table of networks."""
    network = seen.fact
    leases = network.leases
    return NetworkRow(
        seen.host, seen.key, network.name, network.damaged or "", network.persistent is False,
        seen.known, *_look(seen.known, network.state, since.get(seen.host)),
        network.bridge or UNKNOWN,
        _forward(network.forward),
        network.addresses,
        network.domain_name or "",
        tuple(f"{one.start} – {one.end}" for one in network.dhcp),
        _leases(leases, zone, seen),
        len(leases or ()),
        switch(network.autostart),
    )  # fmt: skip


def _forward(mode: str | None) -> str:
    if mode is None:
        return gettext("isolated")
    return gettext(_FORWARD[mode]) if mode in _FORWARD else mode


def _leases(
    leases: tuple[Lease, ...] | None, zone: Zone, seen: NetworkSeen
) -> tuple[LeaseRow, ...] | None:
    if leases is None:
        return None
    return tuple(_lease(one, zone, seen) for one in leases[:_LEASES_SHOWN])


def _lease(lease: Lease, zone: Zone, seen: NetworkSeen) -> LeaseRow:
    return LeaseRow(
        lease.address or UNKNOWN,
        lease.mac or UNKNOWN,
        lease.hostname or "",
        zone.maybe(lease.expires_at_ms, seen.at_ms),
    )


def interface_row(seen: InterfaceSeen, since: Mapping[str, When | None]) -> InterfaceRow:
    """One row of the table of interfaces."""
    fact = seen.fact
    return InterfaceRow(
        seen.host, fact.name, fact.damaged or "",
        seen.known, *_look(seen.known, fact.state, since.get(seen.host)),
        fact.type or UNKNOWN, fact.mac or UNKNOWN,
        UNKNOWN if fact.mtu is None else str(fact.mtu), fact.addresses, fact.ports,
    )  # fmt: skip
