"""What admins do to the registry of hosts, by form or by JSON: done, put into the audit, and told
to the collector. Nothing here asks a host anything.
"""

from msgspec.structs import replace

from app.connection import Connection, told
from app.services import services
from app.store.hosts import (
    HostRecord,
    add_host,
    edit_host,
    get_host,
    remove_host,
    rename_host,
    set_enabled,
)
from app.web.auditing import audit


def add(slug: str, connection: Connection) -> HostRecord:
    """Have a new host watched; raises InvalidField, Conflict."""
    record = add_host(services().store, slug, connection)
    audit("host-add", "host", slug, host=slug, parameters=told(connection))
    services().collector.wake()
    return record


def edit(slug: str, connection: Connection) -> HostRecord:
    """Reach a host by another way; raises InvalidField, NotFound, Conflict."""
    record = edit_host(services().store, slug, connection)
    audit("host-edit", "host", slug, host=slug, parameters=told(connection))
    services().collector.wake()
    return record


def rename(slug: str, name: str) -> HostRecord:
    """Give a host another name, if it is another; raises InvalidField, NotFound, Conflict."""
    if name == slug:
        return get_host(services().store, slug)
    record = rename_host(services().store, slug, name)
    audit("host-rename", "host", record.slug, host=record.slug, parameters={"was": slug})
    services().collector.wake()
    return record


def enable(slug: str, enabled: bool) -> None:
    """Have a host scanned, or not; raises NotFound."""
    set_enabled(services().store, slug, enabled)
    audit("host-enable" if enabled else "host-disable", "host", slug, host=slug)
    services().collector.wake()


def let_act(slug: str, read_only: bool) -> None:
    """Only look at a host, or let npvirt act on it; raises NotFound."""
    record = get_host(services().store, slug)
    edit(slug, replace(record.connection, read_only=read_only))


def remove(slug: str) -> None:
    """Watch a host no more; its history stays. Raises NotFound."""
    remove_host(services().store, slug)
    audit("host-remove", "host", slug, host=slug)
    services().collector.wake()
