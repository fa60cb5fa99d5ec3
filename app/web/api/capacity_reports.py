"""The capacity reports that are kept, as JSON; their list is narrowed, sorted, paged and
written as CSV like all lists.
"""

import msgspec
from flask import Response, request
from msgspec.structs import asdict

from app import clock
from app.capacity.periods import Period
from app.capacity.report import Foreseen, Report
from app.clock import rfc3339
from app.services import services
from app.store.capacity_reports import Kept, get_report, list_reports
from app.web.api import blueprint
from app.web.api.answers import check_parameters
from app.web.api.capacity import compared_item, finding_item, period_item
from app.web.api.declared import row_query
from app.web.api.items import Item, time_or_none
from app.web.api.rows import Row, RowFact, answer_rows, columns_of
from app.web.listing import Kind
from app.web.moment import moment
from app.web.operations import AT, operation
from app.web.permission import needs
from app.web.shapes import capacity as shapes

_REPORTS: Kind[Row] = Kind(
    texts=lambda row: (row.of.month,),
    sorts={"month": lambda row: row.of.month, "made": lambda row: row.of.made_ms},
    default_sort="-month",
)


@blueprint.get("/api/v1/capacity/reports")
@needs("viewer", everywhere=True)
@operation("fleet", shapes.KeptReports, *row_query(_REPORTS), AT, csv=True)
def capacity_reports() -> Response:
    """The monthly capacity reports that are kept, the newest first."""
    at = moment(request.args, clock.now_ms())
    rows = [
        Row(one, one.month, RowFact(one.month)) for one in list_reports(services().store, at.at_ms)
    ]
    return answer_rows(rows, _REPORTS, _kept, "capacity-reports", columns_of(shapes.KeptReport))


@blueprint.get("/api/v1/capacity/reports/<month>")
@needs("viewer", everywhere=True)
@operation("fleet", shapes.Report, AT)
def capacity_report(month: str) -> Response:
    """The capacity report of a month, as it was made when that was over."""
    check_parameters(("at",))
    at = moment(request.args, clock.now_ms())
    return _json(_report(*get_report(services().store, month, at.at_ms)))


def _json(body: Item) -> Response:
    return Response(msgspec.json.encode(body), mimetype="application/json")


def _kept(one: Kept) -> Item:
    return {"month": one.month, "at": rfc3339(one.at_ms), "made_at": rfc3339(one.made_ms)}


def _report(kept: Kept, told: Report) -> Item:
    of = Period(
        told.seen_from_day, told.end_day,
        ("history",) if told.seen_from_day > told.from_day else (),
    )  # fmt: skip
    return {
        **_kept(kept),
        "period": period_item(of),
        "month_before": None if told.month_before is None else period_item(told.month_before),
        "hosts": told.hosts,
        "not_judged": told.not_judged,
        "domains": told.domains,
        "running": told.running,
        "foreseen": [_foreseen(one) for one in told.foreseen],
        "promised": [asdict(one) for one in told.promised],
        "reclaim": [
            finding_item(one, told.dismissed.get(place))
            for place, one in enumerate(told.findings)
        ],
        "freed": asdict(told.freed),
        "growth": [compared_item(one) for one in told.growth],
        "losses": [asdict(one) for one in told.losses],
    }  # fmt: skip


def _foreseen(one: Foreseen) -> Item:
    item = asdict(one)
    item["host"] = one.host or None
    item["full_at"] = time_or_none(item.pop("full_ms"))
    return item
