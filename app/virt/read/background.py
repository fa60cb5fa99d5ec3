"""A thread with a writable session of its own, for what must never delay a scan.

Owns the life of that session: opened when there is work, dropped when it is lost or idle, with a
pause before it is tried again. What is done in it is the business of whoever submits work.
"""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from app import clock
from app.errors import NpvirtError, VirtError

if TYPE_CHECKING:
    from app.virt.session import Session

log = logging.getLogger(__name__)

_PAUSE_S = 30.0
_IDLE_S = 90.0
# What still opens a connection then ends by itself when it notices.
_JOIN_S = 1.0


def connection_of(session: "Session") -> Any:
    """The session's libvirt connection; raises VirtError when it was closed meanwhile."""
    connection = session.connection
    if connection is None:
        raise VirtError("unreachable", "The connection was closed.")
    return connection


class Background:
    """Runs the newest submitted work in a daemon thread, one at a time."""

    def __init__(self, name: str, open_session: "Callable[[], Session]", deadline_s: float) -> None:
        self._name = name
        self._open = open_session
        self._deadline_s = deadline_s
        self._changed = threading.Condition()
        self._work: Callable[[Session], None] | None = None
        self._session: Session | None = None
        self._thread: threading.Thread | None = None
        self._not_before_s = 0.0
        self._closed = False
        self._refusal: str | None = None

    @property
    def refusal(self) -> str | None:
        """Why the host refuses a writable connection, None when it does not."""
        return self._refusal

    def submit(self, work: "Callable[[Session], None]") -> None:
        """Have `work` done with the writable session soon; replaces work that still waits."""
        with self._changed:
            if self._closed or clock.monotonic_s() < self._not_before_s:
                return
            self._work = work
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def cut(self) -> None:
        """Cut the session that is open, if one is, since its host is reached anew: what hangs on it
        ends at once, and what comes next opens another. Waits for nothing.
        """
        with self._changed:
            if self._session is not None:
                self._session.cut()

    def close(self) -> None:
        """End the thread and its session; a call that hangs is cut off."""
        with self._changed:
            self._closed = True
            self._work = None
            # Taken away inside the lock, so that the thread does not close it a second time.
            session, self._session = self._session, None
            thread = self._thread
            self._changed.notify()
        if session is not None:
            session.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work(self._ready())
                self._refusal = None
            except NpvirtError as error:
                # Also what the opener itself may meet, such as a credential that is gone.
                log.debug("%s: %s", self._name, error)
                denied = isinstance(error, VirtError) and error.failure == "denied"
                self._drop(str(error) if denied else None)
            except Exception:
                # The thread must survive whatever one host provokes; the log keeps the traceback.
                log.exception("%s failed for a reason npvirt did not foresee", self._name)
                self._drop(None)

    def _next(self) -> "Callable[[Session], None] | None":
        """The work that waits, or comes within a while; None ends the thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._work is not None, _IDLE_S)
            work, self._work = self._work, None
            if work is not None and not self._closed:
                return work
            # Given up inside the lock: from here on another thread may take over.
            self._thread = None
            session, self._session = self._session, None
        if session is not None:
            session.close()
        return None

    def _ready(self) -> "Session":
        session = self._session
        if session is not None and session.alive:
            return session
        self._release()
        session = self._open()
        session.call_deadline_s = self._deadline_s
        with self._changed:
            if not self._closed:
                self._session = session
                return session
        session.close()
        raise VirtError("unreachable", "The connection is being closed.")

    def _drop(self, refusal: str | None) -> None:
        with self._changed:
            self._refusal = refusal
            self._not_before_s = clock.monotonic_s() + _PAUSE_S
            if refusal is not None:
                # It would be refused as well, or find nothing to do and seem to have succeeded.
                self._work = None
        self._release()

    def _release(self) -> None:
        with self._changed:
            session, self._session = self._session, None
        if session is not None:
            session.close()
