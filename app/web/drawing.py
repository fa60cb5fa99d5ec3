"""What a page is drawn from: the view, the moment, and what the address asks of it.

Reads the request and the store's fleet; makes nothing to be sent.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import request
from werkzeug.datastructures import MultiDict

from app import clock
from app.access import ROLES, Role
from app.errors import InvalidField
from app.store.history import Fleet
from app.web.comparing import differing
from app.web.identity import principal
from app.web.moment import Moment, moment
from app.web.ribbon import check_span
from app.web.scope import seen_fleet
from app.web.when import Zone


@dataclass(frozen=True)
class View:
    """What a page is made of: the template of its part, the item of the navigation, and the
    query parameters that it takes besides `at`.
    """

    part: str
    nav: str
    parameters: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Drawing:
    """What a page is drawn from. `arguments` are the view's own query parameters."""

    fleet: Fleet
    moment: Moment
    arguments: MultiDict[str, str]
    zone: Zone
    role: Role
    # A second moment: shown is only what is otherwise then.
    differs: Moment | None = None

    @property
    def live(self) -> bool:
        """Whether this is the present, so that buttons may stand on the page."""
        return not self.moment.past

    @property
    def acts(self) -> bool:
        """Whether actions stand on the page."""
        return self.live and self.may("operator")

    def may(self, role: Role) -> bool:
        """Whether who looks at it has that role."""
        return ROLES.index(self.role) >= ROLES.index(role)


Build = Callable[[Drawing], Mapping[str, object]]
# The context of travel/since.html: what became of what a past page shows.
Since = Callable[[Drawing], Mapping[str, object]]


def read_drawing(view: View, zone: Zone) -> Drawing:
    """What this request asks the view for; raises InvalidField."""
    arguments = _arguments(view)
    at = moment(request.args, clock.now_ms())
    fleet, differs = seen_fleet(at.at_ms), None
    if "differs" in arguments:
        differs = moment({"at": arguments["differs"]}, clock.now_ms())
        if not at.past:
            raise InvalidField("differs", "This narrows a past moment; give it as “at”.")
        fleet = differing(fleet, seen_fleet(differs.at_ms))
    return Drawing(fleet, at, arguments, zone, principal().role, differs)


def _arguments(view: View) -> MultiDict[str, str]:
    arguments: MultiDict[str, str] = MultiDict()
    check_span(request.args.get("span"))
    for name, value in request.args.items(multi=True):
        if name in view.parameters:
            arguments.add(name, value)
        elif name not in ("at", "have", "span", "since"):
            raise InvalidField(name[:40], f"This page takes no parameter “{name[:40]}”.")
    return arguments


def address_of(address: str, arguments: MultiDict[str, str]) -> str:
    """Where the present of a page is."""
    return f"{address}?{urlencode(tuple(arguments.items(multi=True)))}".removesuffix("?")


def query_of(arguments: MultiDict[str, str], at: Moment) -> str:
    """The query string of the part, which names the moment."""
    pairs = list(arguments.items(multi=True))
    if at.past:
        pairs.append(("at", at.text))
    return urlencode(pairs)


def page_address(path: str) -> str:
    """The address of the page whose part, or which itself, is at `path`."""
    address = re.sub("^/ui(/since)?(?=/)", "", path)
    return "/" if address == "/overview" else address


def part_address(address: str) -> str:
    """Where the part of the page at `address` is."""
    return "/ui/overview" if address == "/" else f"/ui{address}"
