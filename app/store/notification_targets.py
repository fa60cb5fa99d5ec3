"""Where notifications go, and what is secret of it: of a webhook its address and signing key.

Both stand in a file of the target's own (0600) under the data directory, never in the store and
never in a backup unless it is asked for. Raises Conflict for a name that is taken, NotFound.
"""

import base64
import secrets
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app import clock
from app.errors import Conflict, NotFound
from app.new_file import new_file
from app.notification.values import Target, TargetKind
from app.store import schema
from app.store.engine import Store
from app.store.notification_messages import keep_back, next_id

# As the Standard Webhooks write their keys.
_KEY_PREFIX = "whsec_"


class WebhookSecret(Struct, frozen=True):
    """The whole address of a webhook, and the key that signs what is sent there."""

    url: str
    key: str

    @property
    def key_bytes(self) -> bytes:
        """The key itself; raises ValueError where it is none."""
        return base64.b64decode(self.key.removeprefix(_KEY_PREFIX), validate=True)


def new_key() -> str:
    """A signing key: 256 random bits."""
    return _KEY_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def list_targets(store: Store) -> list[Target]:
    """All targets by name."""
    with store.reading() as connection:
        query = sa.select(schema.notification_target).order_by(schema.notification_target.c.name)
        return [_target(row) for row in connection.execute(query)]


def get_target(store: Store, target_id: int) -> Target:
    """The target of that id; raises NotFound."""
    with store.reading() as connection:
        return _target(_needed(connection, target_id))


def add_target(
    store: Store,
    data: Path,
    name: str,
    kind: TargetKind,
    address: str,
    created_by: str,
    *,
    secret: WebhookSecret | None = None,
    enabled: bool = True,
    note: str = "",
) -> Target:
    """Add a target; `address` is what may be shown, `secret` what a webhook needs."""
    table = schema.notification_target
    values = {
        "name": name, "kind": kind, "address": address, "enabled": int(enabled), "note": note,
        "created_by": created_by, "created_at_ms": clock.now_ms(),
    }  # fmt: skip
    with store.writing(durable=True) as connection:
        _check_name(connection, name, None)
        target_id = next_id(
            connection, table.c.id, schema.notification_delivery.c.target_id,
            schema.notification_message.c.target_id,
        )  # fmt: skip
        connection.execute(sa.insert(table).values(values | {"id": target_id}))
        if secret is not None:
            _write_secret(data, target_id, secret)
        return _target(_needed(connection, target_id))


def edit_target(
    store: Store,
    data: Path,
    target_id: int,
    name: str,
    *,
    address: str | None = None,
    secret: WebhookSecret | None = None,
    enabled: bool = True,
    note: str = "",
) -> Target:
    """Make a target another; its kind stays, and so does an address or secret that is not given.
    What waits for one that is disabled is not sent any more.
    """
    table = schema.notification_target
    with store.writing(durable=True) as connection:
        before = _target(_needed(connection, target_id))
        _check_name(connection, name, target_id)
        values = {
            "name": name, "address": address or before.address, "enabled": int(enabled),
            "note": note,
        }  # fmt: skip
        connection.execute(sa.update(table).where(table.c.id == target_id).values(values))
        if not enabled:
            keep_back(connection, target_id)
        if secret is not None:
            _write_secret(data, target_id, secret)
        return _target(_needed(connection, target_id))


def remove_target(store: Store, data: Path, target_id: int) -> Target:
    """Remove a target from the rules and with its secret; raises NotFound. What was sent stays in
    the log. Returns what it was.
    """
    table, rule = schema.notification_target, schema.notification_rule
    with store.writing(durable=True) as connection:
        target = _target(_needed(connection, target_id))
        keep_back(connection, target_id)
        connection.execute(sa.delete(table).where(table.c.id == target_id))
        for row in connection.execute(sa.select(rule.c.id, rule.c.target_ids)).all():
            ids = msgspec.json.decode(row.target_ids, type=list[int])
            if target_id in ids:
                ids.remove(target_id)
                left = {"target_ids": msgspec.json.encode(ids).decode()}
                connection.execute(sa.update(rule).where(rule.c.id == row.id).values(left))
    _path(data, target_id).unlink(missing_ok=True)
    return target


def read_secret(data: Path, target_id: int) -> WebhookSecret:
    """What is secret of a webhook; raises NotFound where its file is not there or is no such."""
    try:
        return msgspec.json.decode(_path(data, target_id).read_bytes(), type=WebhookSecret)
    except (OSError, msgspec.DecodeError):
        raise NotFound(
            "The file with this target's address and key is not there (a backup without secrets "
            "was restored?). Give its address again."
        ) from None


def _write_secret(data: Path, target_id: int, secret: WebhookSecret) -> None:
    directory = data / "secrets"
    directory.mkdir(mode=0o700, exist_ok=True)
    path = _path(data, target_id)
    building = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with new_file(building) as file:
        file.write(msgspec.json.encode(secret))
    building.rename(path)


def _path(data: Path, target_id: int) -> Path:
    return data / "secrets" / f"target-{target_id}.json"


def _check_name(connection: sa.Connection, name: str, own_id: int | None) -> None:
    table = schema.notification_target
    taken = connection.scalar(sa.select(table.c.id).where(table.c.name == name))
    if taken is not None and taken != own_id:
        raise Conflict(f"There is a target “{name}” already.")


def _needed(connection: sa.Connection, target_id: int) -> Any:
    table = schema.notification_target
    row = connection.execute(sa.select(table).where(table.c.id == target_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such target (any more).")
    return row


def _target(row: Any) -> Target:
    return Target(
        id=row.id, name=row.name, kind=row.kind, address=row.address, enabled=bool(row.enabled),
        note=row.note, created_by=row.created_by, created_at_ms=row.created_at_ms,
    )  # fmt: skip
