"""The shapes of notifications: rules, targets, what was told and what was sent."""

from collections.abc import Sequence
from typing import Annotated, TypedDict

from msgspec import Meta

from app.notification.values import (
    EventWhat,
    MessageKind,
    MessageState,
    RuleKind,
    Severity,
    TargetKind,
    Then,
)
from app.web.shapes.common import Counted, Shape, Time

DeliveryOutcome = Annotated[
    str,
    Meta(description="A state of its message; held: it has none yet; kept-back: it gets none."),
]
TimeOfDay = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]

# A class cannot have a field that is called “from”.
QuietHoursTold = TypedDict(
    "QuietHoursTold", {"from": TimeOfDay, "to": TimeOfDay, "zone": str, "then": Then}
)


class NotificationRule(Shape):
    """What is told to whom; of `minutes`, `percent` and `days` one is not null, or none is."""

    id: int
    name: str
    kind: RuleKind
    severity: Severity
    minutes: int | None
    percent: int | None
    days: int | None
    what: Sequence[str]
    hosts: str
    objects: str
    targets: Sequence[int]
    quiet: QuietHoursTold | None
    pause_minutes: int
    enabled: bool
    note: str
    created_by: str
    created_at: Time


class NotificationRules(Counted):
    """Rules, by name."""

    items: list[NotificationRule]


class NotificationRuleSaved(Shape):
    """A rule as it is now."""

    item: NotificationRule


class NotificationTarget(Shape):
    """Where notifications go; of a webhook the address is its scheme, host and port alone."""

    id: int
    name: str
    kind: TargetKind
    address: str
    enabled: bool
    note: str
    created_by: str
    created_at: Time


class NotificationTargets(Counted):
    """Targets, by name."""

    items: list[NotificationTarget]


class NotificationTargetSaved(Shape):
    """A target as it is now, and its signing key where one was made."""

    item: NotificationTarget
    key: str | None


class Delivery(Shape):
    """What became of an event for one target; a target that was removed has no name."""

    target: str | None
    state: DeliveryOutcome
    due_at: Time
    message_id: int | None


class NotificationEvent(Shape):
    """Something that was told."""

    id: str
    at: Time
    since: Time | None
    what: EventWhat
    severity: Severity
    rule: str
    rule_id: int
    rule_kind: RuleKind
    host: str | None
    kind: str
    key: str
    name: str
    title: str
    text: str
    alert_id: int | None
    change_id: int | None
    url: str
    deliveries: list[Delivery]


class Alert(Shape):
    """What is so right now, in the words in which it was told."""

    id: int
    rule_id: int
    rule: str | None
    severity: Severity | None
    host: str | None
    kind: str
    key: str
    name: str
    title: str | None
    began_at: Time
    since: Time | None


class Notifications(Counted):
    """What was told, newest first (`counts` are by severity), and what is so right now."""

    items: list[NotificationEvent]
    alerts: list[Alert]


class NotificationMessage(Shape):
    """What went out to a target at once; `detail`, what the receiver said, is for admins."""

    id: int
    uid: str
    target: str
    target_id: int
    kind: MessageKind
    subject: str
    events: int
    state: MessageState
    attempts: int
    made_at: Time
    tried_at: Time | None
    next_at: Time | None
    ended_at: Time | None
    took_ms: int | None
    status: int | None
    sentence: str | None
    detail: str | None
    about_id: int | None


class NotificationMessages(Counted):
    """What was sent or is to be, newest first."""

    items: list[NotificationMessage]


class NotificationTested(Shape):
    """What came of a test."""

    item: NotificationMessage
