"""Objects of a fleet by what an address names; each raises NotFound with a sentence.

Pure. A host that the fleet does not have is said to be what is missing.
"""

from app.errors import NotFound
from app.language import gettext
from app.store.history import Fleet
from app.web.host_page import find_host
from app.web.kinds import DomainSeen, NetworkSeen, PoolSeen


def find_domain(fleet: Fleet, slug: str, uuid: str) -> DomainSeen:
    """The domain of that host."""
    find_host(fleet, slug)
    found = fleet.domain(slug, uuid.lower())
    if found is None:
        raise NotFound(
            gettext(
                "%(host)s has no VM with the UUID “%(uuid)s” at this moment.",
                host=slug, uuid=uuid[:40],
            )
        )  # fmt: skip
    return found


def look_up_domain(fleet: Fleet, slug: str, text: str) -> DomainSeen:
    """The domain of that host whose id, name or UUID is `text`, tried in this order."""
    find_host(fleet, slug)
    mine = [seen for seen in fleet.domains if seen.host == slug]
    for matches in (
        lambda seen: seen.known and str(seen.fact.id) == text,
        lambda seen: seen.fact.name == text,
        lambda seen: seen.key == text.lower(),
    ):
        found = next(filter(matches, mine), None)
        if found is not None:
            return found
    raise NotFound(f"{slug} has no VM with the id, name or UUID “{text[:64]}” at this moment.")


def find_pool(fleet: Fleet, slug: str, uuid: str) -> PoolSeen:
    """The storage pool of that host."""
    find_host(fleet, slug)
    found = fleet.pool(slug, uuid.lower())
    if found is None:
        raise NotFound(
            gettext(
                "%(host)s has no storage pool with the UUID “%(uuid)s” at this moment.",
                host=slug, uuid=uuid[:40],
            )
        )  # fmt: skip
    return found


def find_network(fleet: Fleet, slug: str, uuid: str) -> NetworkSeen:
    """The libvirt network of that host."""
    find_host(fleet, slug)
    found = fleet.network(slug, uuid.lower())
    if found is None:
        raise NotFound(
            gettext(
                "%(host)s has no network with the UUID “%(uuid)s” at this moment.",
                host=slug, uuid=uuid[:40],
            )
        )  # fmt: skip
    return found
