"""Has libvirt look again at what lies in its storage pools.

Owns when a pool is refreshed: active pools only, each every quarter of an hour, beside the scans
and with a session and a deadline of its own, since dead network storage can hang it. A pool
whose refresh did not end in time is left alone until the next connection.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from app import clock
from app.errors import VirtError
from app.virt.read.background import Background, connection_of

if TYPE_CHECKING:
    from app.virt.session import Session

REFRESH_PERIOD_S = 15 * 60.0
_DEADLINE_S = 60.0
_QUIET = ("gone", "invalid_state", "unsupported", "denied")


class PoolRefresher:
    """Refreshes the active pools of one host, each in its turn."""

    def __init__(
        self, open_session: "Callable[[], Session]", monotonic_s: Callable[[], float]
    ) -> None:
        self._background = Background("npvirt-refresh", open_session, _DEADLINE_S)
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._wanted: frozenset[str] = frozenset()
        self._tried_s: dict[str, float] = {}
        self._hung: set[str] = set()
        self._refreshed_at_ms: dict[str, int] = {}
        self._failures: dict[str, str] = {}
        # How often the host was given up, to be connected anew.
        self._breaks = 0

    @property
    def refusal(self) -> str | None:
        """Why no pool can be refreshed on this host, None when they can."""
        return self._background.refusal

    def refreshed_at_ms(self) -> Mapping[str, int]:
        """When each pool was last refreshed, wall clock; absent: not yet."""
        with self._lock:
            return self._refreshed_at_ms.copy()

    def failures(self) -> Mapping[str, str]:
        """The sentence of each pool whose last refresh failed."""
        with self._lock:
            return self._failures.copy()

    def want(self, active: frozenset[str]) -> None:
        """Have these pools, and no others, refreshed when their turn comes; returns at once."""
        with self._lock:
            self._wanted = active
            for kept in (self._tried_s, self._refreshed_at_ms, self._failures):
                for uuid in kept.keys() - active:
                    kept.pop(uuid, None)
        if self._due():
            self._background.submit(self._refresh_due)

    def forget(self) -> None:
        """Every pool's turn is now, over another connection, also of those that hung: what fails or
        failed over one that is no more is not said of the next.
        """
        with self._lock:
            self._breaks += 1
            self._tried_s.clear()
            self._hung.clear()
            self._failures.clear()
        self._background.cut()

    def close(self) -> None:
        """End the thread and its session."""
        self._background.close()

    def _due(self) -> list[str]:
        now_s = self._monotonic_s()
        with self._lock:
            return sorted(
                uuid
                for uuid in self._wanted - self._hung
                if now_s - self._tried_s.get(uuid, float("-inf")) >= REFRESH_PERIOD_S
            )

    def _refresh_due(self, session: "Session") -> None:
        for uuid in self._due():
            with self._lock:
                self._tried_s[uuid] = self._monotonic_s()
                breaks = self._breaks
            try:
                pool = session.call(connection_of(session).storagePoolLookupByUUIDString, uuid)
                session.call(pool.refresh, 0)
            except VirtError as error:
                self._failed(uuid, error, breaks, alive=session.alive)
            else:
                self._succeeded(uuid)

    def _succeeded(self, uuid: str) -> None:
        with self._lock:
            self._failures.pop(uuid, None)
            if uuid in self._wanted:
                self._refreshed_at_ms[uuid] = clock.now_ms()

    def _failed(self, uuid: str, error: VirtError, breaks: int, *, alive: bool) -> None:
        with self._lock:
            if breaks != self._breaks or (not alive and error.failure != "timeout"):
                # The way to the host broke meanwhile, which says nothing of the pool.
                self._tried_s.pop(uuid, None)
            else:
                if error.failure not in _QUIET:
                    self._failures[uuid] = error.sentence
                if not alive:
                    self._hung.add(uuid)
        if not alive or error.failure == "denied":
            raise error
