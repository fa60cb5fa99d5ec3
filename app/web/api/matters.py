"""What needs attention, one change with its XML, a volume and the snapshots of a VM, as JSON."""

from typing import Any

from flask import Response, request

from app.errors import NotFound
from app.inventory import Definition
from app.services import services
from app.store.changes import definitions, get_change
from app.store.history import Fleet
from app.web.api import blueprint
from app.web.api.answers import Made, answer_made, answer_object, known_hosts
from app.web.api.declared import PAGING, row_query
from app.web.api.items import Item, Items
from app.web.api.rows import Row, RowFact, columns_of, find_rows
from app.web.attention import attention, matter
from app.web.change_rows import item
from app.web.finding import find_domain
from app.web.identity import principal
from app.web.kinds import volumes_of
from app.web.listing import Kind, by_name, read_query
from app.web.operations import AT, HOST, operation
from app.web.page import pages
from app.web.permission import needs
from app.web.shapes import fleet as shapes
from app.web.shapes import history

_MATTERS: Kind[Any] = Kind(texts=lambda seen: (), sorts={"grade": lambda seen: None},
                           default_sort="grade")  # fmt: skip
_SNAPSHOTS: Kind[Row] = Kind(
    texts=lambda row: (row.of["name"], row.of["description"]),
    sorts={"name": by_name, "created": lambda row: row.of["created_at"]},
)
_COLUMNS = ("kind", "grade", "host", "subject", "text", "url", "since")


@blueprint.get("/api/v1/attention")
@needs("viewer")
@operation("fleet", shapes.MatterPage, HOST, *PAGING, AT, csv=True)
def matters() -> Response:
    """Everything that somebody should look at, the worst first."""
    return answer_made(("host", "page", "per_page"), _matters, "attention", _COLUMNS)


def _matters(seen: Fleet, *, everything: bool) -> Made:
    query = read_query(request.args, _MATTERS, known_hosts(seen), strict=True)
    found = attention(seen, pages().zone, most=None).items
    mine = [one for one in found if not query.hosts or one.host in query.hosts]
    counts: dict[str, int] = {}
    for one in mine:
        counts[one.kind] = counts.get(one.kind, 0) + 1
    first = (query.page - 1) * query.per_page
    shown = mine if everything else mine[first : first + query.per_page]
    items = [{**matter(one), "host": one.host} for one in shown]
    return Made(items, len(mine), query.page, counts, query.hosts)


@blueprint.get("/api/v1/changes/<int:change_id>")
@needs("operator")
@operation("history", history.ChangeAlone, AT)
def one_change(change_id: int) -> Response:
    """One change with the definition before and after it, where it came with one."""

    def build(fleet: Fleet) -> Item:
        store = services().store
        found = get_change(store, change_id, principal().host_ids, fleet.moment_ms)
        if found is None:
            raise NotFound("There is no such change at this moment.")
        before, after = definitions(store, found)
        xml = {"xml_before": _definition(before), "xml_after": _definition(after)}
        return {**item(found), **xml}

    return answer_object(build)


def _definition(found: Definition | None) -> history.Xml | None:
    if found is None:
        return None
    return {"live_xml": found.live_xml, "inactive_xml": found.inactive_xml}


@blueprint.get("/api/v1/hosts/<slug>/volumes/<key>")
@needs("viewer")
@operation("fleet", shapes.VolumeAlone, AT)
def volume(slug: str, key: str) -> Response:
    """One storage volume, by npvirt's id of it."""

    def build(fleet: Fleet) -> Item:
        for seen in volumes_of(fleet):
            if seen.host == slug and str(seen.entity_id) == key:
                return Items(fleet).volume(seen)
        raise NotFound(f"{slug} has no volume with the id {key[:20]} at this moment.")

    return answer_object(build)


@blueprint.get("/api/v1/hosts/<slug>/domains/<key>/snapshots")
@needs("viewer")
@operation("fleet", shapes.SnapshotList, *row_query(_SNAPSHOTS), AT, csv=True)
def snapshots(slug: str, key: str) -> Response:
    """The snapshots that libvirt keeps of a VM."""

    def make(seen: Fleet, *, everything: bool) -> Made:
        query = read_query(request.args, _SNAPSHOTS, (), strict=True)
        known = Items(seen).domain(find_domain(seen, slug, key))["snapshots"]
        if known is None:
            return Made(None, None, query.page, {}, (slug,))
        rows = [Row(one, one["name"], RowFact(one["name"])) for one in known]
        found = find_rows(rows, query, _SNAPSHOTS)
        items = found.order if everything else found.page
        return Made(items, len(found.order), query.page, found.counts, (slug,))

    parameters = _SNAPSHOTS.parameters - {"host"}
    return answer_made(parameters, make, "snapshots", columns_of(shapes.Snapshot))
