"""What was drawn of late: kept for as long as nobody commits, and however often somebody does for a
couple of seconds. A bounded, thread-safe cache of the latest used; knows nothing of requests.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from msgspec import Struct

from app import clock
from app.web.embed.sending import Drawn

HOLD_S = 2.0
_ENTRIES = 512
_BYTES = 16_000_000


class _Kept(Struct, frozen=True):
    version: int
    made_s: float
    drawn: Drawn


class Drawings:
    """Drawings by key, each with the version of the store that it was made of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, version: int, make: Callable[[], Drawn]) -> Drawn:
        """What `make` returned for `key` at that version, or HOLD_S ago at most. Two threads may
        both make it; that costs time, not truth.
        """
        now_s = clock.monotonic_s()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and (kept.version == version or now_s - kept.made_s < HOLD_S):
                self._kept.move_to_end(key)
                return kept.drawn
        drawn = make()
        with self._lock:
            self._forget(key)
            self._kept[key] = _Kept(version, now_s, drawn)
            self._bytes += drawn.size_bytes
            while len(self._kept) > 1 and (len(self._kept) > _ENTRIES or self._bytes > _BYTES):
                self._forget(next(iter(self._kept)))
        return drawn

    def _forget(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.drawn.size_bytes
