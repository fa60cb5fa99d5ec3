"""The capacity report of a month: what is kept of a review when the month is over. Pure.

It is told as known when the month ended and never changes. Values only, in a shape that JSON can
hold; pages and mails are made of it.
"""

from collections.abc import Collection, Mapping
from typing import Literal

from msgspec import Struct

from app.capacity.evidence import Evidence
from app.capacity.forecast import Forecast, Reason
from app.capacity.growth import Compared, compared, over
from app.capacity.losses import Loss, losses
from app.capacity.outlook import Outlook, What, outlooks
from app.capacity.overcommit import Overcommit, overcommit
from app.capacity.overcommit import Verdict as OvercommitVerdict
from app.capacity.periods import Period, month_before, month_of, period
from app.capacity.reclaim import Finding, Freed, freed, reclaimable
from app.capacity.rightsizing import larger_than_needed
from app.errors import InvalidField
from app.language import gettext

# Which finding: the host, its kind, its key and the digest of its facts.
FindingKey = tuple[str, str, str, str]


class Dismissed(Struct, frozen=True):
    """When a finding was dismissed, by whom, and why."""

    at_ms: int
    who: str
    note: str


class Foreseen(Struct, frozen=True):
    """A storage, or a host's memory or CPUs; as in app/capacity/outlook. `per_day` and
    `furthest_days` are None where `refusal` says why nothing is foretold.
    """

    what: What
    host: str
    names: tuple[str, ...]
    known: bool
    value: float | None
    limit: float | None
    per_day: float | None
    furthest_days: int | None
    full_ms: int | None
    refusal: Reason | None


class Promised(Struct, frozen=True):
    """What a host had promised to its domains at the month's end; use is that of the month."""

    host: str
    known: bool
    verdict: OvercommitVerdict
    cpus: int | None
    memory_bytes: int | None
    running_vcpus: int | None
    running_memory_bytes: int | None
    vcpus_per_cpu: float | None
    memory_ratio: float | None
    storage_ratio: float | None
    cpu_p95: float | None
    memory_used_p95_bytes: float | None


class Report(Struct, frozen=True):
    """All that is told of a month ("2026-10") as known at `at_ms`, its end.

    `seen_from_day`: the first day of it that history holds. `month_before` tells which days the
    groups of `growth` (the fleet, "", and each host) have as their first; None: nothing is known
    of them, and there is no first. `dismissed` says of findings, by their place, who
    dismissed them; `freed` is without these.
    """

    month: str
    at_ms: int
    from_day: int
    end_day: int
    seen_from_day: int
    month_before: Period | None
    hosts: int
    not_judged: tuple[str, ...]
    domains: int
    running: int
    foreseen: tuple[Foreseen, ...]
    promised: tuple[Promised, ...]
    findings: tuple[Finding, ...]
    dismissed: Mapping[int, Dismissed]
    freed: Freed
    growth: tuple[Compared, ...]
    losses: tuple[Loss, ...]

    @property
    def first_full(self) -> Foreseen | None:
        """The storage that is full first, of those that will be."""
        full = [
            one for one in self.foreseen
            if one.what == "storage" and one.host and one.full_ms is not None
        ]  # fmt: skip
        return min(full, key=lambda one: one.full_ms or 0, default=None)

    @property
    def overcommitted(self) -> Collection[str]:
        """The hosts that promised too much."""
        return [one.host for one in self.promised if one.verdict == "overcommitted"]


def monthly(seen: Evidence, dismissed: Mapping[FindingKey, Dismissed]) -> Report:
    """The report of the month before the day of `seen`, which is that month's end as a rule.
    `dismissed` are the findings that somebody dismissed.
    """
    of = month_before(seen.day)
    first = of.from_day if seen.first_day is None else max(of.from_day, seen.first_day)
    findings = (*reclaimable(seen), *larger_than_needed(seen))
    keys = [(one.host, one.kind, one.key, one.facts_digest) for one in findings]
    cut: tuple[Literal["history"], ...] = ("history",) if first > of.from_day else ()
    before, growth = _growth(seen, Period(first, of.end_day, cut))
    return Report(
        month_of(of.from_day), seen.at_ms, of.from_day, of.end_day, first, before,
        len(seen.hosts), tuple(host.name for host in seen.hosts if not host.known),
        len(seen.domains), sum(one.active for one in seen.domains),
        tuple(map(_foreseen, outlooks(seen))),
        tuple(map(_promised, overcommit(seen, of.from_day))),
        findings,
        {place: dismissed[key] for place, key in enumerate(keys) if key in dismissed},
        freed(one for one, key in zip(findings, keys, strict=True) if key not in dismissed),
        growth, tuple(losses(seen)),
    )  # fmt: skip


def title(report: Report) -> str:
    """What it is called."""
    return gettext("Capacity report of %(month)s", month=report.month)


def _growth(seen: Evidence, of: Period) -> tuple[Period | None, tuple[Compared, ...]]:
    """The fleet and each host, beside the month before as far as that is known."""
    wanted = month_before(of.from_day)
    try:
        before = period(
            wanted.from_day, wanted.end_day, today=seen.day, first_day=seen.first_day
        )  # fmt: skip
    except InvalidField:
        # History is shorter.
        grown = [*over(seen, of), *over(seen, of, "host")]
        return None, tuple(Compared(one.group, None, one) for one in grown)
    return before, (*compared(seen, before, of), *compared(seen, before, of, "host"))


def _foreseen(one: Outlook) -> Foreseen:
    told = one.told
    per_day, furthest_days, refusal = None, None, None
    if isinstance(told, Forecast):
        per_day, furthest_days = told.per_day, told.furthest_days
    else:
        refusal = told.reason
    return Foreseen(
        one.what, one.host, one.names, one.known, one.value, one.limit, per_day, furthest_days,
        one.full_ms, refusal,
    )  # fmt: skip


def _promised(one: Overcommit) -> Promised:
    return Promised(
        one.host, one.known, one.verdict, one.cpus, one.memory_bytes, one.running_vcpus,
        one.running_memory_bytes, one.vcpus_per_cpu, one.memory_ratio, one.storage_ratio,
        one.cpu_p95, one.memory_used_p95_bytes,
    )  # fmt: skip
