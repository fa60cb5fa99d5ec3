"""Which role a route needs: declared on its function, checked when the application starts.

Default deny: a route that declares nothing stops the start. Who asks is found by
app/web/identity.py; what they may do is decided here and nowhere else.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask
from msgspec import Struct

from app.access import Principal, Role

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE = "npvirt_needs"


class Needs(Struct, frozen=True):
    """What a route asks of who asks: a role (None: it is open to all), and `everywhere`: a scope
    without limits, for what concerns npvirt as a whole. `any_size`: its body is passed on in
    pieces, so it may be of any size.
    """

    role: Role | None
    everywhere: bool = False
    any_size: bool = False

    def refusal(self, who: Principal) -> str | None:
        """Why `who` may not use it, as a sentence; None when they may."""
        if self.role is not None and not who.may(self.role):
            return f"This needs the role {self.role}; yours is {who.role}."
        if self.everywhere and who.host_ids is not None:
            return "This needs a role for all hosts; yours is for some."
        return None


def needs(role: Role, *, everywhere: bool = False, any_size: bool = False) -> Callable[[F], F]:
    """Declare that a route is for `role` and above."""

    def declare(function: F) -> F:
        setattr(function, _ATTRIBUTE, Needs(role, everywhere, any_size))
        return function

    return declare


def open_to_all(function: F) -> F:
    """Declare that a route answers without a session or token."""
    setattr(function, _ATTRIBUTE, Needs(None))
    return function


def needed_by(app: Flask, endpoint: str) -> Needs:
    """What an endpoint asks of who asks."""
    return cast(Needs, getattr(app.view_functions[endpoint], _ATTRIBUTE))


def check_declared(app: Flask) -> None:
    """Stop the start over a route that declares nothing; raises RuntimeError."""
    for rule in app.url_map.iter_rules():
        function = app.view_functions[rule.endpoint]
        if rule.endpoint == "static":
            setattr(function, _ATTRIBUTE, Needs(None))
        elif not hasattr(function, _ATTRIBUTE):
            raise RuntimeError(f"The route {rule.rule} does not say who may use it.")
