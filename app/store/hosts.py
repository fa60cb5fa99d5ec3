"""The registry of hosts: who is looked at, and how each is reached.

A removed host leaves the registry and the present; its history stays and is shown in the past.
"""

from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import asdict, replace

from app import clock
from app.connection import Connection, check_connection, check_slug
from app.errors import Conflict, NotFound
from app.store import schema
from app.store.credentials import FIELD_OF_KIND, GivenFiles, check_named, write_credential
from app.store.engine import Store

_FIELDS = (
    "driver", "transport", "path", "host", "port", "user", "socket", "key", "known_hosts", "pki",
    "sasl",
)  # fmt: skip


class HostRecord(Struct, frozen=True):
    """One host of the registry. `host_uuid` is libvirt's, known after the first scan."""

    id: int
    slug: str
    connection: Connection
    enabled: bool
    host_uuid: str | None
    created_at_ms: int
    removed_at_ms: int | None = None


def list_hosts(store: Store) -> list[HostRecord]:
    """The hosts of the present, by name."""
    table = schema.host
    query = sa.select(table).where(table.c.removed_at_ms.is_(None)).order_by(table.c.slug)
    with store.reading() as connection:
        return [host_record(row) for row in connection.execute(query)]


def every_host_id(connection: sa.Connection) -> list[int]:
    """The ids of all hosts that there ever were."""
    return list(connection.execute(sa.select(schema.host.c.id)).scalars())


def get_host(store: Store, slug: str) -> HostRecord:
    """The host of that name; raises NotFound."""
    with store.reading() as connection:
        return _needed(connection, slug)


def host_ids_named(store: Store, slug: str, *, now_only: bool = False) -> frozenset[int]:
    """The ids of the hosts that have or had this name; a removed one is in the past. `now_only`:
    of the one that has it.
    """
    table = schema.host
    query = sa.select(table.c.id).where(table.c.slug == slug)
    if now_only:
        query = query.where(table.c.removed_at_ms.is_(None))
    with store.reading() as connection:
        return frozenset(connection.scalars(query))


def add_host(
    store: Store,
    slug: str,
    fields: Connection,
    data: Path | None = None,
    given: GivenFiles | None = None,
) -> HostRecord:
    """Add a host, with the credentials given as files along with it (they need `data`).

    Raises InvalidField for bad fields, Conflict when the name is taken; nothing is changed then.
    """
    check_slug(slug)
    with store.writing() as connection:
        _refuse_taken(connection, slug)
        checked = _checked(connection, slug, fields, data, given)
        values = row_values(checked) | {
            "slug": slug,
            "enabled": 1,
            "created_at_ms": clock.now_ms(),
        }
        connection.execute(sa.insert(schema.host).values(values))
        return _needed(connection, slug)


def edit_host(
    store: Store,
    slug: str,
    fields: Connection,
    data: Path | None = None,
    given: GivenFiles | None = None,
) -> HostRecord:
    """Change how a host is reached; errors as in `add_host`, and NotFound."""
    with store.writing() as connection:
        record = _needed(connection, slug)
        checked = _checked(connection, slug, fields, data, given)
        _update(connection, record.id, row_values(checked))
        return _needed(connection, slug)


def rename_host(store: Store, slug: str, new_slug: str) -> HostRecord:
    """Give a host another name; raises InvalidField, NotFound, Conflict."""
    check_slug(new_slug)
    with store.writing() as connection:
        record = _needed(connection, slug)
        if new_slug != slug:
            _refuse_taken(connection, new_slug)
            _update(connection, record.id, {"slug": new_slug})
        return _needed(connection, new_slug)


def set_enabled(store: Store, slug: str, enabled: bool) -> None:
    """Have a host scanned, or not; raises NotFound."""
    with store.writing() as connection:
        _update(connection, _needed(connection, slug).id, {"enabled": int(enabled)})


def remove_host(store: Store, slug: str) -> None:
    """Take a host out of the registry; its history stays. Raises NotFound."""
    with store.writing() as connection:
        _update(connection, _needed(connection, slug).id, {"removed_at_ms": clock.now_ms()})


