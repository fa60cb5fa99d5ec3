"""The pages of the capacity reports that are kept: their list, and one, drawn of what is kept.

Reports are of the whole fleet, so they are for who sees all hosts.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from app import clock
from app.capacity.growth import Compared, Growth
from app.capacity.overcommit import Verdict
from app.capacity.periods import day_text
from app.capacity.reclaim import Finding
from app.capacity.report import Foreseen, Promised, Report, title
from app.capacity.words import amount, grows, more, outlook_name, when_and_on
from app.clock import rfc3339
from app.language import ENGLISH, N_, gettext
from app.services import services
from app.store.capacity_reports import Kept, get_report, list_reports
from app.store.known_days import DONE_AFTER_MS
from app.web import capacity_words as words
from app.web.api.answers import check_parameters
from app.web.figures import size
from app.web.format import UNKNOWN, share
from app.web.languages import Choice, asked_language, choices, drawn_in, in_language
from app.web.moment import Moment, moment
from app.web.page import form_page, pages
from app.web.permission import needs

blueprint = Blueprint("capacity_reports", __name__)

_PAGE = "/capacity/reports"
_VERDICTS: Mapping[Verdict, str] = {
    "fine": N_("fine"), "overcommitted": N_("overcommitted"), "not-judged": N_("not judged"),
}  # fmt: skip


class ForeseenRow(NamedTuple):
    """A storage, or a host's memory or CPUs."""

    name: str
    known: bool
    value: str
    limit: str
    percent: str
    per_day: str
    full: str
    css: str


class PromisedRow(NamedTuple):
    """A host and what it had promised."""

    one: Promised
    verdict: str
    vcpus: str
    memory: str
    storage: str
    p95: str


class FindingRow(NamedTuple):
    """Something that could be taken back."""

    one: Finding
    why: str
    frees: str
    note: str


@blueprint.get("/capacity/reports")
@needs("viewer", everywhere=True)
def report_list() -> Response:
    """Which reports are kept."""
    at, language = _asked()
    with drawn_in(language):
        rows = [(one.month, _made(one)) for one in list_reports(services().store, at.at_ms)]
        name = gettext("Capacity reports")
    return form_page(
        "capacity/reports.html", "capacity", name, at=at, address=in_language(_PAGE, language),
        language=language, rows=rows, href=lambda page: at.of(in_language(page, language)),
        languages=_choices(_PAGE, at, language),
    )  # fmt: skip


@blueprint.get("/capacity/reports/<month>")
@needs("viewer", everywhere=True)
def report(month: str) -> Response:
    """The report of a month; raises NotFound."""
    at, language = _asked()
    with drawn_in(language):
        kept, told = get_report(services().store, month, at.at_ms)
        context = {"made": _made(kept), **_context(told)}
        name = title(told)
    address = f"{_PAGE}/{kept.month}"
    return form_page(
        "capacity/report.html", "capacity", name, at=at, address=in_language(address, language),
        language=language, told=told, reports=at.of(in_language(_PAGE, language)),
        languages=_choices(address, at, language), **context,
    )  # fmt: skip


def _asked() -> tuple[Moment, str]:
    """The moment and the language; raises InvalidField."""
    check_parameters(("at", "lang"))
    return moment(request.args, clock.now_ms()), asked_language(request.args)


def _choices(page: str, at: Moment, language: str) -> list[Choice]:
    return choices(language, lambda chosen: at.of(in_language(page, chosen or ENGLISH)))


def _made(kept: Kept) -> str:
    return pages().zone.date_and_time(kept.made_ms)


def _context(told: Report) -> dict[str, Any]:
    first, before = told.first_full, told.month_before
    rows = [(one.what, _foreseen(one, told.at_ms)) for one in told.foreseen]
    return {
        "from_text": day_text(told.seen_from_day),
        "to_text": day_text(told.end_day - 1),
        "cut": told.seen_from_day > told.from_day,
        "before": "" if before is None
        else f"{day_text(before.from_day)} – {day_text(before.end_day - 1)}",
        "first_full": gettext("none foreseen") if first is None
        else gettext("%(pool)s %(when)s", pool=first.names[0],
                     when=when_and_on(first, told.at_ms)),
        "first_css": "" if first is None else words.urgency(first, told.at_ms),
        "storages": [row for what, row in rows if what == "storage"],
        "of_hosts": [row for what, row in rows if what != "storage"],
        "promised": [_promised(one) for one in told.promised],
        "findings": [_finding(told, place) for place in range(len(told.findings))],
        "freed_disk": size(told.freed.disk_bytes),
        "freed_memory": size(told.freed.memory_bytes),
        "growth": [_growth(one) for one in told.growth],
        "csv": {table: _csv(told, table) for table in
                ("outlook", "overcommit", "reclaim", "comparison", "losses")},
    }  # fmt: skip


def _csv(told: Report, table: str) -> str:
    """The same table of the review, as of when the month's last day had been put together."""
    pairs = {
        "at": rfc3339(told.at_ms + DONE_AFTER_MS), "from": day_text(told.from_day),
        "to": day_text(told.end_day - 1), "format": "csv", "table": table,
    }  # fmt: skip
    if table == "comparison" and told.month_before is not None:
        pairs |= {"by": "host", "compare_from": day_text(told.month_before.from_day),
                  "compare_to": day_text(told.month_before.end_day - 1)}  # fmt: skip
    return f"/api/v1/capacity?{urlencode(pairs)}"


def _foreseen(one: Foreseen, at_ms: int) -> ForeseenRow:
    percent = UNKNOWN
    if one.value is not None and one.limit:
        percent = f"{100 * one.value / one.limit:.0f} %"
    return ForeseenRow(
        outlook_name(one), one.known, amount(one, one.value), amount(one, one.limit), percent,
        grows(one.what, one.per_day), when_and_on(one, at_ms), words.urgency(one, at_ms),
    )  # fmt: skip


def _promised(one: Promised) -> PromisedRow:
    def ratio(value: float | None) -> str:
        return UNKNOWN if value is None else f"{value:.2f}×"

    return PromisedRow(
        one,
        gettext(_VERDICTS[one.verdict]),
        ratio(one.vcpus_per_cpu),
        ratio(one.memory_ratio),
        ratio(one.storage_ratio),
        share(one.cpu_p95),
    )


def _finding(told: Report, place: int) -> FindingRow:
    one, dismissed = told.findings[place], told.dismissed.get(place)
    why = words.why(one, told.at_ms)
    if one.kind == "larger-than-needed":
        enough = []
        if one.enough_vcpus is not None:
            enough.append(
                gettext("%(enough)s of %(has)s vCPU", enough=one.enough_vcpus, has=one.vcpus)
            )
        if one.enough_memory_bytes is not None:
            both = size(one.enough_memory_bytes), size(one.memory_bytes)
            enough.append(gettext("%(value)s of %(limit)s", value=both[0], limit=both[1]))
        why = gettext("larger than needed; enough: %(parts)s", parts=gettext(", ").join(enough))
    return FindingRow(one, why, words.frees(one), "" if dismissed is None else dismissed.note)


def _growth(one: Compared) -> tuple[str, list[tuple[str, str]]]:
    """A group and, of created, deleted, memory and allocated, the month before and the month."""
    sides = [_grown(grown) for grown in (one.first, one.second)]
    return one.group, list(zip(*sides, strict=True))


def _grown(grown: Growth | None) -> tuple[str, str, str, str]:
    if grown is None:
        return (UNKNOWN,) * 4
    return (
        str(grown.created), str(grown.deleted), more(grown.memory_bytes),
        more(grown.allocated_bytes),
    )  # fmt: skip
