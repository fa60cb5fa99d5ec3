"""What the page of one host shows: facts, memory, CPU map, NUMA, hardware, its VMs, its tries.

Pure but for the list of tries, which is read from the store. Everything of a host that does not
answer is what was last seen, and is said to be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.errors import NotFound
from app.inventory import Domain, DomainSample, Host, HostSample
from app.language import gettext
from app.metrics import host_memory_used_bytes
from app.services import services
from app.store.history import Fleet, HostView, scans
from app.web.change_rows import host_panel
from app.web.chart_panel import Subject, panel, users
from app.web.charts import HOST_CHARTS, HOST_MORE
from app.web.figures import Part, shares, size
from app.web.hardware import hardware, memory_mismatch
from app.web.host_checks import what_to_check
from app.web.host_rows import RUNNING, condition, cpu_percent, facts_of, samples_of, via
from app.web.page import Drawing
from app.web.when import When, Zone

_TRIES = 6
_DOMAINS_SHOWN = 10


@dataclass(frozen=True)
class Fact:
    """One line of facts; `value` empty: not available, for `reason`."""

    label: str
    value: str
    more: str = ""
    reason: str = ""
    mono: bool = False


@dataclass(frozen=True)
class Node:
    """One NUMA node (or all CPUs, where the host has no nodes): a cell per CPU, True if online,
    None where that is unknown.
    """

    title: str
    range: str
    cells: tuple[tuple[int, bool | None], ...]
    label: str


@dataclass(frozen=True)
class NumaRow:
    """One NUMA node in the table."""

    id: int
    cpus: int
    memory: str
    distances: str


@dataclass(frozen=True)
class DomainRow:
    """A domain of this host, in short."""

    name: str
    uuid: str
    state: str
    vcpus: str
    memory: str


@dataclass(frozen=True)
class Try:
    """One attempt to scan."""

    ok: bool
    text: str
    at: When


def find_host(fleet: Fleet, slug: str) -> HostView:
    """The host; raises NotFound."""
    for host in fleet.hosts:
        if host.slug == slug:
            return host
    raise NotFound(gettext("There is no host %(host)s.", host=slug[:40]))


def build_host(drawing: Drawing, slug: str) -> Mapping[str, object]:
    """The context of hosts/one.html."""
    fleet, zone = drawing.fleet, drawing.zone
    page_ms = fleet.as_of_ms
    host = find_host(fleet, slug)
    status, facts = host.status, facts_of(host)
    sample, _ = samples_of(host)
    domains = [seen for seen in fleet.domains if seen.host == slug]
    rows = sorted((_domain(seen.fact) for seen in domains), key=lambda row: (row.name, row.uuid))
    running = sum(row.state in RUNNING for row in rows)
    pools = sum(seen.host == slug for seen in fleet.pools)
    found = hardware(facts.sysinfo) if facts and facts.sysinfo else None
    return {
        "title": slug,
        "slug": slug,
        "what_changed": host_panel(drawing, slug),
        "host": host,
        "condition": condition(host),
        "via": via(host.record.connection),
        "since": zone.maybe(status.unknown_since_ms, page_ms),
        "scanned": zone.maybe(status.last_ok_at_ms, page_ms),
        "tried": zone.maybe(status.last_try_at_ms, page_ms),
        "next_try": zone.maybe(status.next_at_ms, page_ms),
        "running": running,
        "domain_rows": rows[:_DOMAINS_SHOWN],
        "domain_total": len(rows),
        "pool_total": pools,
        "cpu": cpu_percent(host),
        "facts": fact_lines(facts, host) if facts else (),
        "not_available": dict(facts.not_available) if facts else {},
        "memory": memory_bar(sample, [seen.sample for seen in domains]) if sample else None,
        "nodes": cpu_nodes(facts) if facts else (),
        "cpu_total": facts.cpus if facts else None,
        "numa": numa_rows(facts) if facts else (),
        "hardware": found,
        "mismatch": memory_mismatch(found.memory_bytes, facts.memory_bytes)
        if found and facts
        else "",
        "charts_users": users(drawing, slug),
        "charts": panel(
            drawing,
            f"/hosts/{slug}",
            Subject("host", slug, seen_ms=status.last_ok_at_ms),
            HOST_CHARTS,
            HOST_MORE,
            [("use", use)] if (use := drawing.arguments.get("use")) else [],
        ),
        "tries": tries(drawing, host, zone, page_ms),
        "checks": what_to_check(host.record.connection),
    }


def fact_lines(facts: Host, host: HostView) -> list[Fact]:
    """Every fact with its value, or why there is none."""
    why = dict(facts.not_available)

    def line(label: str, value: object, part: str, more: str = "", *, mono: bool = False) -> Fact:
        if value is None or value == "":
            return Fact(label, "", reason=why.get(part, "This host did not tell."))
        return Fact(label, str(value), more, mono=mono)

    return [
        line("URI", facts.uri, "", mono=True),
        line("Hostname", facts.hostname, "hostname"),
        line("Hypervisor", facts.hypervisor, "hypervisor"),
        line("Hypervisor version", facts.hypervisor_version, "hypervisor version"),
        line("libvirt", facts.libvirt_version, "libvirt version"),
        line("Architecture", facts.architecture, "node information"),
        line("Processor", facts.processor, "node information", _frequency(facts.frequency_mhz)),
        line("Topology", _topology(facts), "node information"),
        line("Logical CPUs", facts.cpus, "node information", _online(facts)),
        line("NUMA nodes", facts.numa_nodes, "node information"),
        line("Memory", _spoken(facts.memory_bytes), "node information"),
        line("Most vCPUs per VM", facts.max_vcpus, "maximum vCPUs"),
        line("Secure connection", _security(facts, host), "encryption"),
        line("Host UUID", facts.uuid, "capabilities", mono=True),
    ]


def _security(facts: Host, host: HostView) -> str | None:
    """Whether others can read along. SSH and TLS end in npvirt, so libvirt does not see them."""
    transport = host.record.connection.transport
    if transport in ("ssh", "tls"):
        return f"encrypted ({via(host.record.connection)})"
    if transport in ("unix", "embedded"):
        return "stays on this machine"
    return None if facts.encrypted is None else "encrypted (SASL)" if facts.encrypted else "no"


def _frequency(mhz: int | None) -> str:
    return "" if mhz is None else f"{mhz / 1000:.2f} GHz"


def _topology(facts: Host) -> str | None:
    numbers = (
        facts.numa_nodes,
        facts.sockets_per_node,
        facts.cores_per_socket,
        facts.threads_per_core,
    )
    if any(number is None for number in numbers):
        return None
    nodes, sockets, cores, threads = (number or 0 for number in numbers)
    words = ((nodes * sockets, "socket"), (cores, "core"), (threads, "thread"))
    return " × ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in words)


def _online(facts: Host) -> str:
    if facts.cpus is None or facts.cpus_online is None or facts.cpus == facts.cpus_online:
        return ""
    return f"{facts.cpus_online} online, {facts.cpus - facts.cpus_online} offline"


def _spoken(count: int | None) -> str | None:
    """Memory as people say it: in whole GiB ("16 GiB", not "15.5 GiB")."""
    if count is None:
        return None
    gib = count / 1024**3
    return size(count) if gib < 1.5 or gib >= 1024 else f"{round(gib)} GiB"


@dataclass(frozen=True)
class MemoryBar:
    """Where the host's memory is; `legend` are (class, word, amount)."""

    bar: tuple[Part, ...]
    legend: tuple[tuple[str, str, str], ...]
    label: str
    below: str


