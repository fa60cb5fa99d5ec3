"""Finding out what rules have to tell: conditions that began or ended, and changes.

A turn reads the list of changes first and the fleet of the present after it, so that what a change
tells is in the fleet as well, or over by then.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from app import clock
from app.clock import DAY_MS
from app.errors import StoreError
from app.notification.values import Rule, matches
from app.notifier.conditions import (
    CONDITIONS,
    Seeing,
    State,
    Thing,
    is_crashed,
    is_paused_on_io_error,
    states,
)
from app.notifier.filling import Filling, Fillings
from app.notifier.sending import Sender
from app.settings import Settings
from app.store.changes import Change, changes_after
from app.store.demonstration import is_demonstration
from app.store.engine import Store
from app.store.history import fleet
from app.store.moves import MOVED, MOVED_AWAY
from app.store.notification_events import Told, forget_before, record, told_since
from app.store.notification_facts import partial_since
from app.store.notification_log import Alert, events_of_alerts, open_alerts
from app.store.notification_rules import list_rules
from app.store.views import Fleet

log = logging.getLogger(__name__)

# How often it is looked whether there is something to tell.
EVERY_S = 5.0
KEPT_MS = 90 * DAY_MS
_CHANGES = 200
# What has nothing to tell is written down as read only now and then.
_UNWRITTEN = 5_000
_FORGET_EVERY_S = 3600.0


def plain_change(change: Change) -> str:
    """What happened, where nobody lends better words."""
    return change.what.replace("-", " ")


class Notifier:
    """Tells what the rules say; one thread at a time may use it. `phrase` puts a change in words,
    without the name of what it happened to.
    """

    def __init__(self, settings: Settings, store: Store, sender: Sender | None = None) -> None:
        self._store = store
        self._is_demonstration = is_demonstration(settings.data)
        self.sender = sender or Sender(settings, store)
        self.phrase: Callable[[Change], str] = plain_change
        # When hosts were last looked at before this process saw to it, by id; None: not begun.
        self._before: dict[int, int | None] | None = None
        # Up to which change all was told by rules that began then; (since_ms, change).
        self._read: dict[int, tuple[int, int]] = {}
        self._fillings = Fillings(store)
        self._forgot_s: float | None = None

    def turn(self) -> None:
        """Find out what is to be told, write it down and begin to send it; takes some milliseconds
        as a rule. What cannot be stored is logged, and found out again at the next turn.
        """
        if self._is_demonstration:
            return
        try:
            if self._before is None:
                self.sender.begin()
                views = fleet(self._store, None).hosts
                self._before = {view.record.id: view.status.last_try_at_ms for view in views}
            rules = [rule for rule in list_rules(self._store) if rule.enabled]
            self._look(rules)
            self._forget()
            self.sender.turn()
        except StoreError as error:
            log.error("Notifications have to wait: %s", error)

    def stop(self) -> None:
        """Send nothing more; waits up to two seconds for what is being sent."""
        self.sender.stop()

    def _look(self, rules: Sequence[Rule]) -> None:
        listening = [rule for rule in rules if rule.kind in _HAPPENINGS]
        position = min((self._position(rule) for rule in listening), default=0)
        found: list[Change] = []
        last = position
        if listening:
            found, last = changes_after(self._store, position, _CHANGES)
        alerts = open_alerts(self._store)
        if not rules and not alerts:
            return
        seen = fleet(self._store, None)
        self._tell_conditions(rules, alerts, seen)
        while last > position:
            self._tell_changes(listening, found, last, seen)
            position = last
            found, last = changes_after(self._store, position, _CHANGES)

    # --- conditions ------------------------------------------------------------------------

    def _tell_conditions(self, rules: Sequence[Rule], alerts: Sequence[Alert], seen: Fleet) -> None:
        now_ms = clock.now_ms()
        facts = self._facts(rules, seen, now_ms)
        by_rule: dict[int, dict[Thing, Alert]] = {}
        for alert in alerts:
            thing = Thing(alert.host_id, alert.kind, alert.key)
            by_rule.setdefault(alert.rule_id, {})[thing] = alert
        told: list[Told] = []
        forgotten: list[int] = []
        for rule in rules:
            mine = by_rule.pop(rule.id, {})
            if rule.kind not in CONDITIONS:
                continue
            seeing = Seeing(seen, now_ms, *facts, said=frozenset(mine))
            found = states(rule, seeing)
            told += _turns(rule, found, mine)
            gone = [alert for thing, alert in mine.items() if thing not in found]
            told += self._gone(rule, gone, seen, forgotten)
        forgotten += [alert.id for mine in by_rule.values() for alert in mine.values()]
        for start in range(0, len(told), _CHANGES):
            record(self._store, told[start : start + _CHANGES], now_ms)
        if forgotten:
            record(self._store, (), now_ms, forgotten=forgotten)

    def _facts(
        self, rules: Sequence[Rule], seen: Fleet, now_ms: int
    ) -> tuple[frozenset[int], Mapping[int, int], Mapping[int, Filling]]:
        """The hosts that were tried, since when others are read in part, when pools are full."""
        kinds = {rule.kind for rule in rules}
        before = self._before or {}
        tried = frozenset(
            view.record.id
            for view in seen.hosts
            if view.status.last_try_at_ms != before.get(view.record.id)
        )
        partial: Mapping[int, int] = {}
        if "host-partial" in kinds:
            ids = [view.record.id for view in seen.hosts if view.status.missing]
            partial = partial_since(self._store, ids)
        fills = "pool-filling" in kinds
        return tried, partial, self._fillings.of(seen, now_ms) if fills else {}

    def _gone(
        self, rule: Rule, alerts: Sequence[Alert], seen: Fleet, forgotten: list[int]
    ) -> Iterator[Told]:
        """Alerts of what is not there any more; what the rule is no longer about is forgotten."""
        if not alerts:
            return
        began = events_of_alerts(self._store, [alert.id for alert in alerts])
        for alert in alerts:
            event = began.get(alert.id)
            if event is None or not rule.is_about(event.host, alert.kind, alert.name):
                forgotten.append(alert.id)
                continue
            yield Told(
                rule, "ended", alert.host_id, event.host, alert.kind, alert.key, alert.name,
                f"{_called(alert.kind, alert.name, event.host)} is no longer looked at",
                "It was removed, or its host was removed or disabled.",
            )  # fmt: skip

    # --- changes ---------------------------------------------------------------------------

    def _position(self, rule: Rule) -> int:
        since_ms, change_id = self._read.get(rule.id, (rule.since_ms, 0))
        known = change_id if since_ms == rule.since_ms else 0
        return max(rule.seen_change_id, known)

    def _tell_changes(
        self, rules: Sequence[Rule], found: Sequence[Change], last: int, seen: Fleet
    ) -> None:
        told = [
            one
            for rule in rules
            for change in found
            if change.id > self._position(rule) and change.at_ms >= rule.since_ms
            for one in self._told(rule, change, seen)
        ]
        behind = any(last - rule.seen_change_id > _UNWRITTEN for rule in rules)
        if told or behind:
            record(self._store, told, clock.now_ms(), seen={rule.id: last for rule in rules})
        self._read = {rule.id: (rule.since_ms, max(last, self._position(rule))) for rule in rules}

    def _told(self, rule: Rule, change: Change, seen: Fleet) -> Iterator[Told]:
        if not _is_about(rule, change) or not self._is_news(rule, change, seen):
            return
        name = change.name or change.key
        title = f"{_called(change.kind, name, change.host)}: {self.phrase(change)}"
        text = "" if rule.kind == "change" else "It is over by now."
        yield Told(
            rule, "happened", change.host_id, change.host, change.kind, change.key, name, title,
            text, change.at_ms, change.id,
        )  # fmt: skip

    def _is_news(self, rule: Rule, change: Change, seen: Fleet) -> bool:
        """Whether a change is to be told: of what lasts, that it lasts is told instead."""
        lasts = _HAPPENINGS[rule.kind]
        if lasts is None:
            return True
        domain = seen.domain(change.host or "", change.key)
        if domain is not None and lasts(domain.fact):
            return False
        known = (rule.id, change.host_id, change.key, change.at_ms)
        return not told_since(self._store, *known)

    def _forget(self) -> None:
        """Delete what was told long ago, now and then."""
        now_s = clock.monotonic_s()
        if self._forgot_s is None or now_s - self._forgot_s >= _FORGET_EVERY_S:
            self._forgot_s = now_s
            forget_before(self._store, clock.now_ms() - KEPT_MS)


# What rules find in the list of changes, too: what lasts, or is over before anybody looks.
_HAPPENINGS: Mapping[str, Callable[..., bool] | None] = {
    "change": None, "domain-crashed": is_crashed, "domain-io-error": is_paused_on_io_error,
}  # fmt: skip


def _turns(rule: Rule, found: Mapping[Thing, State], alerts: Mapping[Thing, Alert]) -> list[Told]:
    """What began and what ended."""
    return [
        Told(
            rule, "began" if state.holds else "ended", thing.host_id, state.host, thing.kind,
            thing.key, state.name, state.title, state.text, state.since_ms,
        )
        for thing, state in found.items()
        if state.holds is not None and state.holds != (thing in alerts)
    ]  # fmt: skip


def _is_about(rule: Rule, change: Change) -> bool:
    if rule.kind == "domain-crashed" and change.what != "crashed":
        return False
    if rule.kind == "domain-io-error" and (change.what, change.new) != ("paused", "io-error"):
        return False
    what, host = change.what, change.host
    if what == MOVED_AWAY:
        # A move is told once where the rule is about both of its hosts.
        if change.peer is not None and matches(rule.hosts, change.peer):
            return False
        what = MOVED
    if rule.whats and what not in rule.whats:
        return False
    return rule.is_about(host, change.kind, change.name or change.key)


def _called(kind: str, name: str, host: str | None) -> str:
    """An object as titles call it."""
    noun = {
        "host": "Host", "domain": "VM", "pool": "Pool", "volume": "Volume", "network": "Network",
        "interface": "Interface", "npvirt": "",
    }.get(kind, kind.capitalize())  # fmt: skip
    where = f" on {host}" if host and kind != "host" else ""
    return f"{noun} {name}{where}".strip()
