"""What rules and targets may be: every field from outside is checked here. Pure.

Raises InvalidField with a sentence; nothing is changed then.
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.errors import InvalidField
from app.notification.values import (
    SEVERITIES,
    SORTS,
    TARGET_KINDS,
    THENS,
    QuietHours,
    RuleKind,
    Severity,
    TargetKind,
    Then,
)

NAME_MAX = 64
NOTE_MAX = 1000
PATTERNS_MAX = 400
ADDRESSES_MAX = 20
PAUSE_MOST_MINUTES = 1440
_URL_MAX = 2000
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def check_name(text: str) -> str:
    """A name of a rule or target: one line of plain text."""
    name = text.strip()
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise InvalidField("name", f"A name is one line of up to {NAME_MAX} characters.")
    return name


def check_note(text: str) -> str:
    """A note, which may be empty."""
    note = " ".join(text.split())
    if len(note) > NOTE_MAX or not note.isprintable():
        raise InvalidField("note", f"A note is plain text of up to {NOTE_MAX} characters.")
    return note


def check_kind(text: str) -> RuleKind:
    """A kind of rule."""
    for kind in SORTS:
        if text == kind:
            return kind
    raise InvalidField("kind", f"The kind is one of {', '.join(SORTS)}.")


def check_severity(text: str) -> Severity:
    """How bad it is."""
    for severity in SEVERITIES:
        if text == severity:
            return severity
    raise InvalidField("severity", f"The severity is one of {', '.join(SEVERITIES)}.")


def check_threshold(kind: RuleKind, value: int | None) -> int | None:
    """The threshold of a rule of that kind, or what is proposed; None where it has none."""
    sort = SORTS[kind]
    if not sort.field:
        return None
    number = sort.default if value is None else value
    if not sort.least <= number <= sort.most:
        raise InvalidField(
            sort.field, f"{sort.field} is a whole number from {sort.least} to {sort.most}."
        )
    return number


def check_pause(minutes: int) -> int:
    """How long nothing more is told of the same object."""
    if not 0 <= minutes <= PAUSE_MOST_MINUTES:
        raise InvalidField(
            "pause_minutes", f"pause_minutes is a whole number from 0 to {PAUSE_MOST_MINUTES}."
        )
    return minutes


def check_whats(kind: RuleKind, whats: Collection[str], known: Collection[str]) -> tuple[str, ...]:
    """The words of changes that a rule is about; empty: any."""
    if kind != "change":
        return ()
    for what in whats:
        if what not in known:
            raise InvalidField("what", f"“{what[:40]}” is no word of the list of changes.")
    return tuple(sorted({*whats}))


def check_patterns(text: str, field: str) -> str:
    """Patterns of names, parted by spaces."""
    patterns = " ".join(text.replace(",", " ").split())
    if len(patterns) > PATTERNS_MAX or not patterns.isprintable():
        raise InvalidField(
            field, f"Names and patterns such as web-* take up to {PATTERNS_MAX} characters in all."
        )
    return patterns


def check_quiet(from_: str, to: str, zone: str, then: str) -> QuietHours | None:
    """Quiet hours; None where neither end is given."""
    if not from_ and not to:
        return None
    ends = []
    for field, text in (("quiet_from", from_), ("quiet_to", to)):
        found = _TIME.fullmatch(text)
        if found is None:
            raise InvalidField(field, "A time of day is written as 22:00.")
        ends.append(int(found[1]) * 60 + int(found[2]))
    if ends[0] == ends[1]:
        raise InvalidField("quiet_to", "Quiet hours end at another time than they begin.")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidField("quiet_zone", "Name a time zone such as Europe/Berlin.") from None
    return QuietHours(ends[0], ends[1], zone, _then(then))


def _then(text: str) -> Then:
    for then in THENS:
        if text == then:
            return then
    raise InvalidField("quiet_then", "After quiet hours comes a digest or nothing.")


def check_target_kind(text: str) -> TargetKind:
    """A kind of target."""
    for kind in TARGET_KINDS:
        if text == kind:
            return kind
    raise InvalidField("kind", "A target is a webhook or mail.")


def check_url(text: str) -> tuple[str, str]:
    """The address of a webhook, and what of it may be shown; of the rest some is secret."""
    url = text.strip()
    if len(url) > _URL_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidField("url", f"An address is up to {_URL_MAX} plain characters.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidField("url", "This is not an address.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidField("url", "The address begins with https:// or http:// and names a host.")
    if parts.username is not None or parts.password is not None:
        raise InvalidField("url", "The address must not hold a user or a password.")
    if parts.fragment:
        raise InvalidField("url", "The address must not hold a fragment (#…).")
    refusal = refused_address(host)
    if refusal:
        raise InvalidField("url", refusal)
    shown = f"[{host}]" if ":" in host else host
    return url, f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}"


# Where clouds keep what their machines may know, beyond link-local addresses.
_METADATA = frozenset(("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "168.63.129.16"))
_NAT64 = ip_network("64:ff9b::/96")


def refused_address(text: str) -> str:
    """Why nothing is sent to an IP address, as a sentence; empty for one that may be sent to, and
    for a name. Loopback and private addresses may: receivers within a house are there.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        address = _within(address)
    is_wrong = (
        address.is_link_local or address.is_multicast or address.is_unspecified
        or str(address) in _METADATA or (address.is_reserved and not address.is_loopback)
    )  # fmt: skip
    return (
        f"npvirt sends nothing to {text}: the address is link-local or special." if is_wrong else ""
    )


def _within(address: IPv6Address) -> IPv4Address | IPv6Address:
    """The address of version 4 that one of version 6 stands for, if it does for one."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def check_addresses(text: str) -> str:
    """Mail addresses, parted by commas, spaces or lines, as one text."""
    addresses = list(dict.fromkeys(text.replace(",", " ").replace(";", " ").split()))
    if not addresses or len(addresses) > ADDRESSES_MAX:
        raise InvalidField("addresses", f"Give one to {ADDRESSES_MAX} mail addresses.")
    for address in addresses:
        if not _MAIL.fullmatch(address) or len(address) > 254:
            raise InvalidField("addresses", f"{address[:80]} is not a mail address.")
    return ", ".join(addresses)
