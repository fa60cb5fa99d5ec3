"""The scans of the hosts and the gaps between them, as JSON and as CSV.

The page of a host shows its last scans, the ribbon and npvirt's own health the gaps. Of the hosts
in one's scope, as of a moment.
"""

from typing import Any

from flask import Response, request
from werkzeug.datastructures import MultiDict

from app.clock import rfc3339
from app.errors import InvalidField
from app.services import services
from app.store.gap_list import Gap, list_gaps
from app.store.scan_list import OUTCOMES, ListedScan, ScanOutcome, ScansWanted, list_scans
from app.store.views import Fleet
from app.web.api import blueprint
from app.web.api.answers import Made, answer_made, known_hosts
from app.web.api.declared import PAGING, sorting
from app.web.api.stretch import read_stretch
from app.web.listing import Kind, Query, natural, read_query
from app.web.operations import AT, HOST, operation, time, words
from app.web.permission import needs
from app.web.shapes import history as shapes

_SCANS: Kind[Any] = Kind(
    texts=lambda seen: (), sorts=dict.fromkeys(("at", "took"), lambda seen: None),
    default_sort="-at",
)  # fmt: skip
_GAPS: Kind[Any] = Kind(
    texts=lambda seen: (), sorts=dict.fromkeys(("from", "duration"), lambda seen: None),
    default_sort="-from",
)  # fmt: skip
_OWN = frozenset(("from", "to", "outcome"))
_SHARED = ("host", "sort", "page", "per_page")
_SPAN = (
    time("from", "The beginning; 24 hours before the end if not given."),
    time("to", "The end; now, or `at`, if not given."),
)
_SCAN_COLUMNS = (
    "host", "at", "outcome", "took_ms", "calls", "changes", "problem", "sentence", "missing",
    "clock_stepped", "interval_ms",
)  # fmt: skip
_GAP_COLUMNS = ("host", "from", "to", "duration_ms", "failed_scans")
_CSV_MOST = 100_000


@blueprint.get("/api/v1/scans")
@needs("viewer")
@operation(
    "history", shapes.ScanPage, HOST, words("outcome", "That went so.", OUTCOMES, many=True),
    *_SPAN, sorting(_SCANS), *PAGING, AT, csv=True,
)  # fmt: skip
def list_of_scans() -> Response:
    """How the hosts were looked at, newest first. Where days of more than two days ago hold very
    many scans, name a host or a shorter stretch.
    """
    return answer_made(
        (*_SHARED, *_OWN), _scans, "scans", _SCAN_COLUMNS, follows_fleet=False
    )  # fmt: skip


@blueprint.get("/api/v1/gaps")
@needs("viewer")
@operation("history", shapes.GapPage, HOST, *_SPAN, sorting(_GAPS), *PAGING, AT, csv=True)
def list_of_gaps() -> Response:
    """When nobody looked at a host or it did not answer, as charts leave it blank: longer than
    three planned intervals. Over more than three days to the width of a bucket of its series.
    Where very much had to be read for that, name a host or a shorter stretch.
    """
    return answer_made(
        (*_SHARED, "from", "to"), _gaps, "gaps", _GAP_COLUMNS, follows_fleet=False
    )  # fmt: skip


def _scans(seen: Fleet, *, everything: bool) -> Made:
    query, wanted, slugs = _asked(seen, _SCANS)
    first = 0 if everything else (query.page - 1) * query.per_page
    found = list_scans(
        services().store, wanted, limit=_CSV_MOST if everything else query.per_page, offset=first,
        sort="took" if query.sort_key == "took" else "at", descending=query.descending,
    )  # fmt: skip
    items = [_scan_item(one, slugs[one.host_id]) for one in found.items]
    return Made(items, found.total, query.page, found.counts, query.hosts)


def _gaps(seen: Fleet, *, everything: bool) -> Made:
    query, wanted, slugs = _asked(seen, _GAPS)
    first = 0 if everything else (query.page - 1) * query.per_page
    found = list_gaps(
        services().store, wanted, limit=_CSV_MOST if everything else query.per_page, offset=first,
        sort="duration" if query.sort_key == "duration" else "from", descending=query.descending,
    )  # fmt: skip
    by_name = sorted(slugs, key=lambda host_id: natural(slugs[host_id]))
    counts = {slugs[host_id]: found.counts.get(host_id, 0) for host_id in by_name}
    items = [_gap_item(gap, slugs[gap.host_id]) for gap in found.items]
    return Made(items, found.total, query.page, counts, query.hosts)


def _asked(seen: Fleet, kind: Kind[Any]) -> tuple[Query, ScansWanted, dict[int, str]]:
    """The query, what it asks of the store, and the names of the hosts that it is about."""
    shared: MultiDict[str, str] = MultiDict(
        (name, value) for name, value in request.args.items(multi=True) if name not in _OWN
    )
    query = read_query(shared, kind, known_hosts(seen), strict=True)
    stretch = read_stretch(request.args)
    slugs = {
        view.record.id: view.slug
        for view in seen.hosts
        if not query.hosts or view.slug in query.hosts
    }
    wanted = ScansWanted(
        tuple(slugs), stretch.from_ms, stretch.to_ms, _outcomes(), as_of_ms=seen.moment_ms
    )
    return query, wanted, slugs


def _outcomes() -> tuple[ScanOutcome, ...]:
    given = frozenset(request.args.getlist("outcome"))
    if not given.issubset(OUTCOMES):
        raise InvalidField("outcome", f"An outcome is one of: {', '.join(OUTCOMES)}.")
    return tuple(one for one in OUTCOMES if one in given)


def _scan_item(scan: ListedScan, slug: str) -> dict[str, Any]:
    item: shapes.ScanItem = {
        "host": slug,
        "at": rfc3339(scan.at_ms),
        "outcome": scan.outcome,
        "took_ms": scan.took_ms,
        "calls": scan.calls,
        "changes": scan.changes,
        "problem": scan.problem,
        "sentence": scan.sentence,
        "missing": scan.missing,
        "clock_stepped": scan.clock_stepped,
        "interval_ms": scan.interval_ms,
    }
    return {**item}


def _gap_item(gap: Gap, slug: str) -> dict[str, Any]:
    item: shapes.GapItem = {
        "host": slug,
        "from": rfc3339(gap.from_ms),
        "to": None if gap.goes_on else rfc3339(gap.to_ms),
        "duration_ms": None if gap.goes_on else gap.to_ms - gap.from_ms,
        "failed_scans": gap.failed,
    }
    return {**item}
