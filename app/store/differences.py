"""What happened between two looks at the same thing, in words that a list of changes keeps.

Pure. Unknown is no value: what becomes known, or stops being known, is no change. Neither is what
comes and goes by itself: leases, guests' addresses, ports of a display, ports of a bridge.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from app.inventory import (
    Definition,
    Disk,
    Domain,
    Fact,
    Graphics,
    Host,
    Interface,
    KindName,
    Network,
    Nic,
    Pool,
    Snapshot,
    Volume,
)

_TEXT_MAX = 300

# Reasons of a pause that ends by itself: part of something else that is told.
_PASSING = frozenset(
    ("migrating", "saving", "dumping", "creating-snapshot", "starting-up", "shutting-down")
)
_CLASS: Mapping[str, str] = {
    "running": "up", "blocked": "up", "shutdown": "up", "paused": "paused",
    "pmsuspended": "asleep", "shutoff": "off", "crashed": "crashed",
}  # fmt: skip


class Difference(Struct, frozen=True):
    """One change. `field` is the fact's field that differs ("" where the fact itself came or
    went); `part` the device or snapshot concerned; `old` and `new` its values as text, sizes in
    bytes, None where there is nothing to say.
    """

    what: str
    field: str = ""
    part: str | None = None
    old: str | None = None
    new: str | None = None


def differences(kind: KindName, old: Fact | None, new: Fact | None) -> list[Difference]:
    """What happened to one thing; `old` None: it was not there, `new` None: it is gone."""
    if old is None or new is None:
        return _come_or_gone(kind, old, new)
    compare = _COMPARE.get(kind)
    return [] if compare is None or old == new else list(compare(old, new))


def _come_or_gone(kind: KindName, old: Fact | None, new: Fact | None) -> list[Difference]:
    if kind == "definition" or (old is None and new is None):
        return []
    state = getattr(new if old is None else old, "state", None)
    if old is None:
        return [Difference("created", new=state)]
    return [Difference("deleted", old=state)]


# --- domains -------------------------------------------------------------------------------


def _domain(old: Domain, new: Domain) -> Iterator[Difference]:
    turned = list(_domain_state(old, new))
    yield from turned
    yield from _text(old, new, "name", "renamed")
    yield from _switch(old, new, "autostart", "autostart-on", "autostart-off")
    yield from _switch(old, new, "persistent", "made-persistent", "made-transient")
    if not turned:
        yield from _switch(old, new, "managed_save", "saved-state", "saved-state-dropped")
    if old.damaged is None and new.damaged is None:
        yield from _domain_definition(old, new)


def _domain_state(old: Domain, new: Domain) -> Iterator[Difference]:
    before, after = _CLASS.get(old.state), _CLASS.get(new.state)
    if before is None or after is None:
        return
    was_off, reason = before in ("off", "crashed"), new.state_reason
    if after == "paused" and reason == "crashed":
        after = "crashed"
    if before == "paused" and old.state_reason == "crashed":
        before = "crashed"
    if before == after or (after == "off" and reason == "crashed" and before == "crashed"):
        if not was_off and _both_differ(old.id, new.id):
            yield Difference("restarted", "id", new=reason)
        return
    yield from _turned(old, new, before, after)


def _turned(old: Domain, new: Domain, before: str, after: str) -> Iterator[Difference]:
    reason = new.state_reason
    passing = old.state == "paused" and old.state_reason in _PASSING

    def told(what: str, by: str | None = reason) -> Difference:
        return Difference(what, "state", old=old.state, new=by)

    if after == "crashed" or (after == "off" and reason == "crashed"):
        yield told("crashed")
    elif after == "off":
        yield told("stopped")
    elif before == "off" or (before == "crashed" and _both_differ(old.id, new.id)):
        yield told("started", "paused" if after == "paused" and reason == "user" else reason)
    elif after == "paused":
        if reason not in _PASSING:
            yield told("paused")
    elif after == "asleep":
        yield told("asleep")
    elif before == "asleep":
        yield told("woken")
    elif not passing:
        yield told("resumed")


def _domain_definition(old: Domain, new: Domain) -> Iterator[Difference]:
    memory = list(_number(old, new, "memory_bytes", "memory"))
    most = list(_number(old, new, "max_memory_bytes", "max-memory"))
    yield from memory
    if not memory or not most or (memory[0].old, memory[0].new) != (most[0].old, most[0].new):
        yield from most
    yield from _number(old, new, "vcpus", "vcpus")
    yield from _number(old, new, "max_vcpus", "max-vcpus")
    yield from _parts(old, new, "disks", "disk", _disk_target, _disk_text, _disk_traits)
    yield from _parts(old, new, "nics", "nic", _nic_mac, _nic_text, _nic_traits)
    yield from _snapshots(old, new)
    yield from _text(old, new, "title", "title", unset=True)
    yield from _text(old, new, "description", "description", unset=True)
    if sorted({one.type for one in old.graphics}) != sorted({one.type for one in new.graphics}):
        yield Difference("graphics", "graphics", None, _types(old.graphics), _types(new.graphics))


def _types(graphics: tuple[Graphics, ...]) -> str | None:
    return ", ".join(sorted({one.type for one in graphics})) or None


def _disk_target(disk: Disk) -> str:
    return disk.target


def _disk_text(disk: Disk) -> str | None:
    return disk.source or disk.volume


def _disk_traits(disk: Disk) -> object:
    return (disk.device, disk.bus, disk.source or disk.volume, disk.format, disk.read_only)


def _nic_mac(nic: Nic) -> str:
    return nic.mac


def _nic_text(nic: Nic) -> str | None:
    return f"{nic.type} {nic.source}" if nic.source else nic.type


def _nic_traits(nic: Nic) -> object:
    return (nic.type, nic.source, nic.model)


def _parts(
    old: Domain,
    new: Domain,
    field: str,
    word: str,
    name_of: Callable[[Any], str],
    text_of: Callable[[Any], str | None],
    traits_of: Callable[[Any], object],
) -> Iterator[Difference]:
    """Devices that were added, removed or are others than before."""
    before = {name_of(one): one for one in getattr(old, field)}
    after = {name_of(one): one for one in getattr(new, field)}
    for name, one in before.items():
        if name not in after:
            yield Difference(f"{word}-removed", field, _short(name), _short(text_of(one)))
    for name, one in after.items():
        if name not in before:
            yield Difference(f"{word}-added", field, _short(name), None, _short(text_of(one)))
        elif traits_of(before[name]) != traits_of(one):
            was, now = text_of(before[name]), text_of(one)
            yield Difference(f"{word}-changed", field, _short(name), _short(was), _short(now))


def _snapshots(old: Domain, new: Domain) -> Iterator[Difference]:
    if old.snapshots is None or new.snapshots is None:
        return
    before = {one.name for one in old.snapshots}
    after = {one.name for one in new.snapshots}
    for one in new.snapshots:
        if one.name not in before:
            yield Difference("snapshot-taken", "snapshots", _short(one.name))
    for one in old.snapshots:
        if one.name not in after:
            yield Difference("snapshot-deleted", "snapshots", _short(one.name))
    was, now = _current(old.snapshots), _current(new.snapshots)
    if now is not None and was is not None and now != was and now in before and was in after:
        yield Difference("snapshot-reverted", "snapshots", _short(now))


def _current(snapshots: tuple[Snapshot, ...]) -> str | None:
    return next((one.name for one in snapshots if one.current), None)


# --- definitions ---------------------------------------------------------------------------

_KIB = 1024
# As libvirt writes them, which escapes what looks so in texts.
_SAVED: tuple[tuple[str, re.Pattern[str], int], ...] = (
    ("saved-max-memory", re.compile(r"^  <memory unit='KiB'>(\d{1,18})</memory>$", re.M), _KIB),
    ("saved-memory", re.compile(r"^  <currentMemory unit='KiB'>(\d{1,18})<", re.M), _KIB),
    ("saved-max-vcpus", re.compile(r"^  <vcpu[^>\n]*>(\d{1,9})</vcpu>$", re.M), 1),
    ("saved-vcpus", re.compile(r"^  <vcpu[^>\n]* current='(\d{1,9})'", re.M), 1),
)


def saved_differences(old: Definition, new: Definition) -> list[Difference]:
    """What changed of the size that a running domain has when it is next started; the domain
    itself does not tell that.
    """
    was, now = old.inactive_xml, new.inactive_xml
    if new.live_xml is None or was is None or now is None or was == now:
        return []
    found = {}
    for what, pattern, unit in _SAVED:
        before, after = _found(pattern, was, unit), _found(pattern, now, unit)
        if before != after:
            found[what] = Difference(what, "inactive_xml", None, before, after)
    for what in ("memory", "vcpus"):
        value, most = found.get(f"saved-{what}"), found.get(f"saved-max-{what}")
        if value is None or most is None:
            continue
        if (value.old, value.new) == (most.old, most.new):
            del found[f"saved-max-{what}"]
    return list(found.values())


def _found(pattern: re.Pattern[str], text: str, unit: int) -> str | None:
    match = pattern.search(text)
    return None if match is None else str(int(match[1]) * unit)


# --- hosts, storage, networks --------------------------------------------------------------


def _host(old: Host, new: Host) -> Iterator[Difference]:
    yield from _version(old, new, "libvirt_version", "libvirt")
    yield from _version(old, new, "hypervisor_version", "hypervisor")
    yield from _text(old, new, "hostname", "renamed")
    yield from _number(old, new, "memory_bytes", "memory")
    yield from _number(old, new, "cpus", "cpus")
    yield from _number(old, new, "cpus_online", "cpus-online")
    yield from _text(old, new, "processor", "processor")


def _version(old: Host, new: Host, field: str, word: str) -> Iterator[Difference]:
    was, now = getattr(old, field), getattr(new, field)
    if _both_differ(was, now):
        way = "upgraded" if _numbers(now) > _numbers(was) else "downgraded"
        yield Difference(f"{word}-{way}", field, None, _short(was), _short(now))


def _numbers(version: str) -> list[int]:
    return [int(part) if part.isdecimal() else 0 for part in version.split(".")]


def _pool(old: Pool, new: Pool) -> Iterator[Difference]:
    if old.state != new.state:
        yield Difference(_pool_turn(old.state, new.state), "state", None, old.state, new.state)
    yield from _text(old, new, "name", "renamed")
    yield from _switch(old, new, "autostart", "autostart-on", "autostart-off")
    yield from _switch(old, new, "persistent", "made-persistent", "made-transient")
    if old.damaged is None and new.damaged is None:
        yield from _text(old, new, "target", "target")
        yield from _text(old, new, "source", "source")


def _pool_turn(old: str, new: str) -> str:
    if new in ("degraded", "inaccessible", "building"):
        return new
    if new == "inactive":
        return "stopped"
    return "recovered" if old in ("degraded", "inaccessible") else "started"


def _volume(old: Volume, new: Volume) -> Iterator[Difference]:
    if old.damaged is None and new.damaged is None:
        yield from _number(old, new, "capacity_bytes", "resized")
        yield from _text(old, new, "format", "format")


def _network(old: Network, new: Network) -> Iterator[Difference]:
    if old.state != new.state:
        what = "started" if new.state == "active" else "stopped"
        yield Difference(what, "state", None, old.state, new.state)
    yield from _text(old, new, "name", "renamed")
    yield from _switch(old, new, "autostart", "autostart-on", "autostart-off")
    yield from _switch(old, new, "persistent", "made-persistent", "made-transient")
    if old.damaged is not None or new.damaged is not None:
        return
    yield from _text(old, new, "bridge", "bridge")
    yield from _text(old, new, "forward", "forward", unset=True)
    yield from _text(old, new, "domain_name", "domain-name", unset=True)
    if old.addresses != new.addresses:
        yield Difference(
            "addresses", "addresses", None, _joined(old.addresses), _joined(new.addresses)
        )
    if old.dhcp != new.dhcp:
        was, now = (
            _joined(tuple(f"{one.start}–{one.end}" for one in side.dhcp)) for side in (old, new)
        )
        yield Difference("dhcp", "dhcp", None, was, now)


def _interface(old: Interface, new: Interface) -> Iterator[Difference]:
    if old.state != new.state:
        what = "up" if new.state == "active" else "down"
        yield Difference(what, "state", None, old.state, new.state)
    if old.damaged is None and new.damaged is None:
        yield from _text(old, new, "mac", "mac")
        yield from _number(old, new, "mtu", "mtu")


# --- fields --------------------------------------------------------------------------------


def _both_differ(old: object, new: object) -> bool:
    return old is not None and new is not None and old != new


def _text(old: Fact, new: Fact, field: str, what: str, *, unset: bool = False) -> Iterator[Any]:
    """A text that is another; with `unset` None is a value: nothing is set."""
    was, now = getattr(old, field), getattr(new, field)
    if was != now and (unset or _both_differ(was, now)):
        yield Difference(what, field, None, _short(was), _short(now))


def _number(old: Fact, new: Fact, field: str, what: str) -> Iterator[Difference]:
    was, now = getattr(old, field), getattr(new, field)
    if _both_differ(was, now):
        yield Difference(what, field, None, str(was), str(now))


def _switch(old: Fact, new: Fact, field: str, on: str, off: str) -> Iterator[Difference]:
    was, now = getattr(old, field), getattr(new, field)
    if _both_differ(was, now):
        yield Difference(on if now else off, field)


def _joined(texts: tuple[str, ...]) -> str | None:
    return _short(", ".join(texts)) or None


def _short(text: str | None) -> str | None:
    """The text, cut to what a list needs: names from hosts may be long."""
    if text is None or len(text) <= _TEXT_MAX:
        return text
    return f"{text[: _TEXT_MAX - 1]}…"


_COMPARE: Mapping[KindName, Callable[[Any, Any], Iterator[Difference]]] = {
    "host": _host, "domain": _domain, "pool": _pool, "volume": _volume, "network": _network,
    "interface": _interface,
}  # fmt: skip
