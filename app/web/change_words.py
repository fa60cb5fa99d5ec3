"""Changes in words: what happened to a thing, its icon, who did it and when. Pure.

The words of app/store/differences are names for scripts; here stands what people read. Names that
come from hosts stay whole inside of what is made here, so templates isolate all of it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from app.store.changes import Change
from app.web.figures import size
from app.web.format import plural, reason
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
_NEXT_START = "in the saved definition; takes effect at the next start"
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
    "created": "created", "deleted": "deleted", "started": "started", "stopped": "stopped",
    "restarted": "restarted", "crashed": "crashed", "paused": "paused", "resumed": "resumed",
    "asleep": "went to sleep", "woken": "woke up", "saved-state": "has a saved state",
    "saved-state-dropped": "lost its saved state", "unreachable": "became unreachable",
    "degraded": "degraded", "inaccessible": "became inaccessible", "recovered": "recovered",
    "building": "is being built", "up": "up", "down": "down", "added": "added",
    "autostart-on": "starts with its host", "autostart-off": "no longer starts with its host",
    "made-persistent": "is kept when it stops", "made-transient": "goes when it stops",
    "definition-changed": "definition changed",
}  # fmt: skip
# What changes from a value to another, and how the value is called.
_VALUES: Mapping[str, str] = {
    "renamed": "renamed", "memory": "memory", "max-memory": "maximum memory", "vcpus": "vCPU",
    "max-vcpus": "maximum vCPU", "saved-memory": "memory", "saved-max-memory": "maximum memory",
    "saved-vcpus": "vCPU", "saved-max-vcpus": "maximum vCPU", "resized": "size",
    "cpus": "CPUs", "cpus-online": "CPUs online",
    "processor": "processor", "title": "title", "description": "description",
    "graphics": "console", "target": "path", "source": "source", "format": "format",
    "bridge": "bridge", "forward": "forwarding", "domain-name": "DNS domain",
    "addresses": "addresses", "dhcp": "DHCP range", "mac": "MAC address", "mtu": "MTU",
    "libvirt-upgraded": "libvirt", "libvirt-downgraded": "libvirt",
    "hypervisor-upgraded": "hypervisor", "hypervisor-downgraded": "hypervisor",
}  # fmt: skip
_PARTS: Mapping[str, str] = {
    "disk-added": "disk {} added", "disk-removed": "disk {} removed", "nic-added": "NIC {} added",
    "nic-removed": "NIC {} removed", "snapshot-taken": "snapshot “{}” taken",
    "snapshot-deleted": "snapshot “{}” deleted",
    "snapshot-reverted": "reverted to snapshot “{}”",
}  # fmt: skip
# How it stopped says more than that it did.
_STOPS: Mapping[str, str] = {
    "shutdown": "shut down", "destroyed": "forced off", "saved": "saved and stopped",
}  # fmt: skip
_STARTS: Mapping[str, str] = {
    "restored": "from its saved state", "migrated": "by a migration", "from-snapshot":
    "from a snapshot", "paused": "paused",
}  # fmt: skip
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
        verb = _PARTS[what].format(change.part or "")
        return Phrase(verb, change.new or change.old or "")
    if what in ("disk-changed", "nic-changed"):
        noun = "disk" if what == "disk-changed" else "NIC"
        return Phrase(f"{noun} {change.part} changed", _arrow(change.old, change.new, "empty"))
    return _told(change)


def _told(change: Change) -> Phrase:
    what, new = change.what, change.new
    verb = _PLAIN.get(what, what.replace("-", " "))
    if change.kind == "domain":
        return _of_domain(change, verb)
    if change.kind in _DEFINED and what in ("created", "deleted"):
        return Phrase("defined" if what == "created" else "definition removed")
    if change.kind == "interface" and what in ("created", "deleted"):
        return Phrase("appeared" if what == "created" else "disappeared")
    if what == "unreachable":
        return Phrase(verb, new or "")
    if what == "added":
        return Phrase(verb, _counts(new or ""))
    if what == "back":
        return Phrase("answers again")
    return Phrase("no scans", "npvirt was stopped") if what == "no-scans" else Phrase(verb)


def _of_domain(change: Change, verb: str) -> Phrase:
    what, new = change.what, change.new
    if what == "stopped":
        more = "" if new in _STOPS or new is None else reason("shutoff", new)
        return Phrase(_STOPS.get(new or "", verb), more)
    if what in ("started", "restarted"):
        return Phrase(verb, _STARTS.get(new or "", ""))
    if what == "crashed":
        more = "its QEMU ended by itself" if new == "crashed" else reason("crashed", new)
        return Phrase(verb, more)
    if what == "paused":
        return Phrase(verb, "" if new == "user" else reason("paused", new))
    if what == "deleted" and change.old not in (None, "shutoff", "crashed"):
        return Phrase("gone", f"was {change.old}")
    return Phrase(verb)


def _moved(change: Change) -> Phrase:
    if change.peer is None:
        here = change.what == "moved"
        return Phrase("moved here" if here else "moved to another host")
    return Phrase(f"moved {change.old} → {change.new}")


def _value(change: Change) -> Phrase:
    old, new = change.old, change.new
    if change.what in _SIZES:
        old, new = _bytes(old, new), _bytes(new, new)
        if old is not None and new is not None and old.split()[-1:] == new.split()[-1:]:
            old = old.split()[0]
    verb = _VALUES[change.what]
    if change.what in ("title", "description"):
        return Phrase(f"{verb} changed", new or "none")
    nothing = "as many as the maximum" if change.what == "saved-vcpus" else "none"
    more = _NEXT_START if change.what.startswith("saved-") else ""
    return Phrase(f"{verb} {_arrow(old, new, nothing)}", more)


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
        plural(int(counts[kind]), NOUNS[kind])
        for kind in ("domain", "pool", "volume", "network")
        if counts.get(kind, "0").isdecimal() and counts.get(kind, "0") != "0"
    ]
    return f"with {', '.join(words)}" if words else ""


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
        return text, f"At {zone.stamp(change.at_ms)}, as libvirt told it."
    if after_ms is None:
        return text, f"When is not known: first seen at {zone.stamp(change.at_ms)}."
    between = f"Between {zone.stamp(after_ms)} and {zone.stamp(change.at_ms)}."
    if change.at_ms - after_ms <= 1.5 * interval_ms or change.what in ("unreachable", "back"):
        return text, between
    after = zone.local(after_ms)
    day = "" if after.date() == at.date() else f"{month_day(after)} "
    return f"{day}{after.strftime('%H:%M')} – {text}", between
