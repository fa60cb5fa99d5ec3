"""Objects of the fleet as JSON says them, spelled as the contract spells them.

Pure. Every key is always there; unknown is null. An object of a host that does not answer keeps
what names it, is null in everything else, and says under `last` what was seen of it, and when.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict

from app.clock import rfc3339
from app.inventory import Domain, PoolSample
from app.metrics import domain_memory_used_bytes, host_memory_used_bytes
from app.store.history import Fleet, HostView, Seen
from app.store.usage import Usage
from app.web.figures import host_cpu_share
from app.web.flags import is_active
from app.web.host_rows import condition, domain_counts
from app.web.kinds import (
    DomainSeen,
    InterfaceSeen,
    NetworkSeen,
    PoolSeen,
    VolumeSeen,
    addresses_of,
    leases,
)
from app.web.rates import domain_rates

Item = dict[str, Any]


def time_or_none(at_ms: int | None) -> str | None:
    """A moment as RFC 3339."""
    return None if at_ms is None else rfc3339(at_ms)


class Items:
    """Makes the items of one fleet; what they share is looked up once."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._leases = leases(fleet)
        self._since = {view.slug: view.status.unknown_since_ms for view in fleet.hosts}
        self._usage: Usage | None = None

    def _item(self, names: Item, values: Item, seen: Seen[Any, Any]) -> Item:
        if seen.known:
            return {**names, **values, "unknown_since": None, "last": None}
        since = self._since.get(seen.host)
        return {
            **names,
            **dict.fromkeys(values),
            "unknown_since": rfc3339(seen.at_ms if since is None else since),
            "last": {"at": rfc3339(seen.at_ms), **values},
        }

    def domain(self, seen: DomainSeen) -> Item:
        """A domain with its devices; `cpu` is a share 0..1 of its vCPUs."""
        domain, sample, found = seen.fact, seen.sample, domain_rates(seen)
        spent_ns = sample.cpu_time_ns if sample else None
        names = {
            "host": seen.host,
            "uuid": seen.key,
            "name": domain.name,
            "url": f"/hosts/{seen.host}/domains/{seen.key}",
        }
        values = {
            "id": domain.id,
            "state": domain.state,
            "state_reason": domain.state_reason,
            "active": is_active(domain),
            "title": domain.title,
            "description": domain.description,
            "memory_bytes": domain.memory_bytes,
            "max_memory_bytes": domain.max_memory_bytes,
            "memory_used_bytes": domain_memory_used_bytes(sample),
            "vcpus": domain.vcpus,
            "max_vcpus": domain.max_vcpus,
            "cpu_seconds": None if spent_ns is None else spent_ns / 1e9,
            "cpu": found.cpu,
            "disk_read_bytes_per_second": found.disk_read,
            "disk_write_bytes_per_second": found.disk_write,
            "net_rx_bytes_per_second": found.net_rx,
            "net_tx_bytes_per_second": found.net_tx,
            "persistent": domain.persistent,
            "autostart": domain.autostart,
            "managed_save": domain.managed_save,
            "has_snapshot": domain.has_snapshot,
            "has_checkpoint": domain.has_checkpoint,
            "snapshots": _snapshots(domain),
            "nvram": domain.nvram,
            "shutdown_asked_at": time_or_none(self._fleet.shutdowns.get((seen.host, seen.key))),
            "type": domain.type,
            "os_type": domain.os_type,
            "architecture": domain.architecture,
            "machine": domain.machine,
            "firmware": domain.firmware,
            "cpu_mode": domain.cpu_mode,
            "graphics": domain.graphics,
            "disks": domain.disks,
            "nics": domain.nics,
            "addresses": addresses_of(seen, self._leases),
            "agent": domain.agent,
            "guest": domain.guest,
            "changed_at": rfc3339(seen.valid_from_ms),
            "damaged": domain.damaged,
        }
        return self._item(names, values, seen)

    def pool(self, seen: PoolSeen) -> Item:
        """A storage pool with its sizes; null while it is not active."""
        pool, sample = seen.fact, seen.sample or PoolSample()
        names = {
            "host": seen.host,
            "uuid": seen.key,
            "name": pool.name,
            "url": f"/hosts/{seen.host}/pools/{seen.key}",
        }
        values = {
            "state": pool.state,
            "autostart": pool.autostart,
            "persistent": pool.persistent,
            "type": pool.type,
            "target": pool.target,
            "source": pool.source,
            "capacity_bytes": sample.capacity_bytes,
            "allocation_bytes": sample.allocation_bytes,
            "available_bytes": sample.available_bytes,
            "volumes_capacity_bytes": sample.volumes_capacity_bytes,
            "volume_count": sample.volume_count,
            "refreshed_at": time_or_none(sample.refreshed_at_ms),
            "damaged": pool.damaged,
        }
        return self._item(names, values, seen)

    def volume(self, seen: VolumeSeen) -> Item:
        """A volume, who uses it, and how many images have it as a backing file."""
        if self._usage is None:
            self._usage = Usage(self._fleet)
        volume = seen.fact
        users = self._usage.users(seen)
        names = {
            "id": seen.entity_id,
            "host": seen.host,
            "pool_uuid": volume.pool_uuid,
            "pool": self._usage.pool_name(seen) or None,
            "name": volume.name,
            "url": f"/hosts/{seen.host}/pools/{volume.pool_uuid}",
        }
        values = {
            "path": volume.path,
            "type": volume.type,
            "format": volume.format,
            "capacity_bytes": volume.capacity_bytes,
            "allocation_bytes": seen.sample.allocation_bytes if seen.sample else None,
            "backing_path": volume.backing_path,
            "used_by": [user._asdict() for user in users],
            "backing_file_of": self._usage.overlays(seen),
            "damaged": volume.damaged,
        }
        return self._item(names, values, seen)

    def network(self, seen: NetworkSeen) -> Item:
        """A libvirt network with its leases; those are null where the driver cannot tell."""
        network = seen.fact
        names = {
            "host": seen.host,
            "uuid": seen.key,
            "name": network.name,
            "url": f"/networks?host={seen.host}",
        }
        values = {
            "state": network.state,
            "autostart": network.autostart,
            "persistent": network.persistent,
            "bridge": network.bridge,
            "forward": network.forward,
            "domain_name": network.domain_name,
            "addresses": network.addresses,
            "dhcp": network.dhcp,
            "leases": _leases(seen),
            "damaged": network.damaged,
        }
        return self._item(names, values, seen)

    def interface(self, seen: InterfaceSeen) -> Item:
        """One of the host's own network interfaces."""
        fact = seen.fact
        names = {"host": seen.host, "name": fact.name, "url": f"/networks?host={seen.host}"}
        values = {
            "state": fact.state,
            "mac": fact.mac,
            "type": fact.type,
            "mtu": fact.mtu,
            "addresses": fact.addresses,
            "ports": fact.ports,
            "damaged": fact.damaged,
        }
        return self._item(names, values, seen)

    def host(self, view: HostView) -> Item:
        """A host: how it stands, its facts and its figures; `state` is "ok" or "partial". How it
        is reached is known of the present alone, so it is null in the past.
        """
        status, record = view.status, view.record
        stands, live = condition(view), self._fleet.moment_ms is None
        values = {"state": stands, **_host_facts(view), **_host_figures(view, self._fleet)}
        item = {
            "host": view.slug,
            "name": view.slug,
            "enabled": record.enabled if live else None,
            "condition": stands,
            "transport": record.connection.transport if live else None,
            "read_only": record.connection.read_only if live else None,
            "url": f"/hosts/{view.slug}",
            "scanned_at": time_or_none(status.last_ok_at_ms),
            "tried_at": time_or_none(status.last_try_at_ms),
            "next_scan_at": time_or_none(status.next_at_ms),
            "took_ms": status.took_ms,
            "failures": status.failures,
            "problem": status.problem,
            "sentence": status.sentence,
            "missing": [asdict(missing) for missing in status.missing],
        }
        if status.known:
            return {**item, **values, "unknown_since": None, "last": None}
        last = None
        if status.last_ok_at_ms is not None:
            last = {"at": rfc3339(status.last_ok_at_ms), **values, "state": None}
        since = time_or_none(status.unknown_since_ms)
        return {**item, **dict.fromkeys(values), "unknown_since": since, "last": last}


