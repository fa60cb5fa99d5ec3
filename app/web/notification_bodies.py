"""Rules and targets as somebody describes them, in a form or as JSON: the same fields, checked in
app/notification/checks. Raises InvalidField; nothing is changed then.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field
from werkzeug.datastructures import MultiDict

from app.errors import InvalidField
from app.notification.checks import (
    check_addresses,
    check_kind,
    check_name,
    check_note,
    check_patterns,
    check_pause,
    check_quiet,
    check_severity,
    check_target_kind,
    check_threshold,
    check_url,
    check_whats,
)
from app.notification.values import SORTS, TargetKind, sort_of
from app.store.notification_rules import RuleDraft
from app.web.change_words import WHATS

B = TypeVar("B", bound=Struct)

_DIGITS_MOST = 9
# Names of the fields of quiet hours in a form, where they are not one.
QUIET = ("quiet_from", "quiet_to", "quiet_zone", "quiet_then")


class QuietBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Quiet hours: times of day such as 22:00, on the clocks of a zone; what comes `then`."""

    from_: str = field(name="from")
    to: str
    zone: str
    then: str = "digest"


class RuleBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule. Its threshold has the name of its unit; `what` are words of the list of changes,
    `targets` ids.
    """

    name: str
    kind: str
    severity: str = "warning"
    minutes: int | None = None
    percent: int | None = None
    days: int | None = None
    what: list[str] = []
    hosts: str = ""
    objects: str = ""
    targets: list[int] = []
    quiet: QuietBody | None = None
    pause_minutes: int = 5
    enabled: bool = True
    note: str = ""


class TargetBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A target: a webhook has a `url`, mail has `addresses`; what is absent stays as it is.
    `new_key`: have npvirt make another signing key.
    """

    name: str
    kind: str
    url: str | None = None
    addresses: str | None = None
    enabled: bool = True
    note: str = ""
    new_key: bool = False


def read_json(body: bytes, type_: type[B]) -> B:
    """The body of a request."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidField("body", f"The body is no such JSON: {error}.") from None


def read_rule_form(form: "MultiDict[str, str]") -> RuleBody:
    """A rule from a form; the field of a threshold is `threshold` whatever its unit."""
    kind = form.get("kind", "")
    sort = sort_of(kind)
    quiet = [form.get(name, "").strip() for name in QUIET]
    threshold: dict[str, Any] = {}
    if sort is not None and sort.field and form.get("threshold", ""):
        threshold = {sort.field: _number(form, "threshold")}
    return RuleBody(
        name=form.get("name", ""),
        kind=kind,
        severity=form.get("severity", ""),
        what=form.getlist("what"),
        hosts=form.get("hosts", ""),
        objects=form.get("objects", ""),
        targets=[_number({"target": text}, "target") for text in form.getlist("target")],
        quiet=QuietBody(*quiet) if quiet[0] or quiet[1] else None,
        pause_minutes=_number(form, "pause_minutes"),
        enabled="enabled" in form,
        note=form.get("note", ""),
        **threshold,
    )


def read_target_form(form: Mapping[str, str]) -> TargetBody:
    """A target from a form; an address that is left empty stays as it is."""
    return TargetBody(
        name=form.get("name", ""),
        kind=form.get("kind", ""),
        url=form.get("url", "").strip() or None,
        addresses=form.get("addresses", "").strip() or None,
        enabled="enabled" in form,
        note=form.get("note", ""),
        new_key="new_key" in form,
    )


def draft_of(body: RuleBody) -> RuleDraft:
    """The rule that a body describes."""
    kind = check_kind(body.kind)
    sort = SORTS[kind]
    for unit in ("minutes", "percent", "days"):
        if unit != sort.field and getattr(body, unit) is not None:
            raise InvalidField(unit, f"A rule of the kind {kind} has no {unit}.")
    for names in ("hosts", "objects"):
        if sort.object_kind == "report" and getattr(body, names).strip():
            raise InvalidField(names, f"A rule of the kind {kind} is about all hosts.")
    quiet = body.quiet
    return RuleDraft(
        name=check_name(body.name),
        kind=kind,
        severity=check_severity(body.severity),
        threshold=check_threshold(kind, getattr(body, sort.field) if sort.field else None),
        whats=check_whats(kind, body.what, WHATS),
        hosts=check_patterns(body.hosts, "hosts"),
        objects=check_patterns(body.objects, "objects"),
        target_ids=tuple(sorted({*body.targets})),
        quiet=None if quiet is None else check_quiet(quiet.from_, quiet.to, quiet.zone, quiet.then),
        pause_minutes=check_pause(body.pause_minutes),
        enabled=body.enabled,
        note=check_note(body.note),
    )


class TargetFields(Struct, frozen=True):
    """A target whose fields are checked. `address` is what may be shown, `url` what is secret;
    both None where they stay as they are.
    """

    name: str
    kind: TargetKind
    address: str | None
    url: str | None
    enabled: bool
    note: str


def target_fields(body: TargetBody, *, new: bool) -> TargetFields:
    """The target that a body describes; a new one needs its address."""
    kind = check_target_kind(body.kind)
    given, other = (body.url, "addresses") if kind == "webhook" else (body.addresses, "url")
    if getattr(body, other) is not None:
        raise InvalidField(other, f"A target of the kind {kind} has no {other}.")
    own = "url" if kind == "webhook" else "addresses"
    if given is None and new:
        raise InvalidField(own, "Say where to: " + _needs(kind))
    url = address = None
    if given is not None:
        url, address = check_url(given) if kind == "webhook" else (None, check_addresses(given))
    name, note = check_name(body.name), check_note(body.note)
    return TargetFields(name, kind, address, url, body.enabled, note)


def _needs(kind: TargetKind) -> str:
    return "an address such as https://…" if kind == "webhook" else "a mail address."


def _number(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MOST):
        raise InvalidField(name, "This is a whole number.")
    return int(text)
