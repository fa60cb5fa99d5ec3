"""Who may do what: roles, and the one who asks. Values and pure rules; default deny.

Knows no request, no store and no password: app/web/signin.py finds out who asks, and every route
and action says which role it needs.
"""

from typing import Literal, get_args

from msgspec import Struct

from app.errors import InvalidField

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

NAME_MAX = 64
# Who may make tokens of embeds, and must still be that while these work.
EMBED_MAKER: Role = "admin"


class Principal(Struct, frozen=True):
    """The one who asks: a signed-in user, a token, the owner of the machine at its shell, or a
    page of somebody else's that shows an embed.

    `host_ids` None: every host. `session_id` is the row of the session, where there is one.
    """

    kind: Literal["user", "token", "command", "embed"]
    name: str
    role: Role
    host_ids: frozenset[int] | None = None
    user_id: int | None = None
    session_id: int | None = None

    @property
    def who(self) -> str:
        """How the audit calls them."""
        return self.name if self.kind == "user" else f"{self.kind}:{self.name}"

    def may(self, needed: Role) -> bool:
        """Whether their role is `needed` or above."""
        return ranks(self.role, needed)

    def sees(self, host_id: int) -> bool:
        """Whether the host is in their scope."""
        return self.host_ids is None or host_id in self.host_ids


def ranks(role: Role, needed: Role) -> bool:
    """Whether `role` is `needed` or above."""
    return ROLES.index(role) >= ROLES.index(needed)


COMMAND_LINE = Principal("command", "npvirt", "admin")


def check_role(text: str, field: str = "role") -> Role:
    """`text` as a role; raises InvalidField."""
    for role in ROLES:
        if text == role:
            return role
    raise InvalidField(field, "The role is viewer, operator or admin.")
