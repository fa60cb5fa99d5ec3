"""Noticing what others stored: another process on the same store, and the command line.

The process that collects publishes what its scans store itself, at once; here it learns of the
rest. Reads the store and nothing else; whoever owns a thread for it calls `look` now and then,
for as long as anybody listens to the hub.
"""

import threading
from collections.abc import Callable, Collection

from app.collect.live import Hub, live_kinds
from app.errors import StoreError
from app.store.engine import Store
from app.store.news import Mark, committed_since, mark_of


class Noticer:
    """Publishes, at each look, what was committed since the last one."""

    def __init__(self, store: Store, hub: Hub, is_collecting: Callable[[], bool]) -> None:
        self._store = store
        self._hub = hub
        self._is_collecting = is_collecting
        self._lock = threading.Lock()
        self._version: int | None = None
        self._mark: Mark | None = None
        self._collected = False
        # Whether somebody may have listened before there was a mark.
        self._is_behind = False

    def look(self) -> None:
        """Publish what is new; costs nothing but the store's version when nothing is. The first
        look takes the store as it is for known. Raises StoreError, and then the next look tells it:
        after a first one, that anything may have changed.
        """
        with self._lock:
            try:
                self._look()
            except StoreError:
                self._is_behind = self._mark is None
                raise

    def _look(self) -> None:
        collecting = self._is_collecting()
        # Of its own scans this process has told already, to the kind.
        own = collecting and self._collected
        version = self._store.version()
        if self._mark is None:
            self._version, self._mark = version, mark_of(self._store)
            if self._is_behind:
                self._hub.publish_everything()
        elif version != self._version:
            mark, committed = committed_since(self._store, self._mark)
            self._version, self._mark = version, mark
            self._publish(committed.others if own else committed.others | committed.things)
        self._collected = collecting

    def _publish(self, pairs: Collection[tuple[str, str]]) -> None:
        for host in {host for host, _ in pairs}:
            self._hub.publish(host, live_kinds(kind for slug, kind in pairs if slug == host))