def accept_new_uuid(store: Store, slug: str) -> None:
    """Forget the libvirt UUID of a host that was reinstalled; the next scan claims the new one."""
    with store.writing() as connection:
        _update(connection, _needed(connection, slug).id, {"host_uuid": None})


def claim_uuid(store: Store, host_id: int, uuid: str) -> None:
    """Note the libvirt UUID of a host.

    Raises Conflict when another host of the registry has it (it would be counted twice), or when
    this one had another (it is not the machine it was; a person must confirm).
    """
    table = schema.host
    with store.writing() as connection:
        row = connection.execute(sa.select(table).where(table.c.id == host_id)).one()
        if row.host_uuid == uuid:
            return
        if row.host_uuid is not None:
            raise Conflict(
                f"This is not the host that {row.slug} was: its libvirt UUID changed. If it was "
                f"reinstalled, confirm with: npvirt host edit {row.slug} --confirm-uuid"
            )
        twin = connection.execute(
            sa.select(table.c.slug).where(
                table.c.host_uuid == uuid,
                table.c.id != host_id,
                table.c.removed_at_ms.is_(None),
            )
        ).scalar()
        if twin is not None:
            raise Conflict(f"This is the same libvirt host as {twin}; remove one of the two.")
        _update(connection, host_id, {"host_uuid": uuid})


def host_record(row: Any) -> HostRecord:
    """A row of the host table as a value."""
    mapping = row._mapping
    connection = Connection(
        **{name: mapping[name] for name in _FIELDS},
        read_only=bool(row.read_only),
        allowed_roots=msgspec.json.decode(row.allowed_roots, type=tuple[str, ...]),
    )
    return HostRecord(
        id=row.id,
        slug=row.slug,
        connection=connection,
        enabled=bool(row.enabled),
        host_uuid=row.host_uuid,
        created_at_ms=row.created_at_ms,
        removed_at_ms=row.removed_at_ms,
    )


def _checked(
    connection: sa.Connection,
    slug: str,
    fields: Connection,
    data: Path | None,
    given: GivenFiles | None,
) -> Connection:
    if given is not None and data is not None:
        fields = _keep(connection, data, slug, fields, given)
    checked = check_connection(fields)
    check_named(connection, checked)
    return checked


def _keep(
    connection: sa.Connection, data: Path, slug: str, fields: Connection, given: GivenFiles
) -> Connection:
    """Make credentials named after the host of the given files, and have `fields` name them."""
    named: dict[str, Any] = {}
    for kind, path in given.files:
        name = f"{slug}.{kind}"
        named[FIELD_OF_KIND[kind]] = name
        write_credential(connection, data, name, kind, Path(path), None, None)
    if given.sasl_user is not None or given.sasl_password is not None:
        named["sasl"] = f"{slug}.sasl"
        # The fields are checked before the secret is written, so that a refusal leaves no file.
        check_connection(replace(fields, **named))
        write_credential(
            connection, data, named["sasl"], "sasl", None, given.sasl_user, given.sasl_password
        )
    return replace(fields, **named)


def row_values(fields: Connection) -> dict[str, Any]:
    """The columns of a host's row that say how it is reached."""
    values = {name: value for name, value in asdict(fields).items() if name in _FIELDS}
    values["read_only"] = int(fields.read_only)
    values["allowed_roots"] = msgspec.json.encode(fields.allowed_roots).decode()
    return values


def _update(connection: sa.Connection, host_id: int, values: dict[str, Any]) -> None:
    table = schema.host
    connection.execute(sa.update(table).where(table.c.id == host_id).values(values))


def _needed(connection: sa.Connection, slug: str) -> HostRecord:
    table = schema.host
    query = sa.select(table).where(table.c.slug == slug, table.c.removed_at_ms.is_(None))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no host {slug[:40]}.")
    return host_record(row)


def _refuse_taken(connection: sa.Connection, slug: str) -> None:
    table = schema.host
    query = sa.select(table.c.id).where(table.c.slug == slug, table.c.removed_at_ms.is_(None))
    if connection.execute(query).first() is not None:
        raise Conflict(f"There is a host {slug} already.")
