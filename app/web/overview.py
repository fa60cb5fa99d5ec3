"""The overview: totals of the fleet, what needs attention, hosts, the fullest pools.

A host that does not answer is in no total, and every total says whom it leaves out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, Response

from app.inventory import Pool, PoolSample
from app.language import N_, gettext, ngettext
from app.metrics import host_memory_used_bytes
from app.store.history import Fleet, HostView, Seen
from app.web.attention import attention
from app.web.change_rows import fleet_panel
from app.web.chart_panel import Subject, panel
from app.web.charts import FLEET_CHARTS, PARAMETERS
from app.web.days_left import days_left
from app.web.figures import (
    Part,
    capacity,
    number_and_unit,
    percent,
    shares,
    size,
    warning,
)
from app.web.format import listed
from app.web.host_rows import RUNNING, condition, cpu_percent, facts_of, host_rows, samples_of
from app.web.list_page import placed
from app.web.locales import figure
from app.web.page import Drawing, View, draw
from app.web.permission import needs
from app.web.since import list_since
from app.web.spark_rows import Sparks

blueprint = Blueprint("overview", __name__)

OVERVIEW = View("overview/part.html", "overview", PARAMETERS)
_POOLS_SHOWN = 8


@dataclass(frozen=True)
class Total:
    """One tile: the big number, what stands small beside it, and the line below."""

    big: str
    small: str
    below: str
    bar: tuple[Part, ...] = ()
    percent: int | None = None
    capacity: Mapping[str, object] | None = None


@dataclass(frozen=True)
class PoolRow:
    """One pool of the short list; `percent` None while its host does not answer."""

    host: str
    name: str
    uuid: str
    percent: int | None
    last_percent: int
    warning: str
    title: str


@blueprint.get("/")
@blueprint.get("/ui/overview")
@blueprint.get("/ui/since/overview")
@needs("viewer")
def overview() -> Response:
    """The overview, or its part."""
    return placed(draw(OVERVIEW, build, SINCE), "/")


SINCE = list_since("domain", lambda drawing: (), "/domains")


def build(drawing: Drawing) -> Mapping[str, object]:
    """What the overview shows of a fleet."""
    fleet, zone = drawing.fleet, drawing.zone
    page_ms = fleet.as_of_ms
    pools = pool_rows(fleet)
    shown = (fleet.pool(row.host, row.uuid) for row in pools)
    return {
        "title": "Overview",
        "as_of": zone.stamp(page_ms) if page_ms is not None else "",
        "has_hosts": bool(fleet.hosts),
        "hosts": hosts_total(fleet),
        "domains": domains_total(fleet),
        "cpu": cpu_total(fleet),
        "memory": memory_total(fleet),
        "storage": storage_total(fleet),
        "attention": attention(fleet, zone),
        "charts": panel(drawing, "/", Subject("fleet", seen_ms=page_ms), FLEET_CHARTS),
        "rows": host_rows(fleet, zone, page_ms, Sparks(fleet).host),
        "pools": pools,
        "left": days_left(drawing, (one for one in shown if one is not None)),
        "what_changed": fleet_panel(drawing),
    }


def hosts_total(fleet: Fleet) -> Total:
    """How many hosts answer."""
    conditions = Counter(condition(host) for host in fleet.hosts)
    answering = conditions["ok"] + conditions["partial"]
    watched = len(fleet.hosts) - conditions["disabled"]
    silent = [host.slug for host in fleet.hosts if condition(host) == "unknown"]
    parts = []
    if silent:
        unknown = gettext("%(count)s unknown", count=len(silent))
        parts = [f"{unknown} · {listed(silent)}"]
    parts += [
        gettext(text, count=conditions[word]) for word, text in _CONDITIONS if conditions[word]
    ]
    return Total(
        str(answering),
        gettext("of %(count)s reachable", count=watched),
        " · ".join(parts) or gettext("all answer"),
        tuple(shares([("ok", answering), ("unk", watched - answering)])),
    )


_CONDITIONS = (
    ("partial", N_("%(count)s read in part")),
    ("waiting", N_("%(count)s not scanned yet")),
    ("disabled", N_("%(count)s disabled")),
)


def domains_total(fleet: Fleet) -> Total:
    """How many domains are in which state; those of silent hosts are unknown."""
    states: Counter[str] = Counter()
    for seen in fleet.domains:
        state = seen.fact.state if seen.known else "unknown"
        states["running" if state in RUNNING else state] += 1
    main = ("running", "shutoff", "paused", "crashed", "unknown")
    other = sum(count for state, count in states.items() if state not in main)
    words = (
        (states["shutoff"], N_("%(count)s shut off")),
        (states["paused"], N_("%(count)s paused")),
        (states["crashed"], N_("%(count)s crashed")),
        (other, N_("%(count)s other")),
        (states["unknown"], N_("%(count)s unknown")),
    )
    bar = (
        ("ok", states["running"]),
        ("off", states["shutoff"]),
        ("warn", states["paused"] + other),
        ("bad", states["crashed"]),
        ("unk", states["unknown"]),
    )
    below = " · ".join(gettext(word, count=count) for count, word in words if count)
    small = gettext("running · %(count)s", count=len(fleet.domains))
    return Total(str(states["running"]), small, below, tuple(shares(bar)))


def cpu_total(fleet: Fleet) -> Total | None:
    """How busy the CPUs of the answering hosts are, each host weighing as many as it has."""
    busy = weight = threads = counted = 0
    assigned: int | None = None
    for host in _answering(fleet):
        cpus = _cpus(host)
        used, (sample, _) = cpu_percent(host), samples_of(host)
        threads += cpus
        if sample is not None and sample.assigned_vcpus is not None:
            assigned = (assigned or 0) + sample.assigned_vcpus
        if used is not None and cpus:
            busy, weight, counted = busy + used * cpus, weight + cpus, counted + 1
    if not threads:
        return None
    below = "" if assigned is None else _assigned(assigned, threads)
    if not weight:
        return Total("–", gettext("needs two scans"), below)
    share = round(busy / weight)
    small = gettext("avg, %(hosts)s", hosts=_of_hosts(counted, len(fleet.hosts)))
    return Total(f"{share} %", small, below, percent=share)


def memory_total(fleet: Fleet) -> Total | None:
    """Memory in use on the answering hosts."""
    used = whole = 0
    missing = []
    for host in fleet.hosts:
        sample, _ = samples_of(host)
        taken = host_memory_used_bytes(sample) if host.status.known else None
        if taken is None or sample is None or sample.memory_total_bytes is None:
            missing.append(host.slug)
        else:
            used, whole = used + taken, whole + sample.memory_total_bytes
    if not whole:
        return None
    big, small = number_and_unit(used, whole)
    below = (
        gettext("%(names)s not counted", names=listed(missing))
        if missing
        else f"{percent(used, whole)} %"
    )
    return Total(big, small, below, percent=percent(used, whole))


def storage_total(fleet: Fleet) -> Total | None:
    """What the active pools of the answering hosts hold, and what they promised to volumes."""
    used = whole = promised = 0
    missing = 0
    for seen in fleet.pools:
        sample = seen.sample if seen.known else None
        if sample is None or sample.capacity_bytes is None or sample.allocation_bytes is None:
            missing += 1
            continue
        used, whole = used + sample.allocation_bytes, whole + sample.capacity_bytes
        promised += sample.volumes_capacity_bytes or 0
    if not whole:
        return None
    big, small = number_and_unit(used, whole)
    below = gettext("%(size)s promised", size=size(promised))
    below += f" · {percent(promised, whole)} %"
    if missing:
        told = ngettext("%(num)s pool not counted", "%(num)s pools not counted", missing)
        below += f" · {told}"
    return Total(big, small, below, capacity=capacity(used, whole, promised))


def pool_rows(fleet: Fleet) -> list[PoolRow]:
    """The fullest pools first; those that nobody can read now come last, with what was."""
    rows = [row for seen in fleet.pools if (row := _pool_row(seen)) is not None]
    rows.sort(
        key=lambda row: (row.percent is None, -row.last_percent, row.name, row.host, row.uuid)
    )
    return rows[:_POOLS_SHOWN]


def _pool_row(seen: Seen[Pool, PoolSample]) -> PoolRow | None:
    pool, sample = seen.fact, seen.sample
    filled = percent(sample.allocation_bytes, sample.capacity_bytes) if sample else None
    if sample is None or filled is None:
        return None
    return PoolRow(
        host=seen.host,
        name=pool.name,
        uuid=pool.uuid,
        percent=filled if seen.known else None,
        last_percent=filled,
        warning=warning(filled),
        title=f"{size(sample.allocation_bytes)} of {size(sample.capacity_bytes)}",
    )


def _answering(fleet: Fleet) -> Sequence[HostView]:
    return [host for host in fleet.hosts if host.status.known]


def _cpus(host: HostView) -> int:
    facts = facts_of(host)
    return (facts.cpus_online or facts.cpus or 0) if facts else 0


def _assigned(vcpus: int, threads: int) -> str:
    told = gettext("%(vcpus)s vCPU assigned to %(threads)s threads", vcpus=vcpus, threads=threads)
    return f"{told} · {figure(f'{vcpus / threads:.1f}')}×"


def _of_hosts(counted: int, total: int) -> str:
    if counted == total:
        return gettext("all hosts") if total > 1 else gettext("one host")
    return gettext("%(count)s of %(all)s hosts", count=counted, all=total)
