"""The capacity review in words: what is full soon, why something is a finding, where a domain fits.

Pure. Forecasts in words are in app/capacity/words.
"""

from typing import NamedTuple

from app.capacity.outlook import Outlook
from app.capacity.placement import Fit
from app.capacity.placement import Reason as PlaceReason
from app.capacity.reclaim import Finding
from app.capacity.report import Foreseen
from app.clock import DAY_MS
from app.web.figures import size
from app.web.format import plural

_WHY: dict[PlaceReason, str] = {
    "host-unknown": "the host does not answer",
    "cpus-unknown": "its CPUs are not known",
    "memory-unknown": "its memory is not known",
    "pool-unknown": "the pool was not measured",
    "pool-not-running": "the pool is not running",
    "no-pool": "the host has no pool",
    "vcpus": "too many vCPUs would be promised",
    "memory": "there is too little memory",
    "disk": "the pool has too little room",
    "full-soon": "the pool would soon be full",
}
_RUNS_OUT = {"vcpus": "vCPUs run", "memory": "memory runs", "disk": "disk runs"}
_LOOKS = {
    "fits": ("check", "ok-t", "Fits."), "fits-now": ("warn", "warn-t", "Fits today, but "),
    "does-not-fit": ("x", "bad-t", "Does not fit: "), "not-judged": ("unk", "t2", "Not judged: "),
}  # fmt: skip


class Verdict(NamedTuple):
    """One host and pool of the placement, in words."""

    icon: str
    css: str
    host: str
    pool: str
    text: str


def urgency(one: Outlook | Foreseen, at_ms: int) -> str:
    """The class of what is full soon."""
    return urgent(one.full_ms, at_ms)


def urgent(full_ms: int | None, at_ms: int) -> str:
    """The class of a time that comes soon."""
    if full_ms is None:
        return ""
    days = (full_ms - at_ms) / DAY_MS
    return "bad-t" if days < 30 else "warn-t" if days < 90 else ""


def why(finding: Finding, at_ms: int) -> str:
    """Why it is a finding."""
    days = None if finding.since_ms is None else (at_ms - finding.since_ms) // DAY_MS
    since = "" if days is None else plural(int(days), "day")
    return {
        "idle-domain": f"CPU, disks and network did nothing for {since}",
        "domain-off": f"shut off for {since}",
        "unused-volume": f"volume that no VM uses, seen for {since}",
        "unused-pool": f"pool that no VM uses, unchanged for {since}",
        "old-snapshot": f"snapshot, {since} old",
        "larger-than-needed": "",
    }[finding.kind]


def frees(finding: Finding) -> str:
    """What it would free."""
    told = []
    if finding.frees_disk_bytes is not None:
        told.append(f"{size(finding.frees_disk_bytes)} disk")
    if finding.frees_memory_bytes:
        told.append(f"{size(finding.frees_memory_bytes)} memory")
    return ", ".join(told) or "–"


def finding_says(finding: Finding, at_ms: int) -> str:
    """A finding in a sentence: what it is, and what it would free."""
    reason = why(finding, at_ms) or "larger than needed"
    freed = frees(finding)
    free = "what it would free is not known" if freed == "–" else f"it could free {freed}"
    return f"{reason[0].upper()}{reason[1:]}; {free}."


def verdict(fit: Fit, at_ms: int) -> Verdict:
    """What is said of one host and pool."""
    icon, css, text = _LOOKS[fit.verdict]
    if fit.verdict == "fits-now":
        days = "soon" if fit.full_after_ms is None else f"in {_days(fit.full_after_ms, at_ms)}"
        before = (
            "" if fit.full_before_ms is None else f" instead of {_days(fit.full_before_ms, at_ms)}"
        )
        text += f"the pool would be full {days}{before}. "
    elif fit.verdict != "fits":
        text += ", ".join(_WHY[reason] for reason in fit.reasons) + "."
    if fit.verdict in ("fits", "fits-now"):
        text = f"{text} {_after(fit)}".strip()
    return Verdict(icon, css, fit.host, fit.pool, text)


def _days(at_ms: int, now_ms: int) -> str:
    return plural(max(0, round((at_ms - now_ms) / DAY_MS)), "day")


def _after(fit: Fit) -> str:
    parts = []
    if fit.vcpus_per_cpu is not None:
        parts.append(f"CPU {fit.vcpus_per_cpu:.1f}×")
    if fit.memory_ratio is not None:
        parts.append(f"memory {fit.memory_ratio:.2f}×")
    if fit.pool_share_before is not None and fit.pool_share_after is not None:
        parts.append(f"pool {100 * fit.pool_share_before:.0f} → {100 * fit.pool_share_after:.0f} %")
    out = f"; {_RUNS_OUT[fit.limited_by]} out first" if fit.limited_by else ""
    return f"After: {', '.join(parts)}. Room for {fit.room}{out}."
