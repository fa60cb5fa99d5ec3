"""The rows of the capacity review's tables, in words and percent. Pure."""

from typing import NamedTuple
from urllib.parse import urlencode

from app.capacity.backtest import Quality
from app.capacity.outlook import Outlook
from app.capacity.overcommit import Overcommit
from app.capacity.reclaim import Finding
from app.capacity.words import amount, full_on, grows, outlook_name, when_full
from app.language import ENGLISH, gettext, language
from app.store.dismissals import Dismissal
from app.web import capacity_words as words
from app.web.figures import size
from app.web.format import UNKNOWN, share
from app.web.when import Zone


class OutlookRow(NamedTuple):
    """A storage, or a host's memory or CPUs; `address` draws its chart."""

    name: str
    address: str
    known: bool
    value: str
    limit: str
    percent: int | None
    kind: str
    per_day: str
    full: str
    full_on: str
    css: str
    past: str


class OvercommitRow(NamedTuple):
    """A host; the meters are in percent of what is too much."""

    one: Overcommit
    vcpus: str
    memory: str
    vcpus_percent: int | None
    memory_percent: int | None
    p95: str
    last: str


class FindingRow(NamedTuple):
    """Something that could be taken back; `dismissed`: by whom, when and why, once it was.
    `ask` is where it is dismissed, `undo` where that is undone.
    """

    one: Finding
    why: str
    frees: str
    dismissed: str
    ask: str
    undo: str
    has: str
    peak: str
    enough: str


def outlook_row(one: Outlook, past: Quality | None, at_ms: int, address: str) -> OutlookRow:
    """A row of what is full when; `past` is how good last month's forecast was, `address` draws
    its chart.
    """
    percent = None
    if one.value is not None and one.limit:
        percent = round(100 * one.value / one.limit)
    return OutlookRow(
        outlook_name(one), address, one.known,
        amount(one, one.value), amount(one, one.limit), percent, one.what,
        grows(one.what, one.per_day), when_full(one, at_ms), full_on(one.full_ms),
        words.urgency(one, at_ms),
        UNKNOWN if past is None else _quality(past),
    )  # fmt: skip


def _quality(past: Quality) -> str:
    within, error = f"{100 * past.within_80:.0f}", f"{100 * past.error:.1f}"
    return gettext("%(share)s %% within, ±%(error)s %%", share=within, error=error)


def overcommit_row(one: Overcommit, zone: Zone) -> OvercommitRow:
    """A row of what a host promised."""

    def percent(value: float | None, most: float) -> int | None:
        return None if value is None or not one.known else min(100, round(100 * value / most))

    last = ""
    if not one.known:
        seen_ms = one.seen_ms
        last = (
            gettext("never seen")
            if seen_ms is None
            else gettext("as of %(when)s", when=zone.stamp(seen_ms))
        )
    return OvercommitRow(
        one, f"{_or_dash(one.running_vcpus)} / {_or_dash(one.cpus)}",
        f"{size(one.running_memory_bytes)} / {size(one.memory_bytes)}",
        percent(one.vcpus_per_cpu, 4.0), percent(one.memory_ratio, 1.2),
        share(one.cpu_p95), last,
    )  # fmt: skip


def _or_dash(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def finding_row(one: Finding, dismissal: Dismissal | None, at_ms: int, zone: Zone) -> FindingRow:
    """A row of what could be taken back."""
    has, peak, enough = [], [], []
    if one.enough_vcpus is not None:
        has.append(f"{one.vcpus} vCPU")
        peak.append(f"{one.peak_vcpus:.1f}")
        enough.append(f"{one.enough_vcpus} vCPU")
    if one.enough_memory_bytes is not None:
        has.append(size(one.memory_bytes))
        peak.append(size(round(one.peak_memory_bytes or 0)))
        enough.append(size(one.enough_memory_bytes))
    dismissed = ""
    if dismissal is not None:
        dismissed = gettext(
            "dismissed by %(who)s, %(when)s: %(note)s",
            who=dismissal.who, when=zone.date_and_time(dismissal.at_ms), note=dismissal.note,
        )  # fmt: skip
    at = f"/hosts/{one.host}/findings"
    spoken = {} if language() == ENGLISH else {"lang": language()}
    query = urlencode({"kind": one.kind, "key": one.key, **spoken})
    comma = gettext(", ")
    return FindingRow(
        one, words.why(one, at_ms), words.frees(one), dismissed, f"{at}/dismiss?{query}",
        f"{at}/undo-dismiss?{query}", comma.join(has), comma.join(peak), comma.join(enough),
    )  # fmt: skip
