"""The users: who may sign in, with which role, limited to which hosts.

Passwords are kept as Werkzeug's scrypt texts and leave this module as a yes or no. A disabled
user, and one whose role or hosts changed, has no session left.
"""

import re
from collections.abc import Collection
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from werkzeug.security import check_password_hash, generate_password_hash

from app import clock
from app.access import EMBED_MAKER, NAME_MAX, Role, check_role, ranks
from app.errors import Conflict, InvalidField, NotFound
from app.store import schema
from app.store.engine import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]*")
_PASSWORD_MIN, _PASSWORD_MAX_BYTES = 8, 1024


class User(Struct, frozen=True):
    """One user. `host_ids` None: every host. `source`: local, oidc or proxy."""

    id: int
    name: str
    role: Role
    host_ids: frozenset[int] | None
    source: str
    disabled: bool
    has_password: bool
    created_at_ms: int
    signed_in_at_ms: int | None


def check_user_name(text: str, field: str = "name") -> str:
    """`text` if it may name a user; raises InvalidField."""
    if not _NAME.fullmatch(text) or len(text) > NAME_MAX:
        raise InvalidField(
            field,
            f"A name is up to {NAME_MAX} lower-case letters, digits and . _ @ + -, and begins with "
            "a letter or digit.",
        )
    return text


def check_password(text: str, name: str, field: str = "password") -> str:
    """`text` if it may be the password of `name`; raises InvalidField."""
    if len(text) < _PASSWORD_MIN:
        raise InvalidField(field, f"A password has at least {_PASSWORD_MIN} characters.")
    if len(text.encode()) > _PASSWORD_MAX_BYTES:
        raise InvalidField(field, "This password is too long.")
    if text == name:
        raise InvalidField(field, "The password must not be the name.")
    return text


def list_users(store: Store) -> list[User]:
    """All users by name, disabled ones too."""
    with store.reading() as connection:
        query = sa.select(schema.user).order_by(schema.user.c.name)
        return [_user(row) for row in connection.execute(query)]


def get_user(store: Store, name: str) -> User:
    """The user of that name; raises NotFound."""
    with store.reading() as connection:
        return _needed(connection, name)


def has_users(store: Store) -> bool:
    """Whether anybody was ever added."""
    with store.reading() as connection:
        return connection.execute(sa.select(schema.user.c.id).limit(1)).first() is not None


def add_user(
    store: Store,
    name: str,
    role: str,
    password: str | None,
    *,
    hosts: Collection[str] = (),
    source: str = "local",
    first: bool = False,
) -> User:
    """Add a user, limited to `hosts` (slugs) if any are named; without a password they sign in
    elsewhere. `first`: only if there is none yet. Raises InvalidField, Conflict, NotFound.
    """
    check_user_name(name)
    values = {
        "name": name,
        "role": check_role(role),
        "password": None if password is None else _hashed(password, name),
        "source": source,
        "disabled": 0,
        "created_at_ms": clock.now_ms(),
    }
    with store.writing(durable=True) as connection:
        table = schema.user
        if first and connection.execute(sa.select(table.c.id).limit(1)).first() is not None:
            raise Conflict("There is a user already; sign in instead.")
        if connection.execute(sa.select(table.c.id).where(table.c.name == name)).first():
            raise Conflict(f"There is a user {name} already.")
        values["host_ids"] = host_ids_text(connection, hosts)
        connection.execute(sa.insert(table).values(values))
        return _needed(connection, name)


def arrive(store: Store, name: str, subject: str, role: Role | None) -> User:
    """The user whom a provider of OpenID Connect vouches for: added when new, given `role` (None:
    the one they have). `subject` is who they are for good.

    Raises NotFound for one who would have to be added first, Conflict for a name that is not
    theirs or is disabled.
    """
    check_user_name(name)
    table = schema.user
    with store.writing(durable=True) as connection:
        row = connection.execute(sa.select(table).where(table.c.name == name)).one_or_none()
        if row is None and role is None:
            raise NotFound(f"{name} is not known here. Have an admin add that user first.")
        if row is None:
            values = {
                "name": name, "role": role, "source": "oidc", "subject": subject, "disabled": 0,
                "created_at_ms": clock.now_ms(),
            }  # fmt: skip
            connection.execute(sa.insert(table).values(values))
            return _needed(connection, name)
        user = _user(row)
        if user.disabled:
            raise Conflict(f"{name} may not sign in any more.")
        if user.has_password or row.subject not in (None, subject):
            raise Conflict(f"The name {name} is somebody else’s in this npvirt.")
        changed = role is not None and role != user.role
        _update(connection, user, {
            "source": "oidc", "subject": subject, "role": role if role is not None else user.role,
        })  # fmt: skip
        if changed:
            end_sessions_of(connection, user.id)
            _end_embeds_of(connection, _needed(connection, name))
        return _needed(connection, name)


