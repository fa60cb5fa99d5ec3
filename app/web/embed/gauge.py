"""A gauge: one number with the limit that it is measured by, as half a ring. Pure.

How full a pool is; how busy the CPUs or how full the memory of a host or domain are. Of a host
that does not answer it is unknown, with what was last seen.
"""

from typing import NamedTuple

from app.errors import InvalidField
from app.inventory import PoolSample
from app.language import gettext, pgettext
from app.metrics import domain_memory_used_bytes, host_memory_used_bytes
from app.store.history import Seen
from app.web.drawing import Drawing
from app.web.embed.chart import Subject, subject_of
from app.web.embed.parameters import only
from app.web.figures import percent, size, warning
from app.web.finding import find_domain, find_pool
from app.web.format import number
from app.web.host_page import find_host
from app.web.host_rows import cpu_percent, facts_of, samples_of
from app.web.rates import domain_rates

_METRICS = {"pool": ("space",), "host": ("cpu", "memory"), "domain": ("cpu", "memory")}
_CSS = {"space": "npv-k-mem", "memory": "npv-k-mem", "cpu": "npv-k-cpu"}


class Reading(NamedTuple):
    """What a gauge shows: whole percent (None: not measured), whether it is of now, why not, and
    lines beside it.
    """

    percent: int | None
    known: bool
    reason: str
    lines: tuple[tuple[str, str], ...]


def build_gauge(drawing: Drawing) -> dict[str, object]:
    """The context of embed/gauge.html; raises InvalidField, NotFound."""
    subject = subject_of(drawing)
    metrics = _METRICS.get(subject.kind)
    if metrics is None:
        raise InvalidField(
            "kind",
            gettext("The kind of a gauge is one of: %(words)s.", words=", ".join(_METRICS)),
        )
    metric = only(drawing.arguments, "metric") or metrics[0]
    if metric not in metrics:
        words = ", ".join(metrics)
        raise InvalidField("metric", gettext("This gauge shows one of: %(words)s.", words=words))
    reading = _read(drawing, subject, metric)
    shown = reading.percent if reading.known else None
    return {
        "page": subject.page,
        "subject": subject,
        "metric": metric,
        "host": only(drawing.arguments, "host"),
        "reading": reading,
        "shown": shown,
        "css": _CSS[metric],
        "warning": warning(shown) if metric == "space" else "",
    }


def _read(drawing: Drawing, subject: Subject, metric: str) -> Reading:
    slug, key = only(drawing.arguments, "host"), only(drawing.arguments, "id").lower()
    if subject.kind == "pool":
        return _of_pool(find_pool(drawing.fleet, slug, key))
    if subject.kind == "domain":
        return _of_domain(find_domain(drawing.fleet, slug, key), metric)
    return _of_host(drawing, slug, metric)


def _of_pool(seen: Seen) -> Reading:
    sample = seen.sample or PoolSample()
    filled = percent(sample.allocation_bytes, sample.capacity_bytes)
    lines = (
        (gettext("used"), size(sample.allocation_bytes)),
        (gettext("free"), size(sample.available_bytes)),
        (gettext("size"), size(sample.capacity_bytes)),
    )
    reason = _unread(seen.fact.state) if seen.known and filled is None else ""
    return Reading(filled, seen.known, reason, lines)


def _unread(state: str) -> str:
    told = {
        "inactive": gettext("not read while inactive"),
        "building": gettext("not read while building"),
        "running": gettext("not read while running"),
        "degraded": gettext("not read while degraded"),
        "inaccessible": gettext("not read while inaccessible"),
    }
    return told[state]


def _of_host(drawing: Drawing, slug: str, metric: str) -> Reading:
    view = find_host(drawing.fleet, slug)
    known = view.status.known
    if metric == "cpu":
        facts = facts_of(view)
        lines = ((gettext("threads"), number(facts.cpus if facts else None)),)
        return Reading(cpu_percent(view), known, "", lines)
    sample, _ = samples_of(view)
    used = host_memory_used_bytes(sample)
    whole = sample.memory_total_bytes if sample else None
    lines_of = ((gettext("used"), size(used)), (pgettext("a whole", "of"), size(whole)))
    return Reading(percent(used, whole), known, "", lines_of)


def _of_domain(seen: Seen, metric: str) -> Reading:
    if metric == "cpu":
        share = domain_rates(seen).cpu
        busy = None if share is None else round(100 * min(1.0, share))
        return Reading(busy, seen.known, "", (("vCPU", number(seen.fact.vcpus)),))
    used, whole = domain_memory_used_bytes(seen.sample), seen.fact.memory_bytes
    lines = ((gettext("used"), size(used)), (gettext("assigned"), size(whole)))
    return Reading(percent(used, whole), seen.known, "", lines)
