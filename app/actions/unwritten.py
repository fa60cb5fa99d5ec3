"""Outcomes that the store could not take when they were there: kept, and written once it can.

The intent of such an action is committed, so the audit says that it was done; this adds what came
of it. A process that ends before leaves it as every process does that ends in mid-action: unknown.
"""

import logging
import threading
from collections.abc import Callable

from app.actions.locks import ObjectLock
from app.errors import StoreError

log = logging.getLogger(__name__)

_AGAIN_S = 2.0


class Unwritten:
    """What is to be written, tried again every two seconds by a thread that ends when all is.
    Threads may share it.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[tuple[Callable[[], None], ObjectLock | None]] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    def __len__(self) -> int:
        """How many outcomes wait."""
        return len(self._waiting)

    def add(self, write: Callable[[], None], lock: ObjectLock | None) -> None:
        """Have `write`, which raises StoreError while it cannot, done later; then free `lock`."""
        with self._condition:
            self._waiting.append((write, lock))
        self.go_on()

    def go_on(self) -> None:
        """See to it that a thread writes what waits; called now and then, and returns at once.
        Where none can be started, or one died, the next call has another.
        """
        with self._condition:
            if self._closed or not self._waiting:
                return
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._run, name="npvirt-unwritten", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                log.error("An outcome has to wait until it can have a thread: %s", error)

    def close(self) -> None:
        """Try no more."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed, _AGAIN_S)
                if self._closed or not self._waiting:
                    self._thread = None
                    return
                write, lock = self._waiting[0]
            try:
                write()
            except StoreError as error:
                log.debug("An outcome has to wait: %s", error)
                continue
            with self._condition:
                self._waiting.pop(0)
            if lock is not None:
                lock.release()
