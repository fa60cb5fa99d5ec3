"""The registry of hosts as JSON: which are watched, how each is reached, and the test of that way.

For admins of all hosts. A connection is checked as the form checks it: typed fields, credentials by
name, never a URI. Only a test and trusting a key wait for a host, and they are POSTs.
"""

from typing import Any

from flask import Response
from msgspec.structs import asdict

from app.connection import Connection
from app.errors import Conflict, InvalidField
from app.services import services
from app.store.credentials import Credential, list_credentials
from app.store.hosts import HostRecord, get_host
from app.web import host_changes
from app.web.api import blueprint
from app.web.api.declared import row_query
from app.web.api.rows import Row, RowFact, answer_rows, columns_of
from app.web.auditing import audit
from app.web.connection_form import read_form, with_known
from app.web.json_body import json_answer, read_json
from app.web.listing import Kind, by_name
from app.web.operations import operation
from app.web.permission import needs
from app.web.shapes import registry as shapes

_MOST_KEYS = 8
_CREDENTIALS: Kind[Row] = Kind(
    texts=lambda row: (row.of.name, row.of.kind, row.of.username),
    sorts={"name": by_name, "kind": lambda row: row.of.kind},
)


@blueprint.post("/api/v1/hosts")
@needs("admin", everywhere=True)
@operation("registry", shapes.WatchedHost, body=shapes.HostWanted, status=201)
def add_a_host() -> Response:
    """Have a new host watched. Its first scan begins at once; test the connection first to know
    whether it will go well.
    """
    given = read_json(shapes.HostWanted)
    connection = _checked(given.name, given.connection, None)
    return json_answer(_item(host_changes.add(given.name, connection)), 201)


@blueprint.patch("/api/v1/hosts/<slug>")
@needs("admin", everywhere=True)
@operation("registry", shapes.WatchedHost, body=shapes.HostChange)
def change_host(slug: str) -> Response:
    """Give a host another name, scan it or not, or let npvirt only look at it."""
    given = read_json(shapes.HostChange)
    if sum(one is not None for one in (given.name, given.enabled, given.read_only)) != 1:
        raise InvalidField("body", "Give one of name, enabled and read_only.")
    if given.name is not None:
        slug = host_changes.rename(slug, given.name).slug
    elif given.enabled is not None:
        host_changes.enable(slug, given.enabled)
    elif given.read_only is not None:
        host_changes.let_act(slug, given.read_only)
    return json_answer(_item(get_host(services().store, slug)))


@blueprint.delete("/api/v1/hosts/<slug>")
@needs("admin", everywhere=True)
@operation("registry", None, status=204)
def remove_a_host(slug: str) -> Response:
    """Watch a host no more. Nothing happens on the host, and its history stays."""
    host_changes.remove(slug)
    return Response(status=204)


@blueprint.get("/api/v1/hosts/<slug>/connection")
@needs("admin", everywhere=True)
@operation("registry", shapes.WatchedHost)
def connection(slug: str) -> Response:
    """How npvirt reaches a host."""
    return json_answer(_item(get_host(services().store, slug)))


@blueprint.put("/api/v1/hosts/<slug>/connection")
@needs("admin", everywhere=True)
@operation("registry", shapes.WatchedHost, body=shapes.ReachedWanted)
def change_connection(slug: str) -> Response:
    """Reach a host by another way."""
    record = get_host(services().store, slug)
    given = read_json(shapes.ReachedWanted)
    if record.connection.transport == "embedded":
        raise Conflict(f"{slug} is libvirt's embedded demo host; there is no way to it to change.")
    return json_answer(_item(host_changes.edit(slug, _checked(slug, given, record.connection))))


@blueprint.post("/api/v1/hosts/<slug>/test")
@needs("admin", everywhere=True)
@operation("registry", shapes.ConnectionTested)
def test_host(slug: str) -> Response:
    """Walk the way to a host step by step, and say what fails, why, and what to do. Takes up to
    some twenty seconds.
    """
    return json_answer(_tested(get_host(services().store, slug).connection))


@blueprint.post("/api/v1/connection-tests")
@needs("admin", everywhere=True)
@operation("registry", shapes.ConnectionTested, body=shapes.ReachedWanted)
def test_connection() -> Response:
    """The same for a host that is not watched yet."""
    return json_answer(_tested(_checked("new", read_json(shapes.ReachedWanted), None)))


@blueprint.post("/api/v1/hosts/<slug>/trust")
@needs("admin", everywhere=True)
@operation("registry", None, body=shapes.TrustWanted, status=204, refusals=(502,))
def trust(slug: str) -> Response:
    """Remember the SSH keys of a host, by the fingerprints that were compared."""
    record, given = get_host(services().store, slug), read_json(shapes.TrustWanted)
    if record.connection.transport != "ssh":
        raise Conflict(f"{slug} is not reached by SSH; it has no host key.")
    fingerprints = given.fingerprints[:_MOST_KEYS]
    services().collector.trust(record.connection, fingerprints)
    known = {"address": record.connection.host, "fingerprints": fingerprints}
    audit("host-trust", "host", slug, host=slug, parameters=known)
    return Response(status=204)


@blueprint.get("/api/v1/credentials")
@needs("admin", everywhere=True)
@operation("registry", shapes.Credentials, *row_query(_CREDENTIALS), csv=True)
def credentials() -> Response:
    """The credentials that a connection may name, without what is secret of them."""
    rows = [Row(one, one.name, RowFact(one.name)) for one in list_credentials(services().store)]
    columns = columns_of(shapes.CredentialTold)
    return answer_rows(rows, _CREDENTIALS, _credential, "credentials", columns)


def _credential(one: Credential) -> shapes.CredentialTold:
    return {"name": one.name, "kind": one.kind, "username": one.username}


def _checked(name: str, given: shapes.ReachedWanted, base: Connection | None) -> Connection:
    """The connection that is wanted; raises InvalidField."""
    values = {field: _text(value) for field, value in asdict(given).items()}
    form = read_form({**values, "name": name}, services().settings.socket_dirs, base)
    form = with_known(form, list_credentials(services().store))
    for field, sentence in form.errors.items():
        raise InvalidField(field, sentence)
    assert form.connection is not None
    return form.connection


def _text(value: Any) -> str:
    """A value as the form would have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _tested(wanted: Connection) -> shapes.ConnectionTested:
    found = services().collector.test_connection(wanted)
    return {
        "ok": found.ok,
        "sentence": found.sentence,
        "took_ms": found.took_ms,
        "steps": [
            {"name": step.name, "ok": step.ok, "took_ms": step.took_ms, "message": step.message,
             "next": step.next}
            for step in found.steps
        ],
        "host_keys": [
            {"type": key.type, "fingerprint": key.fingerprint} for key in found.host_keys
        ],
    }  # fmt: skip


def _item(record: HostRecord) -> shapes.WatchedHost:
    told = record.connection
    return {
        "host": record.slug,
        "enabled": record.enabled,
        "url": f"/hosts/{record.slug}",
        "connection": {
            "driver": told.driver,
            "transport": told.transport,
            "path": told.path,
            "host": told.host,
            "port": told.port,
            "user": told.user,
            "socket": told.socket,
            "key": told.key,
            "known_hosts": told.known_hosts,
            "pki": told.pki,
            "sasl": told.sasl,
            "read_only": told.read_only,
            "allowed_roots": told.allowed_roots,
        },
    }
