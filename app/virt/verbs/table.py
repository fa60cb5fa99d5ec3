"""Which libvirt call each action on an object is."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import libvirt

from app.virt.verbs.making import clone_xml
from app.virt.verbs.objects import Target, find_domain, find_network, find_pool, find_volume

if TYPE_CHECKING:
    from app.virt.session import Session

Parameters = Mapping[str, Any]
# Looks up what it needs and returns the one call that changes something.
Prepare = Callable[["Session", Target, Parameters], Callable[[], Any]]


def act(
    session: "Session",
    target: Target,
    action: str,
    parameters: Parameters,
    *,
    before_call: Callable[[], None],
) -> None:
    """Do `action`; `before_call` is called once everything is looked up, right before libvirt is
    asked to change something. Raises VirtError.
    """
    change = _VERBS[target.kind, action](session, target, parameters)
    before_call()
    session.call(change)


_SHUTDOWN_MODES = {
    "default": libvirt.VIR_DOMAIN_SHUTDOWN_DEFAULT,
    "acpi": libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN,
    "agent": libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
}
_REBOOT_MODES = {
    "default": libvirt.VIR_DOMAIN_REBOOT_DEFAULT,
    "acpi": libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN,
    "agent": libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT,
}


def _on_domain(call: Callable[[Any, Parameters], Any]) -> Prepare:
    def prepare(session: "Session", target: Target, parameters: Parameters) -> Callable[[], Any]:
        return partial(call, find_domain(session, target.uuid), parameters)

    return prepare


def _on_pool(call: Callable[[Any, Parameters], Any]) -> Prepare:
    def prepare(session: "Session", target: Target, parameters: Parameters) -> Callable[[], Any]:
        return partial(call, find_pool(session, target.uuid), parameters)

    return prepare


def _on_network(call: Callable[[Any, Parameters], Any]) -> Prepare:
    def prepare(session: "Session", target: Target, parameters: Parameters) -> Callable[[], Any]:
        return partial(call, find_network(session, target.uuid), parameters)

    return prepare


def _on_volume(call: Callable[[Any, Parameters], Any]) -> Prepare:
    def prepare(session: "Session", target: Target, parameters: Parameters) -> Callable[[], Any]:
        return partial(call, find_volume(session, target), parameters)

    return prepare


def _on_snapshot(call: Callable[[Any, Any, Parameters], Any]) -> Prepare:
    def prepare(session: "Session", target: Target, parameters: Parameters) -> Callable[[], Any]:
        domain = find_domain(session, target.uuid)
        snapshot = session.call(domain.snapshotLookupByName, target.name, 0)
        return partial(call, domain, snapshot, parameters)

    return prepare


def _start(domain: Any, parameters: Parameters) -> None:
    # Without a flag it restores a managed save by itself.
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if parameters.get("paused") else 0)


def _dump(domain: Any, parameters: Parameters) -> None:
    domain.coreDumpWithFormat(
        parameters["path"],
        libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_RAW,
        libvirt.VIR_DUMP_MEMORY_ONLY,
    )


def _undefine(domain: Any, parameters: Parameters) -> None:
    flags = 0
    if parameters.get("managed_save"):
        flags |= libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    if parameters.get("snapshots"):
        flags |= libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        flags |= libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    keep, drop = libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM, libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    wanted = flags | (drop if parameters.get("nvram") else keep)
    try:
        domain.undefineFlags(wanted)
    except libvirt.libvirtError as error:
        # The driver refused the question, so nothing was done: it knows no NVRAM, and the same
        # is meant without.
        unknown = (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED)
        if error.get_error_code() not in unknown:
            raise
        domain.undefineFlags(flags)


def _resize(volume: Any, parameters: Parameters) -> None:
    flags = libvirt.VIR_STORAGE_VOL_RESIZE_SHRINK if parameters.get("shrink") else 0
    volume.resize(parameters["capacity_bytes"], flags)


def _clone(session: "Session", target: Target, parameters: Parameters) -> Callable[[], Any]:
    pool = find_pool(session, target.uuid)
    source = session.call(pool.storageVolLookupByName, target.name)
    xml = clone_xml(session.call(source.XMLDesc, 0), parameters["name"])
    return partial(pool.createXMLFrom, xml, source, 0)


def _revert(domain: Any, snapshot: Any, parameters: Parameters) -> None:
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED if parameters.get("paused") else 0
    domain.revertToSnapshot(snapshot, flags)


def _delete_snapshot(_domain: Any, snapshot: Any, parameters: Parameters) -> None:
    children = parameters.get("children")
    snapshot.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN if children else 0)


def _build(pool: Any, parameters: Parameters) -> None:
    # Pools of directories take neither flag.
    flags = libvirt.VIR_STORAGE_POOL_BUILD_OVERWRITE if parameters.get("overwrite") else 0
    pool.build(flags)


_VERBS: Mapping[tuple[str, str], Prepare] = {
    ("domain", "start"): _on_domain(_start),
    ("domain", "shutdown"): _on_domain(
        lambda domain, given: domain.shutdownFlags(_SHUTDOWN_MODES[given.get("mode", "default")])
    ),
    ("domain", "reboot"): _on_domain(
        lambda domain, given: domain.reboot(_REBOOT_MODES[given.get("mode", "default")])
    ),
    ("domain", "reset"): _on_domain(lambda domain, _: domain.reset(0)),
    ("domain", "destroy"): _on_domain(lambda domain, _: domain.destroyFlags(0)),
    ("domain", "suspend"): _on_domain(lambda domain, _: domain.suspend()),
    ("domain", "resume"): _on_domain(lambda domain, _: domain.resume()),
    ("domain", "managedsave"): _on_domain(lambda domain, _: domain.managedSave(0)),
    ("domain", "managedsave-remove"): _on_domain(lambda domain, _: domain.managedSaveRemove(0)),
    ("domain", "autostart"): _on_domain(
        lambda domain, given: domain.setAutostart(int(given["enabled"]))
    ),
    ("domain", "dompmwakeup"): _on_domain(lambda domain, _: domain.pMWakeup(0)),
    ("domain", "inject-nmi"): _on_domain(lambda domain, _: domain.injectNMI(0)),
    ("domain", "dump"): _on_domain(_dump),
    ("domain", "undefine"): _on_domain(_undefine),
    ("pool", "start"): _on_pool(lambda pool, _: pool.create(0)),
    ("pool", "destroy"): _on_pool(lambda pool, _: pool.destroy()),
    ("pool", "refresh"): _on_pool(lambda pool, _: pool.refresh(0)),
    ("pool", "build"): _on_pool(_build),
    ("pool", "autostart"): _on_pool(lambda pool, given: pool.setAutostart(int(given["enabled"]))),
    ("pool", "undefine"): _on_pool(lambda pool, _: pool.undefine()),
    ("volume", "resize"): _on_volume(_resize),
    ("volume", "clone"): _clone,
    ("volume", "wipe"): _on_volume(lambda volume, _: volume.wipe(0)),
    ("volume", "delete"): _on_volume(lambda volume, _: volume.delete(0)),
    ("network", "start"): _on_network(lambda network, _: network.create()),
    ("network", "destroy"): _on_network(lambda network, _: network.destroy()),
    ("network", "autostart"): _on_network(
        lambda network, given: network.setAutostart(int(given["enabled"]))
    ),
    ("network", "undefine"): _on_network(lambda network, _: network.undefine()),
    ("snapshot", "revert"): _on_snapshot(_revert),
    ("snapshot", "delete"): _on_snapshot(_delete_snapshot),
}
