"""The capacity review in words: what is full soon, why something is a finding, where a domain fits.

Pure. Forecasts in words are in app/capacity/words.
"""

from typing import NamedTuple

from app.capacity.outlook import Outlook
from app.capacity.placement import Fit
from app.capacity.placement import Reason as PlaceReason
from app.capacity.reclaim import Finding, FindingKind
from app.capacity.report import Foreseen
from app.clock import DAY_MS
from app.language import N_, gettext, ngettext
from app.web.figures import size
from app.web.format import UNKNOWN

_WHY: dict[PlaceReason, str] = {
    "host-unknown": N_("the host does not answer"),
    "cpus-unknown": N_("its CPUs are not known"),
    "memory-unknown": N_("its memory is not known"),
    "pool-unknown": N_("the pool was not measured"),
    "pool-not-running": N_("the pool is not running"),
    "no-pool": N_("the host has no pool"),
    "vcpus": N_("too many vCPUs would be promised"),
    "memory": N_("there is too little memory"),
    "disk": N_("the pool has too little room"),
    "full-soon": N_("the pool would soon be full"),
}
# What is left after it; what runs out first, where that is known.
_AFTER = {
    "": N_("After: %(parts)s. Room for %(room)s."),
    "vcpus": N_("After: %(parts)s. Room for %(room)s; vCPUs run out first."),
    "memory": N_("After: %(parts)s. Room for %(room)s; memory runs out first."),
    "disk": N_("After: %(parts)s. Room for %(room)s; disk runs out first."),
}
_FOUND: dict[FindingKind, str] = {
    "idle-domain": N_("CPU, disks and network did nothing for %(days)s"),
    "domain-off": N_("shut off for %(days)s"),
    "unused-volume": N_("volume that no VM uses, seen for %(days)s"),
    "unused-pool": N_("pool that no VM uses, unchanged for %(days)s"),
    "old-snapshot": N_("snapshot, %(days)s old"),
    "larger-than-needed": "",
}
_LOOKS = {
    "fits": ("check", "ok-t"), "fits-now": ("warn", "warn-t"), "does-not-fit": ("x", "bad-t"),
    "not-judged": ("unk", "t2"),
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
    since = UNKNOWN
    if finding.since_ms is not None:
        since = _count_of_days((at_ms - finding.since_ms) // DAY_MS)
    return gettext(_FOUND[finding.kind], days=since)


def frees(finding: Finding) -> str:
    """What it would free."""
    told = []
    if finding.frees_disk_bytes is not None:
        told.append(gettext("%(size)s disk", size=size(finding.frees_disk_bytes)))
    if finding.frees_memory_bytes:
        told.append(gettext("%(size)s memory", size=size(finding.frees_memory_bytes)))
    return gettext(", ").join(told) or UNKNOWN


def finding_says(finding: Finding, at_ms: int) -> str:
    """A finding in a sentence: what it is, and what it would free."""
    reason = why(finding, at_ms) or gettext("larger than needed")
    reason = f"{reason[0].upper()}{reason[1:]}"
    freed = frees(finding)
    if freed == UNKNOWN:
        return gettext("%(reason)s; what it would free is not known.", reason=reason)
    return gettext("%(reason)s; it could free %(freed)s.", reason=reason, freed=freed)


def verdict(fit: Fit, at_ms: int) -> Verdict:
    """What is said of one host and pool."""
    icon, css = _LOOKS[fit.verdict]
    if fit.verdict in ("fits", "fits-now"):
        said = gettext("Fits.") if fit.verdict == "fits" else _fits_now(fit, at_ms)
        text = gettext("%(sentence)s %(next)s", sentence=said, next=_after(fit))
    else:
        reasons = gettext(", ").join(gettext(_WHY[reason]) for reason in fit.reasons)
        text = (
            gettext("Does not fit: %(reasons)s.", reasons=reasons)
            if fit.verdict == "does-not-fit"
            else gettext("Not judged: %(reasons)s.", reasons=reasons)
        )
    return Verdict(icon, css, fit.host, fit.pool, text)


def _fits_now(fit: Fit, at_ms: int) -> str:
    """That it fits today alone: when the pool would be full, and when it would be without it."""
    when, before = (
        None if full_ms is None else _count_of_days(max(0, round((full_ms - at_ms) / DAY_MS)))
        for full_ms in (fit.full_after_ms, fit.full_before_ms)
    )
    if when is None:
        return gettext("Fits today, but the pool would be full soon.")
    if before is None:
        return gettext("Fits today, but the pool would be full in %(days)s.", days=when)
    return gettext(
        "Fits today, but the pool would be full in %(days)s instead of %(before)s.",
        days=when, before=before,
    )  # fmt: skip


def _count_of_days(count: int) -> str:
    return ngettext("%(num)s day", "%(num)s days", count)


def _after(fit: Fit) -> str:
    parts = []
    if fit.vcpus_per_cpu is not None:
        parts.append(f"CPU {fit.vcpus_per_cpu:.1f}×")
    if fit.memory_ratio is not None:
        ratio = f"{fit.memory_ratio:.2f}"
        parts.append(gettext("memory %(ratio)s×", ratio=ratio))
    if fit.pool_share_before is not None and fit.pool_share_after is not None:
        before, after = (f"{100 * s:.0f}" for s in (fit.pool_share_before, fit.pool_share_after))
        parts.append(gettext("pool %(before)s → %(after)s %%", before=before, after=after))
    return gettext(_AFTER[fit.limited_by], parts=gettext(", ").join(parts), room=fit.room)
