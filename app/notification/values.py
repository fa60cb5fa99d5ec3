"""Rules, targets, events and messages, as the store keeps them and everybody passes them on."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal, get_args

from msgspec import Struct

RuleKind = Literal[
    "host-unknown", "host-partial", "pool-full", "pool-filling", "domain-crashed",
    "domain-io-error", "change", "capacity-report",
]  # fmt: skip
Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
# What quiet hours do with what happens in them.
Then = Literal["digest", "nothing"]
THENS: tuple[Then, ...] = get_args(Then)
TargetKind = Literal["webhook", "mail"]
TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)
# A condition begins and ends; what happened is over at once.
EventWhat = Literal["began", "ended", "happened"]
DeliveryState = Literal["waiting", "taken", "kept-back"]
MessageKind = Literal["alert", "test", "unsure"]
MessageState = Literal["waiting", "sending", "sent", "failed", "unknown"]
MESSAGE_STATES: tuple[MessageState, ...] = get_args(MessageState)


class Sort(Struct, frozen=True):
    """A kind of rule: how people call it, of what kind of object it is, and its threshold: the
    name of the field with its unit ("" for none), the value that is proposed, the least, the most.
    """

    label: str
    object_kind: str
    field: str = ""
    default: int = 0
    least: int = 0
    most: int = 0


SORTS: Mapping[RuleKind, Sort] = {
    "host-unknown": Sort("Host unknown", "host", "minutes", 5, 1, 10_080),
    "host-partial": Sort("Host read in part", "host", "minutes", 60, 1, 10_080),
    "pool-full": Sort("Pool above a share", "pool", "percent", 90, 1, 100),
    "pool-filling": Sort("Pool full soon", "pool", "days", 14, 1, 365),
    "domain-crashed": Sort("VM crashed", "domain"),
    "domain-io-error": Sort("VM paused on an I/O error", "domain"),
    "change": Sort("A change", ""),
    "capacity-report": Sort("Monthly capacity report", "report"),
}


def sort_of(kind: str) -> Sort | None:
    """The sort of a kind of rule; None where there is no such kind."""
    return next((sort for name, sort in SORTS.items() if name == kind), None)


class QuietHours(Struct, frozen=True):
    """From a minute of the day on and before another, on the clocks of a zone; over midnight
    where the first is the later one.
    """

    from_minute: int
    to_minute: int
    zone: str
    then: Then = "digest"


class Rule(Struct, frozen=True):
    """What is to be told to whom. `threshold` is in the unit of its sort. `whats` are words of the
    list of changes, for the kind "change" alone (empty: any). `hosts` and `objects` are patterns
    of names, parted by spaces (empty: all). What happened up to `since_ms`, and up to the change
    `seen_change_id`, is not told.
    """

    id: int
    name: str
    kind: RuleKind
    severity: Severity
    threshold: int | None
    whats: tuple[str, ...]
    hosts: str
    objects: str
    target_ids: tuple[int, ...]
    quiet: QuietHours | None
    pause_minutes: int
    enabled: bool
    note: str
    created_by: str
    created_at_ms: int
    since_ms: int
    seen_change_id: int

    def is_about(self, host: str | None, kind: str, name: str) -> bool:
        """Whether it is about an object of that host, kind and name."""
        if not matches(self.hosts, host or ""):
            return False
        return not self.objects or (kind != "host" and matches(self.objects, name))


class Target(Struct, frozen=True):
    """Where notifications go. `address` is what may be shown: of a webhook the scheme, host and
    port, of mail the addresses.
    """

    id: int
    name: str
    kind: TargetKind
    address: str
    enabled: bool
    note: str
    created_by: str
    created_at_ms: int


class Event(Struct, frozen=True):
    """Something that is told: `uid` names it for ever. `since_ms`: when it came to be so, as far
    as is known. `key` and `name` are of the object, which host and kind tell apart.
    """

    id: int
    uid: str
    at_ms: int
    since_ms: int | None
    rule_id: int
    rule: str
    rule_kind: RuleKind
    severity: Severity
    what: EventWhat
    host_id: int | None
    host: str | None
    kind: str
    key: str
    name: str
    title: str
    text: str
    alert_id: int | None
    change_id: int | None


class Message(Struct, frozen=True):
    """What is sent to a target at once, one event or many; `uid` stays the same however often it
    is tried. `about_id` is the message that an "unsure" one is about. `detail` is the receiver's
    own words, for admins.
    """

    id: int
    uid: str
    target_id: int
    target: str
    kind: MessageKind
    subject: str
    events: int
    state: MessageState
    attempts: int
    made_ms: int
    next_ms: int | None
    tried_ms: int | None
    ended_ms: int | None
    took_ms: int | None
    status: int | None
    sentence: str | None
    detail: str | None
    about_id: int | None


def matches(patterns: str, name: str) -> bool:
    """Whether a name fits one of the patterns, which are parted by spaces; no pattern: any name.
    `*`, `?` and `[…]` as in a shell, whatever the case.
    """
    wanted = patterns.casefold().split()
    return not wanted or any(fnmatchcase(name.casefold(), one) for one in wanted)
