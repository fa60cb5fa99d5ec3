"""Credentials by name: what hosts may be reached with.

Files (keys, known hosts, certificate directories) stay where they are and are referred to by
path; a SASL password is copied into a file of its own (0600) under the data directory. No secret
is ever in the database.
"""

import os
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app import clock
from app.connection import (
    Connection,
    CredentialKind,
    Endpoint,
    check_absolute_path,
    check_credential_name,
)
from app.errors import Conflict, InvalidField, NotFound
from app.store import schema
from app.store.demonstration import is_demonstration
from app.store.engine import Store

_USES: tuple[tuple[CredentialKind, str], ...] = (
    ("ssh-key", "key"),
    ("known-hosts", "known_hosts"),
    ("pki", "pki"),
    ("sasl", "sasl"),
)
FIELD_OF_KIND = dict(_USES)


class Credential(Struct, frozen=True):
    """A credential; `path` is its file or directory, `username` that of SASL."""

    name: str
    kind: CredentialKind
    path: str
    username: str | None


class GivenFiles(Struct, frozen=True):
    """Credentials that the command line names by file along with a host; they become
    credentials named after the host.
    """

    files: tuple[tuple[CredentialKind, str], ...] = ()
    sasl_user: str | None = None
    sasl_password: str | None = None


def list_credentials(store: Store) -> list[Credential]:
    """All credentials by name."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(schema.credential).order_by("name")).all()
    return [_credential(row) for row in rows]


def add_credential(
    store: Store,
    data: Path,
    name: str,
    kind: CredentialKind,
    *,
    path: Path | None = None,
    username: str | None = None,
    password: str | None = None,
) -> Credential:
    """Register a credential. Raises InvalidField for what does not belong to its kind or cannot
    be read, Conflict when the name is taken.
    """
    check_credential_name(name, "NAME")
    with store.writing() as connection:
        if _row(connection, name) is not None:
            raise Conflict(f"There is a credential {name} already.")
        return write_credential(connection, data, name, kind, path, username, password)


def remove_credential(store: Store, data: Path, name: str) -> None:
    """Forget a credential; raises Conflict while a host uses it, NotFound without one."""
    with store.writing() as connection:
        row = _row(connection, name)
        if row is None:
            raise NotFound(f"There is no credential {name}.")
        users = _users(connection, name, FIELD_OF_KIND[row.kind])
        if users:
            raise Conflict(f"{name} is in use by {', '.join(users)}.")
        connection.execute(sa.delete(schema.credential).where(schema.credential.c.name == name))
    if row.kind == "sasl":
        Path(row.path).unlink(missing_ok=True)


def resolve(store: Store, data: Path, connection: Connection) -> Endpoint:
    """`connection` with its credentials as files; npvirt's own key and known hosts stand in
    where none is named. Raises NotFound when a named credential is not there, and always in a
    demonstration, whose hosts there are not.
    """
    if is_demonstration(data):
        raise NotFound(
            "This is a demonstration: its hosts are made up, and npvirt connects to none."
        )
    found: dict[str, Credential] = {}
    with store.reading() as reading:
        for kind, field in _USES:
            name = getattr(connection, field)
            if name is not None:
                found[kind] = _needed(reading, name, kind)
    own = data / "ssh"
    ssh = connection.transport == "ssh"
    key, known, pki, sasl = (found.get(kind) for kind, _ in _USES)
    return Endpoint(
        connection=connection,
        key_file=key.path if key else str(own / "id_ed25519") if ssh else None,
        known_hosts_file=known.path if known else str(own / "known_hosts") if ssh else None,
        pki_directory=pki.path if pki else None,
        sasl_user=sasl.username if sasl else None,
        sasl_password_file=sasl.path if sasl else None,
    )


def check_named(connection: sa.Connection, fields: Connection) -> None:
    """Refuse fields that name a credential that is not there or of another kind."""
    for kind, field in _USES:
        name = getattr(fields, field)
        if name is not None:
            row = _row(connection, name)
            if row is None or row.kind != kind:
                raise InvalidField(field, f"There is no credential {name} of this kind.")


def write_credential(
    connection: sa.Connection,
    data: Path,
    name: str,
    kind: CredentialKind,
    path: Path | None,
    username: str | None,
    password: str | None,
) -> Credential:
    """Check and write a credential within a transaction, replacing one of the same name."""
    field = FIELD_OF_KIND[kind].replace("_", "-")
    if kind == "sasl":
        if not username or password is None or path is not None:
            raise InvalidField("--sasl-user", "SASL needs a user and a password file.")
        if any(ord(c) < 32 for c in username) or len(username) > 255:
            raise InvalidField("--sasl-user", "A SASL user is a plain text of one line.")
        kept = _write_secret(data, name, password)
    else:
        if path is None or username is not None or password is not None:
            raise InvalidField(f"--{field}", "Name the file or directory, and nothing else.")
        kept = _readable(path, field, directory=kind == "pki")
    _put(connection, name, kind, kept, username)
    return Credential(name, kind, kept, username)


def _put(connection: sa.Connection, name: str, kind: str, path: str, username: str | None) -> None:
    table = schema.credential
    connection.execute(sa.delete(table).where(table.c.name == name))
    connection.execute(
        sa.insert(table).values(
            name=name, kind=kind, path=path, username=username, created_at_ms=clock.now_ms()
        )
    )


def _write_secret(data: Path, name: str, secret: str) -> str:
    directory = data / "secrets"
    directory.mkdir(mode=0o700, exist_ok=True)
    target = directory / f"{name}.sasl"
    building = directory / f".{name}.{os.getpid()}"
    building.unlink(missing_ok=True)
    descriptor = os.open(building, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secret)
    building.rename(target)
    return str(target)


def _readable(path: Path, field: str, *, directory: bool) -> str:
    checked = Path(check_absolute_path(str(path), f"--{field}"))
    if not (checked.is_dir() if directory else checked.is_file()):
        what = "directory" if directory else "file"
        raise InvalidField(f"--{field}", f"There is no {what} {checked}.")
    if not os.access(checked, os.R_OK):
        raise InvalidField(f"--{field}", f"npvirt may not read {checked}.")
    return str(checked)


def _needed(connection: sa.Connection, name: str, kind: str) -> Credential:
    row = _row(connection, name)
    if row is None or row.kind != kind:
        raise NotFound(f"The credential {name} of this host is no longer there.")
    return _credential(row)


def _row(connection: sa.Connection, name: str) -> Any:
    table = schema.credential
    return connection.execute(sa.select(table).where(table.c.name == name)).one_or_none()


def _users(connection: sa.Connection, name: str, field: str) -> list[str]:
    table = schema.host
    query = sa.select(table.c.slug).where(table.c[field] == name, table.c.removed_at_ms.is_(None))
    return list(connection.scalars(query))


def _credential(row: Any) -> Credential:
    return Credential(row.name, row.kind, row.path, row.username)
