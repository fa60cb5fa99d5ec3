"""The connection form: from typed fields to a Connection, with every error at its field.

Pure but for the names of credentials, which it is handed. What belongs to another transport than
the chosen one stays in the form and is ignored. Nobody can give a URI, and a browser may name a
socket only where libvirt or the settings keep some.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from app.connection import (
    PATHS,
    TRANSPORTS,
    Connection,
    Transport,
    check_connection,
    check_credential_name,
    check_host,
    check_port,
    check_slug,
    check_socket_from_browser,
    check_user,
)
from app.errors import InvalidField
from app.store.credentials import Credential

FIELDS = (
    "name", "transport", "path", "host", "port", "user", "socket", "key", "known_hosts", "pki",
    "sasl", "read_only",
)  # fmt: skip
_OF_TRANSPORT: Mapping[str, tuple[str, ...]] = {
    "unix": ("socket",),
    "ssh": ("host", "port", "user", "socket", "key", "known_hosts"),
    "tls": ("host", "port", "pki", "sasl"),
    "tcp": ("host", "port", "sasl"),
}
_KIND_OF = {"key": "ssh-key", "known_hosts": "known-hosts", "pki": "pki", "sasl": "sasl"}


@dataclass
class Form:
    """The form as it was filled in: `values` by field, `errors` a sentence by field."""

    values: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)
    name: str = ""
    connection: Connection | None = None

    @property
    def digest(self) -> str:
        """What tells whether a test was made with these very fields."""
        if self.connection is None:
            return ""
        encoded = msgspec.json.encode(self.connection)
        return hashlib.blake2b(encoded, digest_size=8).hexdigest()


def empty_form(transport: str) -> Form:
    """A new form with a transport chosen."""
    values = dict.fromkeys(FIELDS, "")
    values |= {"transport": transport, "path": "system", "read_only": "no"}
    return Form(values)


def form_of(name: str, connection: Connection) -> Form:
    """The form that would make `connection`."""
    known = {field: getattr(connection, field, None) for field in FIELDS}
    values = {field: "" if value is None else str(value) for field, value in known.items()}
    values |= {"name": name, "read_only": "yes" if connection.read_only else "no"}
    return Form(values, {}, name, connection)


def read_form(
    given: Mapping[str, str], socket_dirs: tuple[str, ...], base: Connection | None = None
) -> Form:
    """The form with its fields checked; `connection` is None where there are errors. What the
    form does not ask for is kept from `base`.
    """
    values = {name: given.get(name, "").strip() for name in FIELDS}
    form = Form(values)
    form.name = _try(form, lambda: _name(values["name"])) or ""
    fields = _fields(form, socket_dirs)
    if form.errors:
        return form
    try:
        made = replace(base or Connection(), driver="qemu", **fields)
        form.connection = check_connection(made)
    except InvalidField as error:
        form.errors[error.field] = error.sentence
    return form


def _name(text: str) -> str:
    if text == "add":
        # /hosts/add is the address of the form itself.
        raise InvalidField("name", "A host cannot be called “add”; choose another name.")
    return check_slug(text)


def _fields(form: Form, socket_dirs: tuple[str, ...]) -> dict[str, Any]:
    values = form.values
    readers: Mapping[str, Callable[[str], object]] = {
        "host": check_host,
        "port": check_port,
        "user": check_user,
        "socket": lambda text: check_socket_from_browser(text, socket_dirs) if text else None,
    }
    transport = _one_of(form, "transport", TRANSPORTS, "Choose how npvirt reaches the host.")
    wanted = _OF_TRANSPORT.get(transport, ())
    fields: dict[str, Any] = {
        "transport": cast(Transport, transport),
        "path": _one_of(form, "path", PATHS, "The path is system or session."),
        "read_only": _one_of(form, "read_only", ("yes", "no"), "Choose one of the two.") == "yes",
    }
    for name in (*readers, *_KIND_OF):
        read = readers.get(name) or partial(_credential, field_name=name)
        fields[name] = _try(form, partial(read, values[name])) if name in wanted else None
    return fields


def _credential(text: str, field_name: str) -> str | None:
    return check_credential_name(text, field_name) if text else None


def _one_of(form: Form, name: str, allowed: Sequence[str], sentence: str) -> str:
    value = form.values[name]
    if value not in allowed:
        form.errors[name] = sentence
    return value


def _try(form: Form, read: Callable[[], Any]) -> Any:
    """What `read` returns, or None with its error put at the field."""
    try:
        return read()
    except InvalidField as error:
        form.errors[error.field] = error.sentence
        return None


def choices(credentials: Sequence[Credential]) -> dict[str, list[str]]:
    """The names of the credentials that each field may take."""
    return {
        name: [found.name for found in credentials if found.kind == kind]
        for name, kind in _KIND_OF.items()
    }


def with_known(form: Form, credentials: Sequence[Credential]) -> Form:
    """The form, without a connection where it names a credential that there is not."""
    for name, names in choices(credentials).items():
        named = getattr(form.connection, name) if form.connection else None
        if named is not None and named not in names:
            form.errors[name] = "There is no such credential (any more); choose another."
    if form.errors:
        form.connection = None
    return form
