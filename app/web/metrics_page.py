"""The fleet and npvirt's own health at `/metrics`, for Prometheus and its like.

From the store and what this process counted: a scrape asks no host anything. Which hosts are in it
depends on the token's scope. What is told of the fleet is kept as text for as long as nothing of it
changes.
"""

from flask import Blueprint, Response, request

from app.services import services
from app.store.device_counts import device_counts
from app.store.views import Fleet
from app.web.api.answers import check_parameters
from app.web.begun import Begun, begun
from app.web.fleet_families import fleet_families
from app.web.health_report import health_report
from app.web.identity import principal
from app.web.kept import Kept
from app.web.openmetrics import CONTENT_TYPE, END, PLAIN_CONTENT_TYPE, exposition
from app.web.own_metrics import own_families
from app.web.permission import needs
from app.web.scope import seen_fleet

blueprint = Blueprint("metrics", __name__)

# A text of a thousand domains has three megabytes, so it is not kept among the pages.
_kept = Kept(entries=4, size_bytes=32_000_000)


@blueprint.get("/metrics")
@needs("viewer")
def metrics() -> Response:
    """All families, in the format that is asked for."""
    check_parameters(())
    plain = _wants_plain()
    own = b"".join(exposition(own_families(health_report()), plain=plain)) + (b"" if plain else END)
    packs = request.accept_encodings["gzip"] > 0
    fleet_text = _fleet_text(seen_fleet(None), plain=plain, packs=packs)
    body = fleet_text.ended(own)
    response = Response(body, content_type=PLAIN_CONTENT_TYPE if plain else CONTENT_TYPE)
    if packs:
        response.content_encoding = "gzip"
    response.vary.update(("Accept", "Accept-Encoding"))
    return response


def _fleet_text(fleet: Fleet, *, plain: bool, packs: bool) -> Begun:
    """The fleet's part, which comes first."""

    def make() -> Begun:
        families = fleet_families(fleet, device_counts(services().store, fleet))
        return begun(exposition(families, plain=plain), packs=packs)

    return _kept.get((plain, packs, principal().host_ids), fleet, make)


def _wants_plain() -> bool:
    """Whether the older format is asked for, and OpenMetrics less or not at all."""
    wanted = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    # The names come with versions of the formats, of which there is one each here.
    for name, quality in request.accept_mimetypes:
        kind = name.partition(";")[0].strip().lower()
        if kind in wanted:
            wanted[kind] = max(wanted[kind], quality)
    return wanted["text/plain"] > wanted["application/openmetrics-text"]
