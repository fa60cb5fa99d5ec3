"""Which views there are to embed: what each is called, which parameters it takes, who draws it.

A view's `lockable` parameters are what a token may fix; of these, a page may narrow the `open`
ones by itself where the token leaves them free, because what they tell is on the page anyway.
"""

from collections.abc import Mapping

from msgspec import Struct

from app.language import N_


class View(Struct, frozen=True):
    """One view. `title` is marked; `path` is the page of the panel that shows the same; `required`
    are parameters that a token must lock; `drawn_as` is the view whose template draws it, if not
    its own.
    """

    name: str
    title: str
    path: str
    lockable: tuple[str, ...]
    open: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    drawn_as: str = ""

    @property
    def template(self) -> str:
        """The template of its fragment."""
        return f"embed/{self.drawn_as or self.name}.html"


def _table(
    name: str,
    title: str,
    path: str,
    lockable: tuple[str, ...],
    open_: tuple[str, ...] = (),
    required: tuple[str, ...] = (),
) -> View:
    """A view that is one of the tables of app/web/embed/builders.py."""
    return View(name, title, path, lockable, open_, required, "table")


_LIST = ("sort", "page", "per_page")
_ONE_DOMAIN = ("host", "id")
_LEASES = ("host", "network")
_CAPACITY = "/capacity"

VIEWS: Mapping[str, View] = {
    view.name: view
    for view in (
        View("overview", N_("Overview"), "/", ("host",)),
        View("hosts", N_("Hosts"), "/hosts", ("host",)),
        View(
            "domains", N_("Virtual machines"), "/domains",
            ("host", "state", "flag", "q", "domain", *_LIST), ("host", "state", *_LIST),
        ),
        View(
            "pools", N_("Storage pools"), "/pools",
            ("host", "state", "q", "pool", *_LIST), ("host", "state", *_LIST),
        ),
        View(
            "volumes", N_("Storage volumes"), "/pools",
            ("host", "q", "pool", *_LIST), ("host", "pool", *_LIST),
        ),
        View("networks", N_("Networks"), "/networks", ("host", "q", "network"), ("host",)),
        View("interfaces", N_("Host interfaces"), "/networks", ("host", "q"), ("host",)),
        View(
            "changes", N_("Changes"), "/changes",
            ("host", "kind", "what", "key", "q", "from", "to", "page", "per_page"),
            ("host", "kind", "page", "per_page"),
        ),
        View(
            "chart", N_("Chart"), "/",
            ("kind", "host", "id", "device", "chart", "metric", "range", "from", "to"), ("range",),
            ("kind",),
        ),
        View("gauge", N_("Gauge"), "/", ("kind", "host", "id", "metric"), (), ("kind",)),
        _table("disks", N_("Disks of a VM"), "/domains", _ONE_DOMAIN, (), _ONE_DOMAIN),
        _table(
            "nics", N_("Network interfaces of a VM"), "/domains", _ONE_DOMAIN, (), _ONE_DOMAIN,
        ),
        _table(
            "guest-nics", N_("Interfaces inside a guest"), "/domains", _ONE_DOMAIN, (), _ONE_DOMAIN,
        ),
        _table("snapshots", N_("Snapshots of a VM"), "/domains", _ONE_DOMAIN, (), _ONE_DOMAIN),
        _table("attention", N_("Needs attention"), "/", ("host",), ("host",)),
        _table("scans", N_("Scans of the hosts"), "/health", ("host",), ("host",)),
        _table("numa", N_("NUMA nodes of a host"), "/hosts", ("host",), (), ("host",)),
        _table(
            "memory-devices", N_("Memory devices of a host"), "/hosts", ("host",), (), ("host",),
        ),
        _table("leases", N_("Leases of a network"), "/networks", _LEASES, (), _LEASES),
        View(
            "forecast", N_("Forecast"), _CAPACITY, ("what", "host", "id", "from", "to"),
            drawn_as="chart",
        ),
        _table("outlook", N_("When it is full"), _CAPACITY, ("host", "what"), ("what",)),
        _table("overcommit", N_("Overcommit per host"), _CAPACITY, ("host", "from", "to")),
        _table("reclaim", N_("Idle or unused"), _CAPACITY, ("host", "kind"), ("kind",)),
        _table("rightsizing", N_("Larger than needed"), _CAPACITY, ("host",)),
        _table("growth", N_("Growth per month"), _CAPACITY, ("host", "by", "owner", "from", "to")),
        _table("losses", N_("If a host is lost"), _CAPACITY, ("host",)),
    )
}  # fmt: skip

# Of which a token may lock several values, one of which a page may then choose.
SEVERAL = frozenset(
    ("host", "state", "flag", "domain", "pool", "network", "kind", "what", "metric")
)
# Of several flags each narrows further, so that fewer of them would show more.
WHOLE = frozenset(("flag",))
