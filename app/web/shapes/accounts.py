"""The shapes of users, sessions and tokens, and of the bodies that make and change them."""

from typing import Annotated

from msgspec import Meta, Struct

from app.access import ROLES, Role
from app.web.shapes.common import Counted, Shape, Time

_Role = Annotated[str, Meta(extra_json_schema={"enum": list(ROLES)})]
_Hosts = Annotated[list[str] | None, Meta(description="The hosts that are seen; null: all.")]


class Session(Shape):
    """A browser that is signed in."""

    id: int
    user: str
    role: _Role
    peer: str
    agent: str
    created_at: Time
    seen_at: Time
    expires_at: Time


class Account(Shape):
    """The one who asks, and the sessions of that user."""

    kind: str
    name: str
    role: _Role
    hosts: _Hosts
    sessions: list[Session]


class User(Shape):
    """A user; `source` says where they sign in."""

    name: str
    role: _Role
    hosts: _Hosts
    source: str
    disabled: bool
    has_password: bool
    created_at: Time
    signed_in_at: Time | None


class Token(Shape):
    """A token of the API; its text is told once, when it is made."""

    name: str
    role: _Role
    hosts: _Hosts
    created_by: str
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    used_at: Time | None
    works: bool


class UserList(Counted):
    """Users, by name, disabled ones too."""

    items: list[User]


class SessionList(Counted):
    """The sessions that go on, last used first."""

    items: list[Session]


class TokenList(Counted):
    """Tokens, by name, revoked and expired ones too."""

    items: list[Token]


class UserAlone(Shape):
    """A user as they are now."""

    item: User


class TokenMade(Shape):
    """A new token, and its text."""

    item: Token
    token: str


# --- bodies --------------------------------------------------------------------------------------


class UserWanted(Struct, forbid_unknown_fields=True):
    """A new user; without a password they sign in elsewhere, without hosts they see all."""

    name: str
    role: Role
    password: str | None = None
    hosts: list[str] = []


class UserChange(Struct, forbid_unknown_fields=True):
    """One change of a user: `role` with `hosts` (none: all), `password`, or `disabled`."""

    role: Role | None = None
    hosts: list[str] = []
    password: str | None = None
    disabled: bool | None = None


class TokenWanted(Struct, forbid_unknown_fields=True):
    """A new token; `expires_at` is RFC 3339 or epoch seconds, without it the token never ends."""

    name: str
    role: Role
    hosts: list[str] = []
    expires_at: str | int | None = None
