"""Adding a host and changing how it is reached, with the connection test.

One form does it all; its buttons differ by `do`. Testing, trusting a key and showing npvirt's own
key may wait for the host, so they are POSTs; no GET does. Credentials are named, never given.
"""

from dataclasses import dataclass

from flask import Blueprint, Response, flash, redirect, render_template, request
from flask_wtf.csrf import generate_csrf

from app.collect.connecting import Diagnosis, display_uri
from app.connection import TRANSPORTS, Connection
from app.errors import Conflict, InvalidField, VirtError
from app.services import services
from app.store.credentials import list_credentials
from app.store.hosts import get_host
from app.web import host_changes
from app.web.auditing import audit
from app.web.connection_form import Form, choices, empty_form, form_of, read_form, with_known
from app.web.connection_result import ConnectionResult, result_of
from app.web.moment import LIVE
from app.web.page import framed
from app.web.permission import needs

blueprint = Blueprint("host_forms", __name__)


@dataclass
class Sheet:
    """The form with what stands around it: the host it is for ("" for a new one), the result of
    a test, npvirt's own key if it was asked for, and what keeps it from being saved.
    """

    slug: str
    form: Form
    result: ConnectionResult | None = None
    own_key: str = ""
    tested: str = ""
    trouble: str = ""
    embedded: bool = False


@blueprint.get("/hosts/add")
@needs("admin", everywhere=True)
def add() -> Response:
    """An empty form; `?transport=` chooses one."""
    transport = request.args.get("transport", "ssh")
    if transport not in TRANSPORTS:
        raise InvalidField("transport", "The transport is unix, ssh, tls or tcp.")
    return _show(Sheet("", empty_form(transport)))


@blueprint.post("/hosts/add")
@needs("admin", everywhere=True)
def added() -> Response:
    """Test the fields, or add the host that they describe."""
    return _handle(Sheet("", _read(None)), None)


@blueprint.get("/hosts/<slug>/edit")
@needs("admin", everywhere=True)
def edit(slug: str) -> Response:
    """The form filled with how the host is reached."""
    record = get_host(services().store, slug)
    embedded = record.connection.transport == "embedded"
    return _show(Sheet(slug, form_of(slug, record.connection), embedded=embedded))


@blueprint.post("/hosts/<slug>/edit")
@needs("admin", everywhere=True)
def edited(slug: str) -> Response:
    """Test the fields, or save them."""
    record = get_host(services().store, slug)
    if record.connection.transport == "embedded":
        return _rename_only(slug, record.connection)
    return _handle(Sheet(slug, _read(record.connection)), record.connection)


@blueprint.post("/ui/hosts/uri")
@needs("admin", everywhere=True)
def uri() -> Response:
    """The libvirt URI that the fields make, to be shown while they are typed."""
    html = render_template("hosts/uri.html", uri=_uri(_read(None)), moment=LIVE)
    return Response(html, mimetype="text/html")


def _read(base: Connection | None) -> Form:
    form = read_form(request.form, services().settings.socket_dirs, base)
    return with_known(form, list_credentials(services().store))


def _handle(sheet: Sheet, base: Connection | None) -> Response:
    wanted = request.form.get("do", "")
    sheet.tested = request.form.get("tested", "")[:32]
    if wanted == "key":
        # Shown whatever else the form says: a new host needs it before it can be tested.
        sheet.own_key = services().collector.own_public_key()
        sheet.form.errors.clear()
        return _show(sheet)
    if sheet.form.connection is None:
        return _show(sheet, 422)
    if wanted in ("test", "trust"):
        return _test(sheet, sheet.form.connection, trust=wanted == "trust")
    if wanted == "save" and sheet.tested != sheet.form.digest:
        sheet.trouble = (
            "Not tested with these fields yet. Test the connection first, or go on without."
        )
        return _show(sheet, 422)
    if wanted in ("save", "force"):
        return _save(sheet, sheet.form.connection)
    raise InvalidField("do", "The form can be tested, saved or saved without a test.")


def _test(sheet: Sheet, connection: Connection, *, trust: bool) -> Response:
    collector = services().collector
    if trust:
        try:
            fingerprints = request.form.getlist("fingerprint")[:8]
            collector.trust(connection, fingerprints)
            known = {"address": connection.host, "fingerprints": fingerprints}
            audit("host-trust", "host", sheet.slug, host=sheet.slug, parameters=known)
        except (Conflict, VirtError) as error:
            sheet.trouble = str(error)
    diagnosis: Diagnosis = collector.test_connection(connection)
    sheet.result = result_of(diagnosis, connection)
    sheet.tested = sheet.form.digest if diagnosis.ok else ""
    if sheet.result.problem == "key-refused" and connection.key is None:
        sheet.own_key = collector.own_public_key()
    return _show(sheet)


def _save(sheet: Sheet, connection: Connection) -> Response:
    name = sheet.form.name
    try:
        if not sheet.slug:
            host_changes.add(name, connection)
        else:
            host_changes.rename(sheet.slug, name)
            host_changes.edit(name, connection)
    except InvalidField as error:
        sheet.form.errors[error.field] = error.sentence
        return _show(sheet, 422)
    except Conflict as error:
        sheet.form.errors["name"] = str(error)
        return _show(sheet, 422)
    flash(f"{name} is {'saved' if sheet.slug else 'added'}; its scan begins now.")
    return _go(f"/hosts/{name}")


def _rename_only(slug: str, connection: Connection) -> Response:
    name = request.form.get("name", "").strip()
    sheet = Sheet(slug, form_of(name, connection), embedded=True)
    try:
        slug = host_changes.rename(slug, sheet.form.values["name"]).slug
    except InvalidField as error:
        sheet.form.errors["name"] = error.sentence
        return _show(sheet, 422)
    except Conflict as error:
        sheet.form.errors["name"] = str(error)
        return _show(sheet, 422)
    return _go(f"/hosts/{slug}")


def _show(sheet: Sheet, status: int = 200) -> Response:
    form = sheet.form
    html = render_template(
        "hosts/connect.html",
        sheet=sheet,
        form=form,
        values=form.values,
        errors=form.errors,
        choices=choices(list_credentials(services().store)),
        uri=_uri(form),
        address=f"/hosts/{sheet.slug}/edit" if sheet.slug else "/hosts/add",
        embedded=sheet.embedded,
        csrf=generate_csrf(),
        moment=LIVE,
    )
    if request.headers.get("HX-Request") == "true":
        return Response(html, status, mimetype="text/html")
    title = f"Edit {sheet.slug}" if sheet.slug else "Add a host"
    return framed(html, "hosts", title, status=status)


def _uri(form: Form) -> str:
    return display_uri(form.connection) if form.connection else ""


def _go(address: str) -> Response:
    if request.headers.get("HX-Request") == "true":
        return Response(status=204, headers={"HX-Redirect": address})
    return redirect(address, 303)  # type: ignore[return-value]  # werkzeug's own Response class
