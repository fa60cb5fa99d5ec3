"""One object of the API, the overview, and the request for a scan."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from flask import Response

from app.errors import Conflict
from app.inventory import Definition
from app.metrics import host_memory_used_bytes
from app.services import services
from app.store.history import Fleet, definition
from app.store.hosts import get_host
from app.web.api import blueprint
from app.web.api.answers import answer_object, check_parameters
from app.web.api.items import Item, Items, host_details
from app.web.api.pools import pool_items
from app.web.attention import attention, matter
from app.web.errors import problem
from app.web.figures import host_cpu_share
from app.web.finding import find_domain, find_network, find_pool
from app.web.host_page import find_host
from app.web.host_rows import condition, facts_of, samples_of
from app.web.identity import may
from app.web.kinds import domain_list, volumes_of
from app.web.listing import Query
from app.web.operations import AT, operation
from app.web.page import pages
from app.web.permission import needs
from app.web.shapes import acting
from app.web.shapes import fleet as shapes


@blueprint.get("/api/v1/overview")
@needs("viewer")
@operation("fleet", shapes.Overview, AT)
def overview() -> Response:
    """The totals of the fleet; hosts that do not answer are in no total, and are counted."""
    return answer_object(_overview)


@blueprint.get("/api/v1/hosts/<slug>")
@needs("viewer")
@operation("fleet", shapes.HostAlone, AT)
def host(slug: str) -> Response:
    """One host with its CPU map, NUMA cells and SMBIOS tables."""

    def build(fleet: Fleet) -> Item:
        view = find_host(fleet, slug)
        item, details = Items(fleet).host(view), host_details(view)
        if view.status.known:
            return {**item, **details}
        last = item["last"] and {**item["last"], **details}
        return {**item, **dict.fromkeys(details), "last": last}

    return answer_object(build)


@blueprint.get("/api/v1/hosts/<slug>/domains/<uuid>")
@needs("viewer")
@operation("fleet", shapes.DomainAlone, AT)
def domain(slug: str, uuid: str) -> Response:
    """One domain with its XML."""

    def build(fleet: Fleet) -> Item:
        seen = find_domain(fleet, slug, uuid)
        record = find_host(fleet, slug).record
        found = definition(services().store, record.id, seen.key, fleet.moment_ms)
        text = found.fact if found and may("operator") else Definition()
        more = {"live_xml": text.live_xml, "inactive_xml": text.inactive_xml}
        item = Items(fleet).domain(seen)
        if seen.known:
            return {**item, **more}
        return {**item, **dict.fromkeys(more), "last": {**item["last"], **more}}

    return answer_object(build)


@blueprint.get("/api/v1/hosts/<slug>/pools/<uuid>")
@needs("viewer")
@operation("fleet", shapes.PoolAlone, AT)
def pool(slug: str, uuid: str) -> Response:
    """One storage pool with its volumes."""

    def build(fleet: Fleet) -> Item:
        seen = find_pool(fleet, slug, uuid)
        items = Items(fleet)
        mine = [
            volume
            for volume in volumes_of(fleet)
            if volume.host == slug and volume.fact.pool_uuid == seen.key
        ]
        mine.sort(key=lambda volume: (volume.fact.name.casefold(), volume.key))
        (item,) = pool_items(fleet, [seen])
        return {**item, "volumes": [items.volume(volume) for volume in mine]}

    return answer_object(build)


@blueprint.get("/api/v1/hosts/<slug>/networks/<uuid>")
@needs("viewer")
@operation("fleet", shapes.NetworkAlone, AT)
def network(slug: str, uuid: str) -> Response:
    """One libvirt network."""
    return answer_object(lambda fleet: Items(fleet).network(find_network(fleet, slug, uuid)))


@blueprint.post("/api/v1/hosts/<slug>/scan")
@needs("operator")
@operation("actions", acting.ScanAsked, status=202)
def scan(slug: str) -> Response:
    """Ask for a scan of this host: 202, and the scan comes when the collector gets to it."""
    check_parameters(())
    record = get_host(services().store, slug)
    if not record.enabled:
        raise Conflict(f"{slug} is disabled, so it is not scanned. Enable it first.")
    if not services().collector.scan_now(slug):
        return problem(503, "No npvirt process is collecting at the moment; nothing was asked.")
    body = {"host": slug, "asked": True, "url": f"/api/v1/hosts/{slug}"}
    return Response(msgspec.json.encode(body), 202, mimetype="application/json")


def _overview(fleet: Fleet) -> Item:
    conditions = Counter(condition(view) for view in fleet.hosts)
    matters = attention(fleet, pages().zone)
    return {
        # Whether all of it is made up.
        "demo": services().demo,
        "hosts": {
            "total": len(fleet.hosts),
            "answering": conditions["ok"] + conditions["partial"],
            **{word: conditions[word] for word in ("partial", "unknown", "waiting", "disabled")},
        },
        "domains": {
            "total": len(fleet.domains),
            "counts": domain_list(fleet, Query(per_page=1)).counts,
        },
        **_host_totals(fleet),
        "pools": _pool_totals(fleet),
        "attention": [matter(item) for item in matters.items],
        "attention_total": matters.total,
    }


def _host_totals(fleet: Fleet) -> Item:
    """Over the hosts that tell: `cpu` weighs each by its CPUs; None where no host tells."""
    busy = 0.0
    cpus = used = whole = 0
    for view in fleet.hosts:
        facts, (sample, _) = facts_of(view), samples_of(view)
        if not view.status.known:
            continue
        share = host_cpu_share(view.seen)
        count = (facts.cpus_online or facts.cpus or 0) if facts else 0
        if share is not None:
            busy, cpus = busy + share * count, cpus + count
        taken = host_memory_used_bytes(sample)
        if taken is not None and sample is not None and sample.memory_total_bytes is not None:
            used, whole = used + taken, whole + sample.memory_total_bytes
    return {
        "cpu": busy / cpus if cpus else None,
        "memory_used_bytes": used if whole else None,
        "memory_total_bytes": whole or None,
    }


def _pool_totals(fleet: Fleet) -> Item:
    names = ("capacity_bytes", "allocation_bytes", "available_bytes", "volumes_capacity_bytes")
    samples: list[Any] = [seen.sample for seen in fleet.pools if seen.known and seen.sample]
    measured = [sample for sample in samples if sample.capacity_bytes is not None]
    return {
        "total": len(fleet.pools),
        "measured": len(measured),
        **{name: _sum(getattr(sample, name) for sample in measured) for name in names},
    }


def _sum(values: Iterable[int | None]) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
