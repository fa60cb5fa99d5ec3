"""Hosts as rows of a table: what the overview and the list of hosts share. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from app.connection import Connection
from app.inventory import Host, HostSample
from app.language import gettext
from app.metrics import host_memory_used_bytes
from app.store.history import Fleet, HostView
from app.web.figures import host_cpu_share, percent, size_of, warning
from app.web.sparks import Spark
from app.web.when import When, Zone

# A domain that is blocked has work but waits for it.
RUNNING = frozenset(("running", "blocked"))

_VIA = {"unix": "socket", "ssh": "SSH", "tls": "TLS", "tcp": "TCP", "embedded": "demo"}


@dataclass(frozen=True)
class HostRow:
    """One host in words. `condition` is ok, partial, unknown, waiting or disabled; percentages
    are None where nothing is known, and the last known ones where the host is not `known`.
    """

    slug: str
    condition: str
    known: bool
    via: str
    cpu: int | None
    memory: int | None
    memory_warning: str
    memory_text: str
    vms: str
    threads: int | None
    version: str
    since: When | None
    scanned: When | None
    sentence: str
    last_known: str
    spark: Spark


def condition(host: HostView) -> str:
    """How a host stands, in one word of ours."""
    status = host.status
    if not host.record.enabled:
        return "disabled"
    if status.known:
        return "partial" if status.missing else "ok"
    return "unknown" if status.last_try_at_ms is not None else "waiting"


def via(connection: Connection) -> str:
    """How a host is reached, in one word."""
    return _VIA[connection.transport]


def host_rows(
    fleet: Fleet, zone: Zone, page_ms: int | None, draw: Callable[[HostView], Spark]
) -> list[HostRow]:
    """Every host of the fleet, in the order of their names; `draw` makes a host's sparkline."""
    counts = domain_counts(fleet)
    hosts = sorted(fleet.hosts, key=lambda view: view.slug)
    return [_row(host, counts.get(host.slug, (0, 0)), zone, page_ms, draw(host)) for host in hosts]


def facts_of(host: HostView) -> Host | None:
    """The host's facts as last seen."""
    return host.seen.fact if host.seen else None


def cpus_of_host(host: HostView) -> int | None:
    """How many CPUs the host has, as far as it tells."""
    facts = facts_of(host)
    return (facts.cpus_online or facts.cpus) if facts else None


def disabled_of(fleet: Fleet) -> frozenset[int]:
    """The ids of the hosts that nobody looks at: so it is wanted."""
    return frozenset(view.record.id for view in fleet.hosts if not view.record.enabled)


def samples_of(host: HostView) -> tuple[HostSample | None, HostSample | None]:
    """The host's last sample and the one before."""
    return (None, None) if host.seen is None else (host.seen.sample, host.seen.previous)


def cpu_percent(host: HostView) -> int | None:
    """How busy the host's CPUs were between its last two samples."""
    share = host_cpu_share(host.seen)
    return None if share is None else round(100 * share)


def _row(
    host: HostView, domains: tuple[int, int], zone: Zone, page_ms: int | None, drawn: Spark
) -> HostRow:
    sample, _ = samples_of(host)
    facts = facts_of(host)
    total = sample.memory_total_bytes if sample else None
    used = host_memory_used_bytes(sample)
    cpu, memory = cpu_percent(host), percent(used, total)
    text = size_of(used, total) if total is not None else "–"
    return HostRow(
        slug=host.slug,
        condition=condition(host),
        known=host.status.known,
        via=via(host.record.connection),
        cpu=cpu,
        memory=memory,
        memory_warning=warning(memory),
        memory_text=text,
        vms=f"{domains[0]}/{domains[1]}" if host.seen else "–",
        threads=facts.cpus if facts else None,
        version=(facts.libvirt_version or "") if facts else "",
        since=zone.maybe(host.status.unknown_since_ms, page_ms),
        scanned=zone.maybe(host.status.last_ok_at_ms, page_ms),
        sentence=host.status.sentence or "",
        last_known=_last_known(cpu, text),
        spark=drawn,
    )


def domain_counts(fleet: Fleet) -> dict[str, tuple[int, int]]:
    """Per host: how many domains are (or were last seen) running, and how many there are."""
    counts: dict[str, tuple[int, int]] = {}
    for seen in fleet.domains:
        running, total = counts.get(seen.host, (0, 0))
        runs = seen.fact.state in RUNNING
        counts[seen.host] = (running + runs, total + 1)
    return counts


def _last_known(cpu: int | None, memory: str) -> str:
    parts = [f"{cpu} %" if cpu is not None else "", memory if memory != "–" else ""]
    said = gettext(", ").join(part for part in parts if part)
    return gettext("last known %(figures)s", figures=said) if said else ""
