"""The capacity review in words: when something is full, why something is a finding. Pure."""

from typing import NamedTuple

from app.capacity.forecast import FURTHEST_DAYS, Forecast, Reason, Refusal
from app.capacity.outlook import Outlook
from app.capacity.periods import day_text
from app.capacity.placement import Fit
from app.capacity.placement import Reason as PlaceReason
from app.capacity.reclaim import Finding
from app.capacity.report import Foreseen
from app.clock import DAY_MS
from app.web.figures import size
from app.web.format import plural

_REFUSED: dict[Reason, str] = {
    "no-history": "nothing was measured yet",
    "too-short": "history is too short",
    "not-seen-lately": "not seen lately",
    "too-wild": "it moves too wildly to say",
}
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


def amount(one: Outlook | Foreseen, value: float | None) -> str:
    """A value of an outlook with its unit."""
    if value is None:
        return "–"
    return f"{100 * value:.0f} %" if one.what == "cpu" else size(round(value))


def per_day(one: Outlook) -> str:
    """How fast it grows."""
    if not isinstance(one.told, Forecast):
        return "–"
    grown = one.told.per_day
    if one.what == "cpu":
        return f"{100 * grown * 30:+.1f} % a month"
    return f"{more(grown)} a day"


def when_full(one: Outlook, at_ms: int) -> str:
    """In how many days it is full, or why that is not said."""
    return full_in(one.told, one.full_ms, at_ms)


def full_in(told: Forecast | Refusal, full_ms: int | None, at_ms: int) -> str:
    """In how many days a time is at which something is full, or why there is none."""
    if isinstance(told, Refusal):
        return _REFUSED[told.reason]
    if full_ms is None:
        days = told.furthest_days
        return "over 2 years" if days >= FURTHEST_DAYS else f"over {plural(days, 'day')}"
    left = (full_ms - at_ms) / DAY_MS
    return f"in {plural(round(left), 'day')}" if left > 0 else "full"


def day_full(one: Outlook) -> str:
    """The day (of UTC) on which it is full; empty where that is not said."""
    return full_on(one.full_ms)


def full_on(full_ms: int | None) -> str:
    """The day (of UTC) of a time; empty for none."""
    return "" if full_ms is None else day_text(full_ms // DAY_MS)


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


def more(bytes_: float | None) -> str:
    """By how much something grew or shrank."""
    if not bytes_:
        return "–" if bytes_ is None else "0"
    return f"{'−' if bytes_ < 0 else '+'}{size(round(abs(bytes_)))}"
