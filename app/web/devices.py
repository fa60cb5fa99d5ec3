"""The page of one disk or network interface of a domain: its facts and its charts.

A device is known by the key that samples of it are kept under: `disk:vda`, `nic:52:54:00:…`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from flask import Blueprint, Response

from app.errors import NotFound
from app.inventory import Disk, Nic
from app.language import gettext
from app.store.history import Fleet
from app.web.api.answers import answer_object
from app.web.api.items import Item, Items
from app.web.chart_panel import Subject, panel
from app.web.charts import DISK_CHARTS, NIC_CHARTS, PARAMETERS
from app.web.domain_page import Fact, disk_row, nic_row
from app.web.finding import find_domain
from app.web.format import UNKNOWN, yes_no
from app.web.host_page import find_host
from app.web.kinds import DomainSeen, leases
from app.web.list_page import placed
from app.web.operations import AT, operation
from app.web.page import Drawing, View, draw
from app.web.permission import needs
from app.web.shapes import fleet as shapes

blueprint = Blueprint("devices", __name__)

DEVICE = View("domains/device.html", "domains", PARAMETERS)


class Device(NamedTuple):
    """A disk or a network interface, whichever it is."""

    key: str
    disk: Disk | None = None
    nic: Nic | None = None


@blueprint.get("/hosts/<slug>/domains/<uuid>/devices/<key>")
@blueprint.get("/ui/hosts/<slug>/domains/<uuid>/devices/<key>")
@needs("viewer")
def device(slug: str, uuid: str, key: str) -> Response:
    """One device of a domain, or its part."""
    answer = draw(DEVICE, lambda drawing: build_device(drawing, slug, uuid, key))
    return placed(answer, f"/hosts/{slug}/domains/{uuid}/devices/{key}")


@blueprint.get("/api/v1/hosts/<slug>/domains/<uuid>/devices/<key>")
@needs("viewer")
@operation("fleet", shapes.Device, AT)
def device_item(slug: str, uuid: str, key: str) -> Response:
    """One device of a domain as it is defined."""

    def build(fleet: Fleet) -> Item:
        seen = find_domain(fleet, slug, uuid)
        found = find_device(seen, key)
        domain = Items(fleet).domain(seen)
        shown = {name: domain[name] for name in ("host", "uuid", "name", "unknown_since")}
        fact = (found.disk or found.nic) if seen.known else None
        return {**shown, "device": found.key, "kind": found.key.partition(":")[0], "is": fact}

    return answer_object(build)


def find_device(seen: DomainSeen, key: str) -> Device:
    """The device of that key; raises NotFound."""
    kind, _, name = key.partition(":")
    if kind == "disk":
        for disk in seen.fact.disks:
            if disk.target == name:
                return Device(f"disk:{disk.target}", disk=disk)
    if kind == "nic":
        for nic in seen.fact.nics:
            if nic.mac.lower() == name.lower():
                return Device(f"nic:{nic.mac}", nic=nic)
    raise NotFound(gettext("This VM has no device “%(device)s” at this moment.", device=key[:60]))


def build_device(drawing: Drawing, slug: str, uuid: str, key: str) -> Mapping[str, object]:
    """The context of domains/device.html; raises NotFound."""
    fleet = drawing.fleet
    seen = find_domain(fleet, slug, uuid)
    host = find_host(fleet, slug)
    found = find_device(seen, key)
    base = f"/hosts/{slug}/domains/{seen.key}"
    if found.disk is not None:
        kind, name, facts = "Disk", found.disk.target, disk_facts(found.disk, fleet, slug)
    else:
        assert found.nic is not None
        kind, name, facts = "Network interface", found.nic.mac, nic_facts(found.nic, seen, fleet)
    return {
        "title": f"{name} of {seen.fact.name} on {slug}",
        "slug": slug,
        "domain": seen.fact,
        "base": base,
        "kind": kind,
        "name": name,
        "known": seen.known,
        "since": drawing.zone.maybe(host.status.unknown_since_ms, fleet.as_of_ms),
        "seen_at": drawing.zone.when(seen.at_ms, fleet.as_of_ms),
        "facts": facts,
        "charts": panel(
            drawing,
            f"{base}/devices/{found.key}",
            Subject("domain", slug, seen.key, found.key, seen.at_ms),
            DISK_CHARTS if found.disk else NIC_CHARTS,
        ),
    }


def disk_facts(disk: Disk, fleet: Fleet, slug: str) -> list[Fact]:
    """What is known of a disk."""
    row = disk_row(disk, fleet, slug)
    facts = [
        Fact("Target", row.target),
        Fact("Device", row.device),
        Fact("Source", row.source or "empty", mono=bool(row.source)),
        Fact("Pool", row.pool),
        Fact("Allocated / size", row.text),
        Fact("Format", row.format),
        Fact("Bus", row.bus),
        Fact("Read-only", yes_no(row.read_only)),
        Fact("Backing files", str(len(row.backing)) if row.backing else ""),
    ]
    return [fact for fact in facts if fact.value and fact.value != UNKNOWN]


def nic_facts(nic: Nic, seen: DomainSeen, fleet: Fleet) -> list[Fact]:
    """What is known of a network interface."""
    row = nic_row(nic, seen, leases(fleet))
    facts = [
        Fact("MAC address", row.mac, mono=True),
        Fact("On", row.on, "network" if row.network else ""),
        Fact("Addresses", ", ".join(row.addresses)),
        Fact("Model", row.model),
        Fact("Device", row.target),
    ]
    return [fact for fact in facts if fact.value and fact.value != UNKNOWN]
