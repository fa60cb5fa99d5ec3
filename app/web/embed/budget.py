"""How often something dear may be done for somebody: so many times a minute, by key.

In memory alone, thread-safe and bounded; is handed the time.
"""

import threading
from collections import OrderedDict, deque

_WINDOW_S = 60.0
_KEPT = 1_024


class Budget:
    """At most `most` times within a minute for each key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._spent: OrderedDict[int, deque[float]] = OrderedDict()

    def spend(self, key: int, now_s: float) -> float:
        """Spend one of those of `key`; how long to wait where none is left, 0 for not at all."""
        with self._lock:
            times = self._spent.setdefault(key, deque())
            self._spent.move_to_end(key)
            while times and now_s - times[0] >= _WINDOW_S:
                times.popleft()
            if len(times) >= self._most:
                return times[0] + _WINDOW_S - now_s
            times.append(now_s)
            while len(self._spent) > _KEPT:
                self._spent.popitem(last=False)
            return 0.0