def set_role(store: Store, name: str, role: str, *, hosts: Collection[str] = ()) -> User:
    """Give a user another role and other hosts (none named: all); ends their sessions.

    Raises InvalidField, NotFound, and Conflict where no admin would be left.
    """
    checked = check_role(role)
    with store.writing(durable=True) as connection:
        user = _needed(connection, name)
        if checked != "admin" or hosts:
            _keep_an_admin(connection, user)
        values = {"role": checked, "host_ids": host_ids_text(connection, hosts)}
        _update(connection, user, values)
        end_sessions_of(connection, user.id)
        changed = _needed(connection, name)
        _end_embeds_of(connection, changed)
        return changed


def set_password(
    store: Store, name: str, password: str, *, keep_session: int | None = None
) -> None:
    """Give a user a password; ends their sessions but `keep_session`. Raises InvalidField,
    NotFound.
    """
    hashed = _hashed(password, name)
    with store.writing(durable=True) as connection:
        user = _needed(connection, name)
        _update(connection, user, {"password": hashed})
        end_sessions_of(connection, user.id, but=keep_session)


def set_disabled(store: Store, name: str, disabled: bool) -> None:
    """Let a user sign in, or not (which ends their sessions); raises NotFound, Conflict."""
    with store.writing(durable=True) as connection:
        user = _needed(connection, name)
        if disabled:
            _keep_an_admin(connection, user)
            end_sessions_of(connection, user.id)
        _update(connection, user, {"disabled": int(disabled)})
        _end_embeds_of(connection, _needed(connection, name))


@cache
def _nobody() -> str:
    """What is compared when there is no such user, so that an answer takes as long. Made when it is
    first needed: that takes as long as a third of the start of a command.
    """
    return generate_password_hash("nobody", "scrypt")


def matching_user(store: Store, name: str, password: str) -> User | None:
    """The user of that name and password, unless disabled. Takes the same time either way."""
    table = schema.user
    with store.reading() as connection:
        row = connection.execute(sa.select(table).where(table.c.name == name)).one_or_none()
    # Asked for whoever it is: the first answer takes longer than others, also for a user there is.
    nobody = _nobody()
    kept = row.password if row is not None and row.password is not None else nobody
    matches = len(password.encode()) <= _PASSWORD_MAX_BYTES and check_password_hash(kept, password)
    if not matches or row is None or row.password is None or row.disabled:
        return None
    return _user(row)


def host_ids_text(connection: sa.Connection, slugs: Collection[str]) -> str | None:
    """The ids of the hosts named, as JSON; None for no limit. Raises InvalidField."""
    if not slugs:
        return None
    table = schema.host
    query = sa.select(table.c.slug, table.c.id).where(
        table.c.slug.in_(slugs), table.c.removed_at_ms.is_(None)
    )
    found = {row.slug: row.id for row in connection.execute(query)}
    for slug in slugs:
        if slug not in found:
            raise InvalidField("host", f"There is no host {slug[:40]}.")
    return msgspec.json.encode(sorted(found.values())).decode()


def host_ids_of(text: str | None) -> frozenset[int] | None:
    """What `host_ids_text` wrote."""
    return None if text is None else msgspec.json.decode(text, type=frozenset[int])


def end_sessions_of(connection: sa.Connection, user_id: int, but: int | None = None) -> None:
    """End the sessions of a user within a transaction."""
    table = schema.session
    query = sa.update(table).where(table.c.user_id == user_id, table.c.ended_at_ms.is_(None))
    if but is not None:
        query = query.where(table.c.id != but)
    connection.execute(query.values(ended_at_ms=clock.now_ms()))


def _end_embeds_of(connection: sa.Connection, user: User) -> None:
    """End the tokens of embeds that a user made, for good, if they may make none any more."""
    if not user.disabled and ranks(user.role, EMBED_MAKER):
        return
    table = schema.embed_token
    made = sa.and_(table.c.maker_kind == "user", table.c.maker == user.name)
    query = sa.update(table).where(made, table.c.revoked_at_ms.is_(None))
    connection.execute(query.values(revoked_at_ms=clock.now_ms()))


def _hashed(password: str, name: str) -> str:
    return generate_password_hash(check_password(password, name), "scrypt")


def _keep_an_admin(connection: sa.Connection, but: User) -> None:
    """Refuse what would leave nobody to manage npvirt: Conflict."""
    if but.role != "admin" or but.disabled or but.host_ids is not None:
        return
    table = schema.user
    query = sa.select(table.c.id).where(
        table.c.role == "admin", table.c.disabled == 0, table.c.host_ids.is_(None),
        table.c.id != but.id,
    )  # fmt: skip
    if connection.execute(query).first() is None:
        raise Conflict(f"{but.name} is the only admin of all hosts; make another one first.")


def _update(connection: sa.Connection, user: User, values: dict[str, Any]) -> None:
    connection.execute(sa.update(schema.user).where(schema.user.c.id == user.id).values(values))


def _needed(connection: sa.Connection, name: str) -> User:
    row = connection.execute(sa.select(schema.user).where(schema.user.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"There is no user {name[:NAME_MAX]}.")
    return _user(row)


def _user(row: Any) -> User:
    return User(
        id=row.id,
        name=row.name,
        role=row.role,
        host_ids=host_ids_of(row.host_ids),
        source=row.source,
        disabled=bool(row.disabled),
        has_password=row.password is not None,
        created_at_ms=row.created_at_ms,
        signed_in_at_ms=row.signed_in_at_ms,
    )
