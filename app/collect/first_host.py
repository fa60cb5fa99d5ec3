"""The first host: what a panel without any host adds by itself, so that its page is never empty."""

from pathlib import Path

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.store.engine import Store
from app.store.hosts import HostRecord, add_host, list_hosts
from app.virt.session import Session

_LOCAL = Connection()
_DEMO = Connection(driver="test", transport="embedded", path="default")


def ensure_first_host(store: Store) -> HostRecord | None:
    """With no host configured, add the local system libvirt if its socket answers, else the
    embedded demo host; the added one, or None when there was a host already.
    """
    if list_hosts(store):
        return None
    if _local_libvirt_answers():
        return add_host(store, "local", _LOCAL)
    return add_host(store, "demo", _DEMO)


def _local_libvirt_answers() -> bool:
    if not any(Path(f"/run/libvirt/{name}-sock").exists() for name in ("virtqemud", "libvirt")):
        return False
    try:
        Session.open(Endpoint(_LOCAL), read_only=True, deadline_s=1.0).close()
    except VirtError:
        return False
    return True
