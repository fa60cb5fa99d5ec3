"""Changes in words: what happened to a thing, its icon, who did it and when. Pure.

The words of app/store/differences are names for scripts; here stands what people read. Names that
come from hosts stay whole inside of what is made here, so templates isolate all of it.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from app.language import N_, gettext, ngettext
from app.store.changes import Change
from app.web.figures import size
from app.web.format import reason
from app.web.when import Zone, month_day

# Groups that a list can be narrowed to: a word, a label, and the changes in it.
GROUPS: Mapping[str, tuple[str, frozenset[str]]] = {
    "power": ("Power", frozenset((
        "started", "stopped", "restarted", "crashed", "paused", "resumed", "asleep", "woken",
        "saved-state", "saved-state-dropped", "up", "down", "building",
    ))),
    "trouble": ("Trouble", frozenset((
        "crashed", "unreachable", "degraded", "inaccessible", "no-scans", "back", "recovered",
    ))),
    "existence": ("Created, gone", frozenset(("created", "deleted", "added", "renamed"))),
    "moves": ("Moved", frozenset(("moved", "moved-away"))),
    "size": ("Size", frozenset((
        "memory", "max-memory", "vcpus", "max-vcpus", "resized", "cpus", "cpus-online",
        "saved-memory", "saved-max-memory", "saved-vcpus", "saved-max-vcpus",
    ))),
    "devices": ("Devices", frozenset((
        "disk-added", "disk-removed", "disk-changed", "nic-added", "nic-removed", "nic-changed",
        "graphics",
    ))),
    "snapshots": ("Snapshots", frozenset((
        "snapshot-taken", "snapshot-deleted", "snapshot-reverted",
    ))),
    "settings": ("Settings", frozenset((
        "definition-changed", "title", "description", "autostart-on", "autostart-off",
        "made-persistent", "made-transient", "target", "source", "format", "bridge", "forward",
        "domain-name", "addresses", "dhcp", "mac", "mtu",
    ))),
    "software": ("Host software", frozenset((
        "libvirt-upgraded", "libvirt-downgraded", "hypervisor-upgraded",
        "hypervisor-downgraded", "processor",
    ))),
}  # fmt: skip
WHATS = tuple(sorted(frozenset[str]().union(*(whats for _, whats in GROUPS.values()))))
KINDS: Mapping[str, str] = {
    "host": "Hosts", "domain": "VMs", "pool": "Storage pools", "volume": "Volumes",
    "network": "Networks", "interface": "Host interfaces", "npvirt": "npvirt",
}  # fmt: skip
NOUNS: Mapping[str, str] = {
    "host": "host", "domain": "VM", "pool": "pool", "volume": "volume", "network": "network",
    "interface": "interface", "npvirt": "",
}  # fmt: skip

_SIZES = frozenset(("memory", "max-memory", "resized", "saved-memory", "saved-max-memory"))
_NEXT_START = N_("in the saved definition; takes effect at the next start")
# what -> icon, class of its colour
_LOOKS: Mapping[str, tuple[str, str]] = {
    "created": ("plus", ""), "deleted": ("trash", ""), "added": ("plus", ""),
    "renamed": ("edit", ""), "moved": ("host", ""), "moved-away": ("host", ""),
    "started": ("run", "ok-t"), "restarted": ("reboot", ""), "stopped": ("off", ""),
    "crashed": ("crash", "bad-t"), "paused": ("pause", ""), "resumed": ("play", "ok-t"),
    "asleep": ("sleep", ""), "woken": ("run", "ok-t"), "saved-state": ("save", ""),
    "saved-state-dropped": ("trash", ""), "unreachable": ("unk", "t2"), "back": ("run", "ok-t"),
    "no-scans": ("gap", "t2"), "degraded": ("warn", "warn-t"),
    "inaccessible": ("ban", "bad-t"),
    "recovered": ("run", "ok-t"), "building": ("build", ""), "up": ("run", "ok-t"),
    "down": ("off", ""), "disk-added": ("disk", ""), "disk-removed": ("disk", ""),
    "disk-changed": ("disk", ""), "nic-added": ("net", ""), "nic-removed": ("net", ""),
    "nic-changed": ("net", ""), "snapshot-taken": ("cam", ""), "snapshot-deleted": ("cam", ""),
    "snapshot-reverted": ("cam", ""), "autostart-on": ("auto", ""), "autostart-off": ("auto", ""),
    "libvirt-upgraded": ("auto", ""), "hypervisor-upgraded": ("auto", ""),
    "libvirt-downgraded": ("down", "warn-t"), "hypervisor-downgraded": ("down", "warn-t"),
}  # fmt: skip

_PLAIN: Mapping[str, str] = {
    "created": N_("created"), "deleted": N_("deleted"), "started": N_("started"),
    "stopped": N_("stopped"), "restarted": N_("restarted"), "crashed": N_("crashed"),
    "paused": N_("paused"), "resumed": N_("resumed"), "asleep": N_("went to sleep"),
    "woken": N_("woke up"), "saved-state": N_("has a saved state"),
    "saved-state-dropped": N_("lost its saved state"), "unreachable": N_("became unreachable"),
    "degraded": N_("degraded"), "inaccessible": N_("became inaccessible"),
    "recovered": N_("recovered"), "building": N_("is being built"), "up": N_("up"),
    "down": N_("down"), "added": N_("added"), "autostart-on": N_("starts with its host"),
    "autostart-off": N_("no longer starts with its host"),
    "made-persistent": N_("is kept when it stops"), "made-transient": N_("goes when it stops"),
    "definition-changed": N_("definition changed"),
}  # fmt: skip
# What changes from a value to another, and how the value is called.
_VALUES: Mapping[str, str] = {
    "renamed": N_("renamed"), "memory": N_("memory"), "max-memory": N_("maximum memory"),
    "vcpus": N_("vCPU"), "max-vcpus": N_("maximum vCPU"), "saved-memory": N_("memory"),
    "saved-max-memory": N_("maximum memory"), "saved-vcpus": N_("vCPU"),
    "saved-max-vcpus": N_("maximum vCPU"), "resized": N_("size"), "cpus": N_("CPUs"),
    "cpus-online": N_("CPUs online"), "processor": N_("processor"), "title": N_("title"),
    "description": N_("description"), "graphics": N_("console"), "target": N_("path"),
    "source": N_("source"), "format": N_("format"), "bridge": N_("bridge"),
    "forward": N_("forwarding"), "domain-name": N_("DNS domain"), "addresses": N_("addresses"),
    "dhcp": N_("DHCP range"), "mac": N_("MAC address"), "mtu": N_("MTU"),
    "libvirt-upgraded": N_("libvirt"), "libvirt-downgraded": N_("libvirt"),
    "hypervisor-upgraded": N_("hypervisor"), "hypervisor-downgraded": N_("hypervisor"),
}  # fmt: skip
_PARTS: Mapping[str, str] = {
    "disk-added": N_("disk %(name)s added"), "disk-removed": N_("disk %(name)s removed"),
    "nic-added": N_("NIC %(name)s added"), "nic-removed": N_("NIC %(name)s removed"),
    "snapshot-taken": N_("snapshot “%(name)s” taken"),
    "snapshot-deleted": N_("snapshot “%(name)s” deleted"),
    "snapshot-reverted": N_("reverted to snapshot “%(name)s”"),
}  # fmt: skip
# How it stopped says more than that it did.
_STOPS: Mapping[str | None, str] = {
    "shutdown": N_("shut down"), "destroyed": N_("forced off"), "saved": N_("saved and stopped"),
}  # fmt: skip
_STARTS: Mapping[str | None, str] = {
    "restored": N_("from its saved state"), "migrated": N_("by a migration"),
    "from-snapshot": N_("from a snapshot"), "paused": N_("paused"),
}  # fmt: skip
# What it did before it was gone.
_WAS: Mapping[str, str] = {
    "nostate": N_("was nostate"), "running": N_("was running"), "blocked": N_("was blocked"),
    "paused": N_("was paused"), "shutdown": N_("was shutdown"),
    "pmsuspended": N_("was pmsuspended"),
}  # fmt: skip
_COUNTED: Mapping[str, Callable[[int], str]] = {
    "domain": lambda count: ngettext("%(num)s VM", "%(num)s VMs", count),
    "pool": lambda count: ngettext("%(num)s pool", "%(num)s pools", count),
    "volume": lambda count: ngettext("%(num)s volume", "%(num)s volumes", count),
    "network": lambda count: ngettext("%(num)s network", "%(num)s networks", count),
}
# libvirt forgets a pool or a network; no data goes with it.
_DEFINED = frozenset(("pool", "network"))


class Phrase(NamedTuple):
    """What happened ("memory 16 → 24 GiB") and more of it ("by a migration"), which may be ""."""

    verb: str
    more: str = ""

    @property
    def text(self) -> str:
        """Both in one line."""
        return f"{self.verb} · {self.more}" if self.more else self.verb


def phrase(change: Change) -> Phrase:
    """What happened, without the name of the thing it happened to."""
    what = change.what
    if what in ("moved", "moved-away"):
        return _moved(change)
    if what in _VALUES:
        return _value(change)
    if what in _PARTS:
        verb = gettext(_PARTS[what], name=change.part or "")
        return Phrase(verb, change.new or change.old or "")
    if what in ("disk-changed", "nic-changed"):
        verb = (
            gettext("disk %(name)s changed", name=change.part)
            if what == "disk-changed"
            else gettext("NIC %(name)s changed", name=change.part)
        )
        return Phrase(verb, _arrow(change.old, change.new, gettext("empty")))
    return _told(change)


def _told(change: Change) -> Phrase:
    what, new = change.what, change.new
    verb = gettext(_PLAIN[what]) if what in _PLAIN else what.replace("-", " ")
    if change.kind == "domain":
        return _of_domain(change, verb)
    if change.kind in _DEFINED and what in ("created", "deleted"):
        return Phrase(gettext("defined") if what == "created" else gettext("definition removed"))
    if change.kind == "interface" and what in ("created", "deleted"):
        return Phrase(gettext("appeared") if what == "created" else gettext("disappeared"))
    if what == "unreachable":
        return Phrase(verb, new or "")
    if what == "added":
        return Phrase(verb, _counts(new or ""))
    if what == "back":
        return Phrase(gettext("answers again"))
    if what == "no-scans":
        return Phrase(gettext("no scans"), gettext("npvirt was stopped"))
    return Phrase(verb)


def _of_domain(change: Change, verb: str) -> Phrase:
    what, new = change.what, change.new
    if what == "stopped":
        more = "" if new in _STOPS or new is None else reason("shutoff", new)
        return Phrase(gettext(_STOPS[new]) if new in _STOPS else verb, more)
    if what in ("started", "restarted"):
        return Phrase(verb, gettext(_STARTS[new]) if new in _STARTS else "")
    if what == "crashed":
        more = gettext("its QEMU ended by itself") if new == "crashed" else reason("crashed", new)
        return Phrase(verb, more)
    if what == "paused":
        return Phrase(verb, "" if new == "user" else reason("paused", new))
    if what == "deleted" and change.old not in (None, "shutoff", "crashed"):
        was = _WAS.get(change.old)
        return Phrase(gettext("gone"), gettext(was) if was else f"was {change.old}")
    return Phrase(verb)


def _moved(change: Change) -> Phrase:
    if change.peer is None:
        here = change.what == "moved"
        return Phrase(gettext("moved here") if here else gettext("moved to another host"))
    return Phrase(gettext("moved %(old)s → %(new)s", old=change.old, new=change.new))


def _value(change: Change) -> Phrase:
    old, new = change.old, change.new
    if change.what in _SIZES:
        old, new = _bytes(old, new), _bytes(new, new)
        if old is not None and new is not None and old.split()[-1:] == new.split()[-1:]:
            old = old.split()[0]
    if change.what == "title":
        return Phrase(gettext("title changed"), new or gettext("none"))
    if change.what == "description":
        return Phrase(gettext("description changed"), new or gettext("none"))
    most = change.what == "saved-vcpus"
    nothing = gettext("as many as the maximum") if most else gettext("none")
    more = gettext(_NEXT_START) if change.what.startswith("saved-") else ""
    changed = _arrow(old, new, nothing)
    verb = gettext("%(what)s %(change)s", what=gettext(_VALUES[change.what]), change=changed)
    return Phrase(verb, more)


def _bytes(text: str | None, scale: str | None) -> str | None:
    if text is None or not text.isdecimal():
        return text
    return size(int(text))


def _arrow(old: str | None, new: str | None, nothing: str) -> str:
    if old == new:
        return new or ""
    return f"{old or nothing} → {new or nothing}"


def _counts(text: str) -> str:
    """How many of what, from “domain=2 pool=1”."""
    counts = dict(part.partition("=")[::2] for part in text.split())
    words = [
        told(int(counts[kind]))
        for kind, told in _COUNTED.items()
        if counts.get(kind, "0").isdecimal() and counts.get(kind, "0") != "0"
    ]
    return gettext("with %(things)s", things=gettext(", ").join(words)) if words else ""


def look(change: Change) -> tuple[str, str]:
    """The icon and the class of its colour."""
    if change.what == "paused" and change.new not in ("user", None):
        return "pause", "warn-t"
    return _LOOKS.get(change.what, ("edit", ""))


def who(change: Change) -> str:
    """On whose behalf it happened, as far as npvirt knows."""
    if change.by == "npvirt":
        return f"{change.who} · npvirt"
    if change.by == "outside":
        return "outside npvirt"
    if change.what in ("unreachable", "back", "added"):
        return "npvirt’s schedule"
    if change.what == "no-scans":
        return ""
    return "told by libvirt" if change.after_ms == change.at_ms else "seen at a scan"


def when(change: Change, zone: Zone, interval_ms: int) -> tuple[str, str]:
    """When it happened, as exactly as is known ("14:02", or "11:50 – 14:02" where more than a
    scan lies between), and the same as a sentence.
    """
    at, after_ms = zone.local(change.at_ms), change.after_ms
    text = at.strftime("%H:%M")
    if after_ms == change.at_ms:
        return text, gettext("At %(time)s, as libvirt told it.", time=zone.stamp(change.at_ms))
    if after_ms is None:
        return text, gettext(
            "When is not known: first seen at %(time)s.", time=zone.stamp(change.at_ms)
        )
    between = gettext(
        "Between %(first)s and %(second)s.",
        first=zone.stamp(after_ms), second=zone.stamp(change.at_ms),
    )  # fmt: skip
    if change.at_ms - after_ms <= 1.5 * interval_ms or change.what in ("unreachable", "back"):
        return text, between
    after = zone.local(after_ms)
    day = "" if after.date() == at.date() else f"{month_day(after)} "
    return f"{day}{after.strftime('%H:%M')} – {text}", between
