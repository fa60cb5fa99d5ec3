"""The list of hosts, one host, and what its buttons ask for: scan, enable, disable, read-only,
remove. What is asked of libvirt is only asked: the collector does it, and no handler waits.
"""

from flask import Blueprint, Response, flash, redirect, render_template, request

from app.errors import InvalidField
from app.services import services
from app.store.hosts import get_host
from app.web import host_changes
from app.web.charts import PARAMETERS
from app.web.comparing import objects
from app.web.host_page import build_host, find_host
from app.web.host_rows import host_rows
from app.web.list_page import placed
from app.web.page import Drawing, View, draw
from app.web.permission import needs
from app.web.since import list_since, object_since
from app.web.spark_rows import Sparks

blueprint = Blueprint("hosts", __name__)

HOSTS = View("hosts/list.html", "hosts")
HOST = View("hosts/one.html", "hosts", PARAMETERS | {"use"})


@blueprint.get("/hosts")
@blueprint.get("/ui/hosts")
@blueprint.get("/ui/since/hosts")
@needs("viewer")
def hosts() -> Response:
    """The list of hosts, or its part."""
    return draw(HOSTS, build_list, SINCE)


@blueprint.get("/hosts/<slug>")
@blueprint.get("/ui/hosts/<slug>")
@blueprint.get("/ui/since/hosts/<slug>")
@needs("viewer")
def host(slug: str) -> Response:
    """One host, or its part."""
    since = object_since("host", lambda drawing: find_host(drawing.fleet, slug).seen)
    answer = draw(HOST, lambda drawing: build_host(drawing, slug), since)
    return placed(answer, f"/hosts/{slug}")


SINCE = list_since("host", lambda drawing: objects(drawing.fleet, "host"))


def build_list(drawing: Drawing) -> dict[str, object]:
    """The context of hosts/list.html."""
    fleet = drawing.fleet
    rows = host_rows(fleet, drawing.zone, fleet.as_of_ms, Sparks(fleet).host)
    return {
        "title": "Hosts",
        "rows": rows,
        "has_hosts": bool(rows),
        "has_since": True,
        "answering": sum(row.known for row in rows),
    }


@blueprint.post("/hosts/<slug>/scan")
@needs("operator")
def scan(slug: str) -> Response:
    """Ask for a scan of this host; the page brings what it saw."""
    record = get_host(services().store, slug)
    if not record.enabled:
        return _done(slug, f"{slug} is disabled, so it is not scanned. Enable it first.", ok=False)
    if services().collector.scan_now(slug):
        return _done(slug, f"Asked for a scan of {slug}.", "scan-asked")
    return _done(
        slug, "No npvirt process is collecting at the moment; nothing was asked.", ok=False
    )


@blueprint.post("/hosts/<slug>/enable")
@needs("admin", everywhere=True)
def enable(slug: str) -> Response:
    """Scan this host again."""
    host_changes.enable(slug, True)
    return _done(slug, f"{slug} is enabled; its first scan begins now.", "scan-asked")


@blueprint.post("/hosts/<slug>/disable")
@needs("admin", everywhere=True)
def disable(slug: str) -> Response:
    """Stop scanning this host; what was seen stays."""
    host_changes.enable(slug, False)
    return _done(slug, f"{slug} is disabled. Its history stays.", "scan-asked")


@blueprint.post("/hosts/<slug>/read-only")
@needs("admin", everywhere=True)
def read_only(slug: str) -> Response:
    """Let npvirt act on this host (`read_only=no`), or only look (`read_only=yes`)."""
    wanted = request.form.get("read_only", "")
    if wanted not in ("yes", "no"):
        raise InvalidField("read_only", "Read only is yes or no.")
    host_changes.let_act(slug, wanted == "yes")
    text = "npvirt only looks at" if wanted == "yes" else "npvirt may look at and act on"
    return _done(slug, f"{text} {slug}.", "scan-asked")


@blueprint.post("/hosts/<slug>/remove")
@needs("admin", everywhere=True)
def remove(slug: str) -> Response:
    """Take this host out of npvirt; nothing happens on the host, and the history stays."""
    host_changes.remove(slug)
    flash(f"{slug} is no longer watched. Nothing was changed on the host; its history stays.")
    return _go("/hosts")


def _done(slug: str, text: str, event: str = "", *, ok: bool = True) -> Response:
    """Say what was done: in the corner for htmx, else on the host's page."""
    if request.headers.get("HX-Request") != "true":
        flash(text, "message" if ok else "error")
        return _go(f"/hosts/{slug}")
    html = render_template("hosts/said.html", text=text, ok=ok)
    response = Response(html, 200 if ok else 409, mimetype="text/html")
    if event:
        response.headers["HX-Trigger"] = event
    return response


def _go(address: str) -> Response:
    """Send the browser to `address`: 303 for a form, HX-Redirect for htmx."""
    if request.headers.get("HX-Request") == "true":
        return Response(status=204, headers={"HX-Redirect": address})
    return redirect(address, 303)  # type: ignore[return-value]  # werkzeug's own Response class
