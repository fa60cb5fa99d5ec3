"""Connections that actions use: one action at a time on each, kept open for a minute after.

Opening one can take a third of a second (SSH), which is what a click should take as a whole. A
kept one that turns out dead is replaced before anything is asked of it.
"""

import threading
from pathlib import Path

from app import clock
from app.connection import Connection
from app.errors import VirtError
from app.store.credentials import resolve
from app.store.engine import Store
from app.store.hosts import HostRecord
from app.virt.session import Session

_KEPT_S = 60.0
_OPEN_S = 10.0
_PROBE_S = 3.0

_Key = tuple[int, Connection]


class Sessions:
    """The idle connections, by host and the way to it; thread-safe."""

    def __init__(self, store: Store, data: Path) -> None:
        self._store = store
        self._data = data
        self._lock = threading.Lock()
        self._idle: dict[_Key, list[tuple[float, Session]]] = {}

    def take(self, record: HostRecord) -> Session:
        """A connection that answers, for one action; raises VirtError."""
        while (session := self._pop(record)) is not None:
            session.call_deadline_s = _PROBE_S
            try:
                session.call(session.connection.getLibVersion)
            except VirtError:
                session.close()
                continue
            return session
        return self.open(record)

    def open(self, record: HostRecord) -> Session:
        """A connection of one's own; raises VirtError."""
        endpoint = resolve(self._store, self._data, record.connection)
        return Session.open(endpoint, read_only=False, deadline_s=_OPEN_S)

    def give_back(self, record: HostRecord, session: Session) -> None:
        """Keep the connection for the next action, if it still works."""
        if not session.alive:
            session.close()
            return
        timer = threading.Timer(_KEPT_S + 1, self._close_old)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:
            # No more threads for a moment: nobody would close it.
            session.close()
            return
        with self._lock:
            idle = self._idle.setdefault((record.id, record.connection), [])
            idle.append((clock.monotonic_s(), session))

    def close(self) -> None:
        """Close all that are idle."""
        with self._lock:
            found = [session for idle in self._idle.values() for _, session in idle]
            self._idle.clear()
        for session in found:
            session.close()

    def _pop(self, record: HostRecord) -> Session | None:
        with self._lock:
            idle = self._idle.get((record.id, record.connection))
            return idle.pop()[1] if idle else None

    def _close_old(self) -> None:
        end_s = clock.monotonic_s() - _KEPT_S
        with self._lock:
            old = [
                session for idle in self._idle.values() for at_s, session in idle if at_s < end_s
            ]
            for key, idle in list(self._idle.items()):
                self._idle[key] = [entry for entry in idle if entry[0] >= end_s]
        for session in old:
            session.close()
