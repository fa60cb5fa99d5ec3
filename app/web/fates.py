"""What became of an object since a moment, in the few words of a table's cell. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.store.became import Told
from app.store.differences import Difference
from app.web.comparing import Fate
from app.web.figures import size
from app.web.format import plural, reason
from app.web.when import Zone, month_day

# What matters most comes first; what is not here comes after.
_ORDER = ("crashed", "paused", "stopped", "asleep", "started", "inaccessible", "degraded", "vcpus",
          "memory")  # fmt: skip
_CSS = {"crashed": "bad-t", "inaccessible": "bad-t", "paused": "warn-t", "degraded": "warn-t"}
_WORDS = {
    "crashed": "Crashed", "stopped": "Shut off", "started": "Started", "resumed": "Resumed",
    "asleep": "Suspended by guest", "woken": "Woken", "restarted": "Restarted",
    "autostart-on": "Autostart on", "autostart-off": "Autostart off", "renamed": "Renamed",
    "made-persistent": "Made persistent", "made-transient": "Made transient",
    "saved-state": "Saved", "saved-state-dropped": "Saved state dropped",
    "degraded": "Degraded", "inaccessible": "Inaccessible", "building": "Building",
    "recovered": "Recovered", "title": "Title changed", "description": "Description changed",
    "graphics": "Display changed", "dhcp": "DHCP range changed", "addresses": "Addresses changed",
    "libvirt-upgraded": "libvirt", "libvirt-downgraded": "libvirt",
    "hypervisor-upgraded": "Hypervisor", "hypervisor-downgraded": "Hypervisor",
    "vcpus": "vCPU", "max-vcpus": "Most vCPUs", "memory": "Memory", "max-memory": "Most memory",
    "cpus": "CPUs", "cpus-online": "CPUs online", "resized": "Size",
}  # fmt: skip
# Of these the hour matters, too.
_EXACT = frozenset(("crashed",))
# A restart is told as such, or by its two halves; another state by the last turn there was.
_STARTS = ("restarted", "started")
_TURNS = ("started", "stopped", "crashed", "paused", "resumed", "asleep", "woken", "restarted",
          "degraded", "inaccessible", "building", "recovered", "up", "down")  # fmt: skip
_BYTES = frozenset(("memory", "max-memory", "resized"))
_FROM_TO = frozenset(
    ("vcpus", "max-vcpus", "memory", "max-memory", "resized", "cpus", "cpus-online", "renamed",
     "libvirt-upgraded", "libvirt-downgraded", "hypervisor-upgraded", "hypervisor-downgraded",
     "bridge", "forward", "domain-name", "format", "mtu", "target", "source")
)  # fmt: skip


class Since(NamedTuple):
    """The words, their class, and what a pointer that rests on them is told."""

    text: str
    css: str
    title: str

    @property
    def same(self) -> bool:
        """Whether it is as it was."""
        return self.text == "same"


def since(
    fate: Fate,
    told: Mapping[str, Told],
    zone: Zone,
    now_ms: int,
    *,
    unknown_since_ms: int | None = None,
    deleted_by: str | None = None,
) -> Since:
    """What became of one object; `told` is what its changes since then tell."""
    times = sum(one.number for one in told.values())
    title = f"{plural(times, 'change')} since then" if times else ""
    if fate.what in ("deleted", "unwatched"):
        return _gone(fate, told, zone, now_ms, deleted_by)
    if fate.what == "unknown":
        since_ms = unknown_since_ms if unknown_since_ms is not None else fate.seen.at_ms
        return Since(f"Unknown since {_when(since_ms, zone, now_ms)}", "unk-t", title)
    if fate.what == "same":
        between = f"{plural(times, 'change')} in between; as it was again" if times else ""
        return Since("same", "muted", between)
    ordered = sorted(fate.differences, key=_rank)
    words = [_one(one, told, zone, now_ms) for one in ordered]
    css = _CSS.get(ordered[0].what, "") if ordered and fate.what != "moved" else ""
    if fate.what == "moved" and fate.now is not None:
        date = _date("moved-away", told, zone, now_ms)
        words = [f"Moved to {fate.now.host}{', ' if date else ''}{date}", *words]
    more = f", and {len(words) - 1} more" if len(words) > 1 else ""
    return Since(f"{words[0]}{more}", css, " · ".join(words[1:]) or title)


def _gone(
    fate: Fate, told: Mapping[str, Told], zone: Zone, now_ms: int, deleted_by: str | None
) -> Since:
    if fate.what == "unwatched":
        return Since(f"{fate.seen.host} is no longer watched", "muted", "")
    if "moved-away" in told and "deleted" not in told:
        return Since(f"Moved to another host{_after(told, 'moved-away', zone, now_ms)}", "", "")
    by = f" by {deleted_by}" if deleted_by else ""
    date = _date("deleted", told, zone, now_ms)
    return Since(f"Deleted{' ' if date else ''}{date}{by}", "bad-t", "")


def _after(told: Mapping[str, Told], what: str, zone: Zone, now_ms: int) -> str:
    date = _date(what, told, zone, now_ms)
    return f", {date}" if date else ""


def _rank(one: Difference) -> int:
    return _ORDER.index(one.what) if one.what in _ORDER else len(_ORDER)


def _one(one: Difference, told: Mapping[str, Told], zone: Zone, now_ms: int) -> str:
    date = _date(_told_as(one, told), told, zone, now_ms, exact=one.what in _EXACT)
    text = in_words(one)
    if not date:
        return text
    apart = one.what in (*_FROM_TO, "paused") or one.part is not None
    return f"{text}{',' if apart else ''} {date}"


def _told_as(one: Difference, told: Mapping[str, Told]) -> str:
    """The word under which the changes tell of a difference."""
    words = _STARTS if one.what == "restarted" else _TURNS if one.field == "state" else ()
    if one.what in told and words is not _STARTS:
        return one.what
    return max((word for word in words if word in told), key=lambda word: told[word].last_ms,
               default=one.what)  # fmt: skip


def in_words(one: Difference) -> str:
    """One difference: "vCPU 2 → 4", "Crashed", "Disk vdb added"."""
    if one.what == "paused":
        why = reason("paused", one.new)
        return f"Paused{' ' if why.startswith('by ') else ': '}{why}" if why else "Paused"
    what, _, done = one.what.partition("-")
    if one.part is not None:
        noun = {"nic": "NIC"}.get(what, what.capitalize())
        return f"{noun} {one.part} {done or 'changed'}"
    text = _WORDS.get(one.what, one.what.replace("-", " ").capitalize())
    if one.what in _FROM_TO:
        old, new = _value(one, one.old), _value(one, one.new)
        number, _, unit = old.partition(" ")
        return f"{text} {number if unit and new.endswith(f' {unit}') else old} → {new}"
    return text


def _value(one: Difference, text: str | None) -> str:
    if text is None:
        return "none"
    return size(int(text)) if one.what in _BYTES and text.isdecimal() else text


def values(one: Difference) -> tuple[str, str]:
    """What a difference was and is beside its words, for a table; one of them is "" where there is
    no other to compare it with, both where the words say it all.
    """
    if one.what == "restarted" or one.field == "state" or one.what in _FROM_TO:
        return "", ""
    if one.old is None and one.new is None:
        return "", ""
    if one.what.endswith(("-added", "-removed")):
        return one.old or "", one.new or ""
    return _value(one, one.old), _value(one, one.new)


def _date(
    what: str, told: Mapping[str, Told], zone: Zone, now_ms: int, *, exact: bool = False
) -> str:
    return _when(told[what].last_ms, zone, now_ms, exact=exact) if what in told else ""


def _when(at_ms: int, zone: Zone, now_ms: int, *, exact: bool = False) -> str:
    """The time of today, else the day, with its time where that matters."""
    at, now = zone.local(at_ms), zone.local(now_ms)
    if at.date() == now.date():
        return at.strftime("%H:%M")
    day = month_day(at) if at.year == now.year else f"{month_day(at)} {at.year}"
    return f"{day} {at.strftime('%H:%M')}" if exact else day


def summed_up(
    differs: int, unknown: int, new: int, total: int, noun: str
) -> Sequence[tuple[str, str]]:
    """The sentence that says how much differs, as (emphasised, plain) pieces."""
    if not total and not new:
        return []
    verb = " differs from now" if differs == 1 else " differ from now"
    pieces = [(f"{differs} of {plural(total, noun)}", verb)] if differs else []
    if unknown:
        pieces.append((plural(unknown, noun), " cannot be seen now"))
    if new:
        pieces.append((plural(new, noun), " did not exist yet"))
    if not differs:
        pieces.append(("", "everything else is as it was" if pieces else "Everything is as it was"))
    return pieces
