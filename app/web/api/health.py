"""Whether this process is alive and schedules scans, and whether it can read the store."""

import msgspec
from flask import Response

from app.services import services
from app.web.api import blueprint
from app.web.permission import open_to_all


@blueprint.get("/healthz")
@open_to_all
def healthz() -> Response:
    """200 while the process lives and its scheduler ticks, else 503."""
    health = services().collector.health()
    return _said(msgspec.json.encode(health), ok=health.ok)


@blueprint.get("/readyz")
@open_to_all
def readyz() -> Response:
    """200 when pages can be drawn; the store's own error (503) when not."""
    services().store.revision()
    return _said(msgspec.json.encode({"ok": True}), ok=True)


def _said(body: bytes, *, ok: bool) -> Response:
    response = Response(body, 200 if ok else 503, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
