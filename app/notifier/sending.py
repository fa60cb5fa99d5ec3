"""Sending what is due, each target in a thread of its own: one that does not answer holds up no
other, and no scan.

Nothing is sent before it is committed that it is; what came of it is committed after. A try that
certainly failed is made again, later and later, for a day. One that may have arrived is not.
"""

import contextlib
import logging
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from app import clock
from app.clock import HOUR_MS
from app.errors import Conflict, NotFound, StoreError
from app.notification.texts import Context, json_body, mail
from app.notification.values import Event, Message, Target
from app.notifier import webhook
from app.notifier.mail import send
from app.notifier.report_text import report_lines
from app.settings import Settings
from app.store.capacity_reports import get_report
from app.store.demonstration import is_demonstration
from app.store.engine import Store
from app.store.notification_messages import (
    Outcome,
    Taken,
    begin_test,
    conclude,
    get_message,
    recover,
    take,
    targets_due,
)
from app.store.notification_targets import get_target, read_secret

log = logging.getLogger(__name__)

# So much time lies between two messages, so that what happens together is told together.
_BETWEEN_S = 5.0
_FIRST_RETRY_MS = 15_000
_LAST_RETRY_MS = 15 * 60_000
GIVE_UP_MS = 24 * HOUR_MS
# A store that cannot be written is tried again to be told what came of a try.
_STORE_RETRY_S = 2.0
_STOP_WAIT_S = 2.0


class Sender:
    """Sends for one process: the one that collects. Threads may share it."""

    def __init__(self, settings: Settings, store: Store, *, between_s: float = _BETWEEN_S) -> None:
        self._settings = settings
        self._store = store
        self._between_s = between_s
        self._lock = threading.Lock()
        self._threads: dict[int, threading.Thread] = {}
        self._sent_s: dict[int, float] = {}
        self._stopping = threading.Event()

    def begin(self) -> None:
        """Find what was being sent when this or another process ended. Raises StoreError."""
        lost = recover(self._store, clock.now_ms())
        if lost:
            log.warning("Whether %d notification(s) arrived is not known; see the log.", lost)

    def turn(self) -> None:
        """Begin to send what is due; returns at once. Raises StoreError."""
        for target_id in targets_due(self._store, clock.now_ms()):
            with self._lock:
                sent_s = self._sent_s.get(target_id)
                early = sent_s is not None and clock.monotonic_s() - sent_s < self._between_s
                if early or target_id in self._threads or self._stopping.is_set():
                    continue
                name = f"notify-{target_id}"
                thread = threading.Thread(
                    target=self._run, args=(target_id,), name=name, daemon=True
                )
                self._threads[target_id] = thread
                thread.start()

    def stop(self) -> None:
        """Begin nothing more; waits up to two seconds for what is being sent."""
        self._stopping.set()
        until_s = clock.monotonic_s() + _STOP_WAIT_S
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(0.0, until_s - clock.monotonic_s()))

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing is being sent; whether it came to that."""
        until_s = clock.monotonic_s() + timeout_s
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(0.0, until_s - clock.monotonic_s()))
        return not any(thread.is_alive() for thread in threads)

    def _run(self, target_id: int) -> None:
        try:
            taken = take(self._store, target_id, clock.now_ms())
            if taken is not None:
                self._send(taken)
        except StoreError as error:
            log.error("Notifications have to wait: %s", error)
        finally:
            with self._lock:
                self._threads.pop(target_id, None)
                self._sent_s[target_id] = clock.monotonic_s()

    def _send(self, taken: Taken) -> None:
        outcome = deliver(self._settings, self._store, taken.message, taken.events)
        message, now_ms = taken.message, clock.now_ms()
        next_ms = None if outcome.state != "failed" else retry_ms(message, now_ms)
        if outcome.state != "sent":
            then = "not tried again" if next_ms is None else "tried again"
            log.warning("Notification to %s (%s): %s", message.target, then, outcome.sentence)
        while True:
            try:
                conclude(self._store, message, outcome, now_ms, next_ms)
            except StoreError as error:
                log.error("What came of a notification is not written down yet: %s", error)
                if not self._stopping.wait(_STORE_RETRY_S):
                    continue
            return


def retry_ms(message: Message, now_ms: int) -> int | None:
    """When a message that was not taken is tried again, in milliseconds since 1970: after 15 s at
    first, twice as long each time, a quarter of an hour at most, each with a jitter of a fifth.
    None after a day.
    """
    if now_ms - message.made_ms >= GIVE_UP_MS:
        return None
    wait_ms = min(_LAST_RETRY_MS, _FIRST_RETRY_MS << min(message.attempts - 1, 16))
    jitter = random.uniform(0.8, 1.2)  # noqa: S311 (spreads load; guards nothing)
    return now_ms + round(wait_ms * jitter)


def send_test(settings: Settings, store: Store, target_id: int) -> Message:
    """Send a labelled test message now, whatever the hour, and return it with what came of it;
    waits for the answer, some seconds at most. Raises NotFound, Conflict, StoreError.
    """
    target = get_target(store, target_id)
    if is_demonstration(settings.data):
        raise Conflict("This is a demonstration: npvirt sends nothing from it.")
    message = begin_test(store, target, clock.now_ms())
    outcome = deliver(settings, store, message, ())
    conclude(store, message, outcome, clock.now_ms(), None)
    done = get_message(store, message.id)
    return message if done is None else done


def deliver(
    settings: Settings, store: Store, message: Message, events: tuple[Event, ...]
) -> Outcome:
    """Send a message and say what came of it, and how long it took."""
    begun_s = clock.monotonic_s()
    try:
        target = get_target(store, message.target_id)
        outcome = _deliver(settings, store, target, message, events)
    except NotFound as error:
        outcome = Outcome("failed", str(error))
    except StoreError as error:
        outcome = Outcome("failed", f"It was not sent: {error}")
    except Exception:
        # Whatever a receiver provokes: its message must not stay as being sent for ever.
        log.exception("%s: sending failed for a reason npvirt did not foresee", message.target)
        outcome = Outcome("unknown", "npvirt failed while it sent this; its log says why.")
    took_ms = clock.took_ms(begun_s)
    return Outcome(outcome.state, outcome.sentence, outcome.status, outcome.detail, took_ms)


def _deliver(
    settings: Settings, store: Store, target: Target, message: Message, events: tuple[Event, ...]
) -> Outcome:
    context = context_of(settings)
    if target.kind == "mail":
        details = dict(_details(store, events))
        made = mail(message, events, context, settings.smtp_from, target.address, details)
        return send(settings, made, target.address)
    secret = read_secret(Path(settings.data), target.id)
    body = json_body(message, events, context)
    return webhook.post(secret, message.uid, clock.now_ms() // 1000, body)


def _details(store: Store, events: tuple[Event, ...]) -> Iterator[tuple[str, list[str]]]:
    """The reports that events tell of, as text; one that is kept no more stays out."""
    for event in events:
        if event.kind == "report":
            # Retention may have been there since the event.
            with contextlib.suppress(NotFound):
                _, report = get_report(store, event.key, None)
                yield event.uid, report_lines(report)


def context_of(settings: Settings) -> Context:
    """Where npvirt is, as far as it knows, and the zone of its times."""
    address = settings.public_url or f"http://{settings.bind}"
    return Context(address, ZoneInfo(settings.timezone) if settings.timezone else None)