def _snapshots(domain: Domain) -> list[Item] | None:
    if domain.snapshots is None:
        return None
    return [
        {
            "name": one.name,
            "parent": one.parent,
            "created_at": time_or_none(one.created_at_ms),
            "state": one.state,
            "description": one.description,
            "current": one.current,
            "memory": one.memory,
        }
        for one in domain.snapshots
    ]


def _leases(seen: NetworkSeen) -> list[Item] | None:
    if seen.fact.leases is None:
        return None
    return [
        {
            "mac": lease.mac,
            "address": lease.address,
            "hostname": lease.hostname,
            "expires_at": time_or_none(lease.expires_at_ms),
        }
        for lease in seen.fact.leases
    ]


_FACTS = (
    "uri", "uuid", "hostname", "hypervisor", "hypervisor_version", "libvirt_version",
    "memory_bytes", "cpus", "cpus_online", "architecture", "processor", "frequency_mhz",
    "numa_nodes", "sockets_per_node", "cores_per_socket", "threads_per_core", "max_vcpus",
    "encrypted",
)  # fmt: skip
_DETAILS = ("cpu_map", "numa", "sysinfo", "pool_types")


def _host_facts(view: HostView) -> Item:
    fact = view.seen.fact if view.seen else None
    return {name: getattr(fact, name, None) for name in _FACTS}


def host_details(view: HostView) -> Item:
    """What only the page of one host tells: CPU map, NUMA cells, SMBIOS, what is not available."""
    fact = view.seen.fact if view.seen else None
    found: Item = {name: getattr(fact, name, None) for name in _DETAILS}
    reasons: Mapping[str, str] = dict(fact.not_available) if fact else {}
    return {**found, "not_available": reasons}


_HOST_GAUGES = (
    "memory_total_bytes", "memory_free_bytes", "memory_buffers_bytes", "memory_cached_bytes",
    "assigned_vcpus", "assigned_memory_bytes",
)  # fmt: skip


def _host_figures(view: HostView, fleet: Fleet) -> Item:
    sample = view.seen.sample if view.seen else None
    running, total = domain_counts(fleet).get(view.slug, (0, 0))
    return {
        "cpu": host_cpu_share(view.seen),
        "memory_used_bytes": host_memory_used_bytes(sample),
        **{name: getattr(sample, name, None) for name in _HOST_GAUGES},
        "running_domains": running if view.seen else None,
        "domains": total if view.seen else None,
    }
