"""The lists of the API. The pages' own addresses give the same CSV."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flask import Response

from app.store.history import Fleet, HostView
from app.web.api import blueprint
from app.web.api.answers import Page, answer_list
from app.web.api.declared import list_query
from app.web.api.items import Item, Items
from app.web.api.pools import pool_items
from app.web.host_rows import condition
from app.web.kinds import (
    DOMAINS,
    INTERFACES,
    NETWORKS,
    POOLS,
    VOLUMES,
    domain_list,
    plain_list,
    volumes_of,
)
from app.web.listing import Answer, Kind, Query, by_host
from app.web.operations import operation
from app.web.permission import needs
from app.web.shapes import fleet as shapes

_HOST_CONDITIONS = ("ok", "partial", "unknown", "waiting", "disabled")


class _HostSeen(NamedTuple):
    """A host in the shape that lists know."""

    host: str
    key: str
    fact: Any
    known: bool
    view: HostView


class _HostFact(NamedTuple):
    name: str
    state: str
    hostname: str | None
    uri: str | None


HOSTS: Kind[Any] = Kind(
    sorts={"name": by_host, "host": by_host},
    texts=lambda seen: (seen.host, seen.fact.hostname, seen.fact.uri),
)


def _host(view: HostView) -> _HostSeen:
    fact = view.seen.fact if view.seen else None
    shown = _HostFact(
        view.slug, condition(view), fact.hostname if fact else None, fact.uri if fact else None
    )
    return _HostSeen(view.slug, "host", shown, view.status.known, view)


def _page(answer: Answer, item: Callable[[Any], Item]) -> Page:
    return Page([item(seen) for seen in answer.found.items], answer.found.total, answer.counts)


def _hosts(fleet: Fleet, query: Query) -> Page:
    seen = [_host(view) for view in fleet.hosts]
    found = plain_list(seen, HOSTS, query).found
    counts = dict.fromkeys(_HOST_CONDITIONS, 0)
    for one in seen:
        counts[one.fact.state] += 1
    items = Items(fleet)
    return Page([items.host(one.view) for one in found.items], found.total, counts)


def _domains(fleet: Fleet, query: Query) -> Page:
    return _page(domain_list(fleet, query), Items(fleet).domain)


def _pools(fleet: Fleet, query: Query) -> Page:
    found, counts = plain_list(fleet.pools, POOLS, query)
    return Page(pool_items(fleet, found.items), found.total, counts)


def _volumes(fleet: Fleet, query: Query) -> Page:
    return _page(plain_list(volumes_of(fleet), VOLUMES, query), Items(fleet).volume)


def _networks(fleet: Fleet, query: Query) -> Page:
    return _page(plain_list(fleet.networks, NETWORKS, query), Items(fleet).network)


def _interfaces(fleet: Fleet, query: Query) -> Page:
    return _page(plain_list(fleet.interfaces, INTERFACES, query), Items(fleet).interface)


class _List(NamedTuple):
    says: str
    shape: Any
    kind: Kind[Any]
    build: Callable[[Fleet, Query], Page]
    columns: Sequence[str]


# The columns of CSV, in order: what a table can hold of an item.
_LISTS: Mapping[str, _List] = {
    "hosts": _List(
        "Hosts with their facts and figures", shapes.HostPage, HOSTS, _hosts, (
        "host", "state", "enabled", "condition", "transport", "read_only", "unknown_since",
        "scanned_at", "sentence", "missing", "uri", "uuid", "hostname", "hypervisor",
        "hypervisor_version", "libvirt_version", "architecture", "processor", "frequency_mhz",
        "cpus", "cpus_online", "numa_nodes", "sockets_per_node", "cores_per_socket",
        "threads_per_core", "max_vcpus", "cpu", "memory_bytes", "memory_total_bytes",
        "memory_used_bytes", "memory_free_bytes", "assigned_vcpus", "assigned_memory_bytes",
        "running_domains", "domains",
    )),
    "domains": _List(
        "VMs with their devices and rates", shapes.DomainPage, DOMAINS, _domains, (
        "host", "uuid", "name", "title", "id", "state", "state_reason", "unknown_since", "vcpus",
        "max_vcpus", "memory_bytes", "max_memory_bytes", "memory_used_bytes", "cpu_seconds", "cpu",
        "disk_read_bytes_per_second", "disk_write_bytes_per_second", "net_rx_bytes_per_second",
        "net_tx_bytes_per_second", "persistent", "autostart", "managed_save", "has_snapshot",
        "has_checkpoint", "type", "os_type", "architecture", "machine", "firmware", "cpu_mode",
        "addresses", "agent", "graphics", "disks", "nics", "guest", "description", "changed_at",
        "damaged",
    )),
    "pools": _List(
        "Storage pools with their sizes, and when each is full", shapes.PoolPage, POOLS, _pools, (
        "host", "uuid", "name", "state", "unknown_since", "autostart", "persistent", "type",
        "target", "source", "capacity_bytes", "allocation_bytes", "available_bytes",
        "volumes_capacity_bytes", "volume_count", "refreshed_at", "full_at", "refusal",
        "damaged",
    )),
    "volumes": _List(
        "Storage volumes, and which VM uses each", shapes.VolumePage, VOLUMES, _volumes, (
        "id", "host", "pool_uuid", "pool", "name", "unknown_since", "path", "type", "format",
        "capacity_bytes", "allocation_bytes", "backing_path", "used_by", "backing_file_of",
        "damaged",
    )),
    "networks": _List(
        "libvirt's networks with their leases", shapes.NetworkPage, NETWORKS, _networks, (
        "host", "uuid", "name", "state", "unknown_since", "autostart", "persistent", "bridge",
        "forward", "domain_name", "addresses", "dhcp", "leases", "damaged",
    )),
    "interfaces": _List(
        "The hosts' own network interfaces", shapes.InterfacePage, INTERFACES, _interfaces, (
        "host", "name", "state", "unknown_since", "mac", "type", "mtu", "addresses", "ports",
        "damaged",
    )),
}  # fmt: skip


def answer_named(name: str) -> Response:
    """The list of that name, as this request's query string asks for it."""
    found = _LISTS[name]
    return answer_list(found.kind, found.build, name, found.columns)


def _register(name: str, declared: _List) -> None:
    """Add the route of one list."""

    @needs("viewer")
    @operation("fleet", declared.shape, *list_query(declared.kind), csv=True, summary=declared.says)
    def answer() -> Response:
        return answer_named(name)

    blueprint.add_url_rule(f"/api/v1/{name}", name, answer, methods=["GET"])


for _name, _declared in _LISTS.items():
    _register(_name, _declared)
