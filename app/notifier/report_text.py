"""A capacity report as plain text: what messages call it, and what a mail says of it. Pure."""

from collections.abc import Iterator, Sequence

from app.capacity import words
from app.capacity.growth import Growth
from app.capacity.periods import day_text
from app.capacity.reclaim import FINDING_KINDS, Finding
from app.capacity.report import Report, title
from app.sizes import size
from app.store.capacity_reports import Subject

# So many of a kind stand in a mail; the page has all.
_MOST = 20
_FINDINGS = {
    "idle-domain": "idle VMs", "domain-off": "VMs shut off for long",
    "larger-than-needed": "VMs larger than needed", "unused-volume": "volumes that no VM uses",
    "unused-pool": "pools that no VM uses", "old-snapshot": "old snapshots",
}  # fmt: skip


def subject_of(report: Report) -> Subject:
    """What messages call a report, and its gist."""
    first, too_much = report.first_full, report.overcommitted
    parts = [
        "No pool is foreseen to be full." if first is None
        else f"First pool full: {first.names[0]}, {words.when_and_on(first, report.at_ms)}.",
        f"Overcommitted: {', '.join(too_much)}." if too_much else "No host is overcommitted.",
        f"{report.freed.count} findings, {size(report.freed.disk_bytes)} disk.",
    ]  # fmt: skip
    return Subject(title(report), " ".join(parts))


def report_lines(report: Report) -> list[str]:
    """All that a mail says of a report."""
    fleet = report.growth[0]
    lines = [
        f"{day_text(report.seen_from_day)} – {day_text(report.end_day - 1)}, as known then",
        f"{report.hosts} hosts, {report.domains} VMs, {report.running} running",
    ]
    if report.not_judged:
        lines.append(f"Not judged, because they did not answer: {', '.join(report.not_judged)}")
    lines += ["", "WHEN STORAGE IS FULL", *_some(list(_storages(report)))]
    lines += ["", "OVERCOMMITTED", *_some(list(_overcommits(report)), "no host")]
    lines += ["", "COULD BE TAKEN BACK", *_some(list(_findings(report)), "nothing was found")]
    lines += ["", "GROWTH", f"this month: {_grown(fleet.second)}"]
    if fleet.first is not None:
        lines.append(f"the month before: {_grown(fleet.first)}")
    breaking = [
        f"{one.host}: {len(one.without_place)} of {one.domains} VMs would find no place"
        for one in report.losses
        if one.without_place
    ]
    return [*lines, "", "IF A HOST IS LOST", *_some(breaking, "the others could run its VMs")]


def _storages(report: Report) -> Iterator[str]:
    for one in report.foreseen:
        if one.what != "storage":
            continue
        held = "not known"
        if one.value is not None and one.limit:
            held = f"{size(one.value)} of {size(one.limit)} ({100 * one.value / one.limit:.0f} %)"
        unsure = "" if one.known else ", last seen so"
        full = words.when_and_on(one, report.at_ms)
        yield f"{words.outlook_name(one)}: {held}{unsure}; full: {full}"


def _overcommits(report: Report) -> Iterator[str]:
    for one in report.promised:
        if one.verdict == "overcommitted":
            cpu = "?" if one.vcpus_per_cpu is None else f"{one.vcpus_per_cpu:.1f}"
            memory = "?" if one.memory_ratio is None else f"{one.memory_ratio:.2f}"
            yield f"{one.host}: {cpu} vCPU per thread, memory {memory}×"


def _findings(report: Report) -> Iterator[str]:
    told = [one for place, one in enumerate(report.findings) if place not in report.dismissed]
    if told:
        disk, memory = size(report.freed.disk_bytes), size(report.freed.memory_bytes)
        yield f"{len(told)} in all: {disk} disk, {memory} memory"
    for kind in FINDING_KINDS:
        of_kind = [one for one in told if one.kind == kind]
        if of_kind:
            yield f"{len(of_kind)} {_FINDINGS[kind]}: {_named(of_kind)}"
    if report.dismissed:
        yield f"{len(report.dismissed)} dismissed are not counted"


def _named(found: Sequence[Finding]) -> str:
    named = ", ".join(f"{one.subject} on {one.host}" for one in found[:5])
    return named if len(found) <= 5 else f"{named} and {len(found) - 5} more"


def _grown(grown: Growth) -> str:
    allocated = "not known"
    if grown.allocated_bytes is not None:
        allocated = words.more(grown.allocated_bytes)
    return f"{grown.created} VMs created, {grown.deleted} deleted, allocated {allocated}"


def _some(lines: Sequence[str], none: str = "none") -> list[str]:
    if not lines:
        return [none]
    rest = len(lines) - _MOST
    return [*lines[:_MOST], f"and {rest} more"] if rest > 0 else list(lines)
