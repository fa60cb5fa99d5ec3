"""Slows down who guesses passwords: per account and per address of the asker.

After five wrong tries each further one must wait, twice as long every time, a minute at most. In
memory alone: a restart forgives. Pure but for a lock; is handed the time.
"""

import threading
from collections import OrderedDict

_FREE_TRIES = 5
_LONGEST_S = 60.0
_FORGET_S = 900.0
_KEPT = 10_000


class Slowdown:
    """Wrong tries by key; bounded, the longest untouched go first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, keys: tuple[str, ...], now_s: float) -> float:
        """How long the next try of any of these must wait; 0 for not at all."""
        with self._lock:
            return max(self._wait_s(key, now_s) for key in keys)

    def wrong(self, keys: tuple[str, ...], now_s: float) -> None:
        """Count a wrong try."""
        with self._lock:
            for key in keys:
                count, last_s = self._wrong.pop(key, (0, now_s))
                if now_s - last_s > _FORGET_S:
                    count = 0
                self._wrong[key] = (count + 1, now_s)
            while len(self._wrong) > _KEPT:
                self._wrong.popitem(last=False)

    def right(self, key: str) -> None:
        """Forget the wrong tries of an account that signed in."""
        with self._lock:
            self._wrong.pop(key, None)

    def _wait_s(self, key: str, now_s: float) -> float:
        count, last_s = self._wrong.get(key, (0, 0.0))
        if count < _FREE_TRIES:
            return 0.0
        pause_s = min(_LONGEST_S, 2.0 ** (count - _FREE_TRIES))
        return max(0.0, last_s + pause_s - now_s)
