"""libvirt's events: the loop that brings them, and what a connection is asked to tell.

Owns the one event loop of the process and the callbacks of each connection. Callbacks run in the
loop's thread and make no libvirt call: they turn an event into a value and hand it on. What is
done about it is not decided here.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import libvirt

from app import clock
from app.errors import VirtError
from app.inventory import Told, ToldKind, What
from app.virt.registration import register

if TYPE_CHECKING:
    from app.virt.session import Session

log = logging.getLogger(__name__)

_DEFINED = (libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED)
_DOMAIN_EVENTS: Mapping[int, What] = {
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE: "agent",
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED: "devices",
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: "devices",
    libvirt.VIR_DOMAIN_EVENT_ID_DISK_CHANGE: "devices",
    libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE: "devices",
    # A job that pivots puts a disk onto another file, and tells of that in no other way.
    libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2: "devices",
    libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE: "memory",
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE: "metadata",
}
# Of pools, networks and secrets alike: 0 defined, 1 undefined, and started, stopped.
_RUN = (libvirt.VIR_NETWORK_EVENT_STARTED, libvirt.VIR_NETWORK_EVENT_STOPPED)

Tell = Callable[[Told], None]


class _Loop:
    """libvirt's default event loop in one daemon thread; lives as long as the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        with self._lock:
            if self._thread is None:
                libvirt.virEventRegisterDefaultImpl()
                self._thread = threading.Thread(
                    target=self._run, name="libvirt-events", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            try:
                libvirt.virEventRunDefaultImpl()
            except libvirt.libvirtError as error:
                # Without a pause an error that stays would keep a core busy.
                log.error("libvirt's event loop: %s", error)
                pause.wait(1.0)

    def forget(self) -> None:
        """In a forked child no event arrives, whatever is done there."""
        self._lock = threading.Lock()
        self._thread = None


_loop = _Loop()
os.register_at_fork(after_in_child=_loop.forget)


def start_loop() -> None:
    """Have libvirt's events arrive in this process from now on, on connections that are opened
    afterwards. To be called where hosts are looked at, after any fork; a second call does nothing.
    """
    _loop.start()


class Subscription:
    """What one connection tells; `kinds` are those of which it tells what comes and goes."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self.kinds: frozenset[ToldKind] = frozenset()
        self.closed = False

    def close(self) -> None:
        """Tell nothing any more; to be called when the way to the host is cut, so that nothing
        waits for it.
        """
        self.closed = True
        while self._undo:
            # libvirt forgets its side of it, and then complains that the host was not told.
            with suppress(libvirt.libvirtError):
                self._undo.pop()()

    def _later(self, undo: Callable[[], None]) -> None:
        self._undo.append(undo)


def subscribe(session: "Session", tell: Tell, lost: Callable[[str], None]) -> Subscription | None:
    """Have `tell` called with each event of the session's host, in the loop's thread, and `lost`
    with the reason when its connection breaks, in the relay's; neither thread is to be held up.
    What the driver does not have is left out; None where no loop runs. Raises VirtError when the
    host is lost.
    """
    if not _loop.runs:
        return None
    subscription = Subscription()
    session.subscription = subscription
    _watch_over(session, subscription, lost)
    kinds: set[ToldKind] = set()
    for kind, events in _wanted(subscription, tell):
        for number, callback in events:
            undo = _ask(session, kind, number, callback)
            if undo is None:
                continue
            subscription._later(undo)
            # Each kind's own lifecycle is its number 0.
            kinds |= {kind} if number == 0 else set()
    subscription.kinds = frozenset(kinds)
    return subscription


def _watch_over(
    session: "Session", subscription: Subscription, lost: Callable[[str], None]
) -> None:
    """Be told of the connection's end, by npvirt's own relay. libvirt's close callback is not used:
    where a thread closes a connection while the loop's thread tells of its end and waits for its
    turn to run Python, libvirt (seen with 9.0) gives the callback's data back twice, and what came
    to stand in that memory is destroyed. Nor is its keepalive: a call that it wakes leaves a source
    behind on a stack that is gone (CVE-2024-4418, in libvirt before 10.4), and a later call crashes
    the process. app/collect/worker.py asks now and then instead.
    """

    def ended() -> None:
        if not subscription.closed:
            lost("the way to the host ended")

    session.tell_end(ended)


def _wanted(
    subscription: Subscription, tell: Tell
) -> Iterator[tuple[ToldKind, list[tuple[int, Callable[..., None]]]]]:
    """By kind: the events with what they are turned into."""

    def told(kind: ToldKind, key: str, what: What) -> None:
        if not subscription.closed:
            tell(Told(kind, key, what, clock.now_ms(), clock.monotonic_s()))

    def lifecycle(kind: ToldKind) -> Callable[..., None]:
        def callback(_connection: Any, one: Any, event: int, _detail: int, _opaque: None) -> None:
            told(kind, one.UUIDString(), "state" if event in _RUN else "definition")

        return callback

    def of_domain(_connection: Any, one: Any, event: int, _detail: int, _opaque: None) -> None:
        told("domain", one.UUIDString(), "definition" if event in _DEFINED else "state")

    def always(kind: ToldKind, what: What) -> Callable[..., None]:
        # Such events have more or fewer details between the object and the opaque value.
        return lambda _connection, one, *_: told(kind, one.UUIDString(), what)

    def of_device(what: What) -> Callable[..., None]:
        return lambda _connection, one, *_: told("node-device", one.name(), what)

    others = [(number, always("domain", what)) for number, what in _DOMAIN_EVENTS.items()]
    yield "domain", [
        (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, of_domain), *others,
    ]  # fmt: skip
    yield "pool", [
        (libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE, lifecycle("pool")),
        (libvirt.VIR_STORAGE_POOL_EVENT_ID_REFRESH, always("pool", "contents")),
    ]  # fmt: skip
    yield "network", [
        (libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, lifecycle("network")),
    ]  # fmt: skip
    yield "secret", [
        (libvirt.VIR_SECRET_EVENT_ID_LIFECYCLE, lifecycle("secret")),
        (libvirt.VIR_SECRET_EVENT_ID_VALUE_CHANGED, always("secret", "value")),
    ]  # fmt: skip
    yield "node-device", [
        (libvirt.VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, of_device("state")),
        (libvirt.VIR_NODE_DEVICE_EVENT_ID_UPDATE, of_device("definition")),
    ]  # fmt: skip


def _ask(
    session: "Session", kind: ToldKind, number: int, callback: Callable[..., None]
) -> Callable[[], None] | None:
    """What takes it back; None where the driver does not have the event."""
    with _lacking():
        return session.call(register, session.connection, kind, number, callback)
    return None


class _lacking(suppress):  # noqa: N801 (used like contextlib's own)
    """Lets pass what a driver lacks or does not permit; other errors go on."""

    def __init__(self) -> None:
        super().__init__(VirtError)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        if isinstance(error, VirtError):
            return error.failure in ("unsupported", "denied", "failed")
        return False
