"""How far long work has come, and stopping it, over a session of its own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from app.errors import VirtError
from app.virt.verbs.objects import Target, find_domain, find_pool

if TYPE_CHECKING:
    from app.virt.session import Session


class Progress(Struct, frozen=True):
    """Bytes done of bytes in all; None where libvirt does not tell."""

    done_bytes: int | None = None
    total_bytes: int | None = None


def progress(
    session: "Session", target: Target, action: str, parameters: Mapping[str, Any]
) -> Progress | None:
    """How far `action` has come; None where libvirt does not tell. Raises VirtError."""
    try:
        if target.kind in ("domain", "snapshot"):
            return _of_job(session, target)
        if target.kind == "volume" and action == "clone":
            return _of_copy(session, target, parameters)
    except VirtError as error:
        # Not begun yet, or over already.
        if error.failure in ("gone", "invalid_state", "unsupported"):
            return None
        raise
    return None


def cancel(session: "Session", target: Target) -> None:
    """Ask libvirt to stop the long work on a domain; raises VirtError."""
    session.call(find_domain(session, target.uuid).abortJob)


def _of_job(session: "Session", target: Target) -> Progress | None:
    stats = session.call(find_domain(session, target.uuid).jobStats, 0)
    done, total = stats.get("data_processed"), stats.get("data_total")
    return Progress(done, total) if total else None


def _of_copy(session: "Session", target: Target, parameters: Mapping[str, Any]) -> Progress | None:
    pool = find_pool(session, target.uuid)
    source = session.call(pool.storageVolLookupByName, target.name)
    copy = session.call(pool.storageVolLookupByName, parameters["name"])
    total, done = session.call(source.info)[2], session.call(copy.info)[2]
    return Progress(min(done, total), total) if total else None