def memory_bar(
    sample: HostSample, domain_samples: Sequence[DomainSample | None]
) -> MemoryBar | None:
    """VMs, the host itself, caches and free memory; None where the host tells no total."""
    total, used = sample.memory_total_bytes, host_memory_used_bytes(sample)
    if total is None or used is None or sample.memory_free_bytes is None:
        return None
    cache = (sample.memory_buffers_bytes or 0) + (sample.memory_cached_bytes or 0)
    vms = _resident(domain_samples)
    if vms is None or vms > used:
        parts = [("mem", "used", used)]
    else:
        parts = [("mem", "VMs", vms), ("host", "host", used - vms)]
    parts += [("cache", "cache, buffers", cache), ("free", "free", sample.memory_free_bytes)]
    legend = tuple((css, word, size(count, total)) for css, word, count in parts)
    label = ", ".join(f"{word} {amount}" for _, word, amount in legend)
    below = _assigned(sample.assigned_memory_bytes, total)
    return MemoryBar(tuple(shares([(css, count) for css, _, count in parts])), legend, label, below)


def _assigned(assigned: int | None, total: int) -> str:
    if assigned is None:
        return ""
    ratio = f" · {assigned / total:.2f}× of {size(total)}" if assigned > 0.05 * total else ""
    return f"{size(assigned)} assigned to running VMs{ratio}"


