"""The views that are tables, and the tiles: contexts made of the rows that the panel's pages show.

Everything is read-only: no action, and no address but that of the panel's own page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from werkzeug.datastructures import MultiDict

from app import clock
from app.services import services
from app.store.changes import changes
from app.store.history import Fleet
from app.store.usage import Usage
from app.web.api.answers import known_hosts
from app.web.change_query import read_asked
from app.web.change_rows import Rows
from app.web.domain_rows import domain_rows
from app.web.drawing import Drawing
from app.web.host_rows import host_rows
from app.web.identity import principal
from app.web.kinds import (
    DOMAINS,
    INTERFACES,
    NETWORKS,
    VolumeSeen,
    domain_list,
    plain_list,
    volumes_of,
)
from app.web.listing import Kind, Query, read_query
from app.web.networks import interface_row, network_row
from app.web.overview import cpu_total, domains_total, hosts_total, memory_total, storage_total
from app.web.sparks import NO_SPARK
from app.web.storage import POOLS_PAGE, VOLUMES_PAGE, pool_row, volume_row
from app.web.when import When

Context = Mapping[str, object]
_NETWORKS_SHOWN = 1_000


def build_overview(drawing: Drawing) -> Context:
    """The tiles of the overview."""
    fleet = drawing.fleet
    return {
        "hosts": hosts_total(fleet),
        "domains": domains_total(fleet),
        "cpu": cpu_total(fleet),
        "memory": memory_total(fleet),
        "storage": storage_total(fleet),
    }


def build_hosts(drawing: Drawing) -> Context:
    """The hosts."""
    fleet = drawing.fleet
    rows = host_rows(fleet, drawing.zone, fleet.as_of_ms, lambda view: NO_SPARK)
    return {"rows": rows}


def build_domains(drawing: Drawing) -> Context:
    """The domains that are asked for."""
    fleet = _chosen(drawing.fleet, "domains", drawing.arguments.getlist("domain"))
    query = _query(drawing, DOMAINS, "domain")
    found, _ = domain_list(fleet, query)
    rows = domain_rows(found.items, fleet, drawing.zone, lambda seen: NO_SPARK)
    return {"rows": rows, **_rest(query, len(rows), found.total, drawing.fleet)}


def build_pools(drawing: Drawing) -> Context:
    """The storage pools that are asked for."""
    fleet = _chosen(drawing.fleet, "pools", drawing.arguments.getlist("pool"))
    query = _query(drawing, POOLS_PAGE, "pool")
    found = plain_list(fleet.pools, POOLS_PAGE, query).found
    since = _since(drawing)
    rows = [pool_row(seen, since, drawing.zone) for seen in found.items]
    return {"rows": rows, **_rest(query, len(rows), found.total, fleet)}


def build_volumes(drawing: Drawing) -> Context:
    """The volumes that are asked for."""
    fleet, pools = drawing.fleet, frozenset(drawing.arguments.getlist("pool"))
    query = _query(drawing, VOLUMES_PAGE, "pool")
    objects: Sequence[VolumeSeen] = volumes_of(fleet)
    if pools:
        objects = [seen for seen in objects if seen.fact.pool_uuid in pools]
    found = plain_list(objects, VOLUMES_PAGE, query).found
    usage = Usage(fleet)
    rows = [(volume_row(seen, usage, ""), seen.host, usage.pool_name(seen)) for seen in found.items]
    return {"rows": rows, **_rest(query, len(rows), found.total, fleet)}


def build_networks(drawing: Drawing) -> Context:
    """Libvirt's networks."""
    fleet = _chosen(drawing.fleet, "networks", drawing.arguments.getlist("network"))
    query = replace(_query(drawing, NETWORKS, "network"), per_page=_NETWORKS_SHOWN)
    found = plain_list(fleet.networks, NETWORKS, query).found
    since = _since(drawing)
    rows = [network_row(seen, since, drawing.zone) for seen in found.items]
    return {"rows": rows, **_rest(query, len(rows), found.total, fleet)}


def build_interfaces(drawing: Drawing) -> Context:
    """The hosts' own interfaces."""
    query = replace(_query(drawing, INTERFACES), per_page=_NETWORKS_SHOWN)
    found = plain_list(drawing.fleet.interfaces, INTERFACES, query).found
    since = _since(drawing)
    rows = [interface_row(seen, since) for seen in found.items]
    return {"rows": rows, **_rest(query, len(rows), found.total, drawing.fleet)}


def build_changes(drawing: Drawing) -> Context:
    """The last changes, without who made them: names of users are no other page's business."""
    fleet, zone, now_ms = drawing.fleet, drawing.zone, clock.now_ms()
    asked = read_asked(drawing.arguments, known_hosts(fleet), zone, now_ms)
    wanted = asked.wanted(principal().host_ids, drawing.moment.at_ms)
    query = asked.query
    found, total = changes(
        services().store, wanted, limit=query.per_page, offset=(query.page - 1) * query.per_page
    )
    make = Rows(fleet, zone, drawing.moment)
    page_ms = fleet.as_of_ms
    today = None if page_ms is None else zone.local(page_ms).date()
    rows = [make.row(one, dated=zone.local(one.at_ms).date() != today) for one in found]
    return {"rows": rows, **_rest(query, len(rows), total, fleet)}


def _query(drawing: Drawing, kind: Kind[Any], *own: str) -> Query:
    """What is asked of the list, apart from the view's `own` parameters."""
    arguments: MultiDict[str, str] = MultiDict(
        (name, value) for name, value in drawing.arguments.items(multi=True) if name not in own
    )
    return read_query(arguments, kind, known_hosts(drawing.fleet))


def _chosen(fleet: Fleet, kind: str, keys: Sequence[str]) -> Fleet:
    """The fleet with the objects of a kind that have these keys; with all, if there is none."""
    if not keys:
        return fleet
    wanted = frozenset(keys)
    kept = tuple(seen for seen in getattr(fleet, kind) if seen.key in wanted)
    return replace(fleet, **{kind: kept})


def _since(drawing: Drawing) -> dict[str, When | None]:
    return {
        view.slug: drawing.zone.maybe(view.status.unknown_since_ms, drawing.fleet.as_of_ms)
        for view in drawing.fleet.hosts
    }


def _rest(query: Query, shown: int, total: int, fleet: Fleet) -> Context:
    """What a list says of itself besides its rows."""
    left = total - (query.page - 1) * query.per_page - shown
    return {
        "total": total,
        "left": max(0, left),
        "narrowed": query.narrows,
        # With one host alone its name in every row would say nothing.
        "many_hosts": len(fleet.hosts) > 1 and len(query.hosts) != 1,
    }
