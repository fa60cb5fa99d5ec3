"""libvirt's list flags on domains: which ones a domain has. Pure.

A domain whose host does not answer has none, and one whose host cannot tell something has
neither flag of that pair.
"""

from functools import lru_cache

from app.inventory import Domain, DomainSample
from app.store.history import Seen

_ACTIVE_STATES = frozenset(("running", "blocked", "paused", "shutdown", "pmsuspended"))
_NONE: frozenset[str] = frozenset()


def is_active(domain: Domain) -> bool:
    """Whether the domain runs in some way: it has an id, or a state that only such ones have."""
    return domain.id is not None or domain.state in _ACTIVE_STATES


def flags_of(seen: Seen[Domain, DomainSample]) -> frozenset[str]:
    """The flags of a domain, of libvirt's fourteen and the two for checkpoints."""
    if not seen.known:
        return _NONE
    domain = seen.fact
    return _flags(
        domain.state,
        is_active(domain),
        domain.persistent,
        domain.managed_save,
        domain.autostart,
        domain.has_snapshot,
        domain.has_checkpoint,
    )


# Most domains share a few combinations.
@lru_cache(maxsize=4096)
def _flags(
    state: str,
    active: bool,
    persistent: bool | None,
    managed_save: bool | None,
    autostart: bool | None,
    has_snapshot: bool | None,
    has_checkpoint: bool | None,
) -> frozenset[str]:
    # libvirt counts a blocked domain, like every state without a flag of its own, as "other".
    found = {state if state in ("running", "paused", "shutoff") else "other"}
    found.add("active" if active else "inactive")
    for value, has, has_not in (
        (persistent, "persistent", "transient"),
        (managed_save, "managed-save", "no-managed-save"),
        (autostart, "autostart", "no-autostart"),
        (has_snapshot, "snapshot", "no-snapshot"),
        (has_checkpoint, "checkpoint", "no-checkpoint"),
    ):
        if value is not None:
            found.add(has if value else has_not)
    return frozenset(found)