def _resident(samples: Sequence[DomainSample | None]) -> int | None:
    """What the running domains' processes hold; None where one of them is unknown."""
    held = 0
    for sample in samples:
        if sample is not None:
            if sample.memory_rss_bytes is None:
                return None
            held += sample.memory_rss_bytes
    return held


def cpu_nodes(facts: Host) -> list[Node]:
    """The CPU map by NUMA node, or as one where the host tells no nodes."""
    online = dict(enumerate(facts.cpu_map)) if facts.cpu_map is not None else {}
    if facts.numa:
        return [_node(f"Node {cell.id}", cell.cpus, online) for cell in facts.numa if cell.cpus]
    count = len(online) or facts.cpus or 0
    return [_node("CPUs", range(count), online)] if count else []


def _node(title: str, cpus: Sequence[int], online: Mapping[int, bool]) -> Node:
    cells = tuple((cpu, online.get(cpu)) for cpu in cpus)
    up = sum(state is True for _, state in cells)
    down = sum(state is False for _, state in cells)
    said = f"{up} CPUs online, {down} offline" if up or down else "not known which are online"
    return Node(title, f"CPU {ranges(cpus)}", cells, f"{title}: {said}")


def ranges(numbers: Sequence[int]) -> str:
    """Numbers as ranges: "0–15, 32–47"."""
    texts: list[str] = []
    start = previous = None
    for number in [*sorted(numbers), None]:
        if previous is not None and number == previous + 1:
            previous = number
            continue
        if start is not None:
            texts.append(str(start) if start == previous else f"{start}–{previous}")
        start = previous = number
    return ", ".join(texts)


def numa_rows(facts: Host) -> list[NumaRow]:
    """The NUMA nodes, where there is more than one or one tells anything."""
    return [
        NumaRow(
            cell.id, len(cell.cpus), size(cell.memory_bytes), " · ".join(map(str, cell.distances))
        )
        for cell in facts.numa
    ]


def _domain(domain: Domain) -> DomainRow:
    return DomainRow(
        domain.name,
        domain.uuid,
        domain.state,
        "–" if domain.vcpus is None else str(domain.vcpus),
        size(domain.memory_bytes),
    )


def tries(drawing: Drawing, host: HostView, zone: Zone, page_ms: int | None) -> list[Try]:
    """The last attempts to scan this host, newest first."""
    found = scans(services().store, host.record.id, drawing.moment.at_ms, _TRIES)
    made = []
    for scan in found:
        took = f"{scan.took_ms} ms" if scan.took_ms < 1000 else f"{scan.took_ms / 1000:.1f} s"
        text = f"Good scan, {took}" if scan.ok else scan.sentence or "No answer"
        if scan.ok and scan.missing:
            text = f"Read in part, {took}"
        made.append(Try(scan.ok, text, zone.when(scan.at_ms, page_ms)))
    return made
