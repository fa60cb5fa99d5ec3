"""The look at all of the store: once a day, and where damage was met whether it still is there.

Its work is done in slices by app/collect/upkeep, beside the scans. What it finds is the store's
trouble, for every page, until a later look finds nothing.
"""

import logging
from collections.abc import Callable

from app import clock
from app.clock import DAY_MS
from app.store.engine import Store
from app.store.faults import Trouble
from app.store.looked_after import LookedAfter, last_time, note
from app.store.slices import Sliced
from app.store.verify import Verified, Verifier

log = logging.getLogger(__name__)

_DAMAGE_EVERY_S = 600.0

# Works in slices until it is done (True) or has to be left.
Work = Callable[[Sliced], bool]


class Soundness:
    """Looks at a store; one thread at a time may use it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._daily = Verifier(store)
        self._again = Verifier(store)
        # None: not read yet, or not begun.
        self._looked_ms: int | None = None
        self._began_ms: int | None = None
        self._damage: Trouble | None = None
        self._damage_s = 0.0

    def again(self, work: Work) -> None:
        """Where damage was met, look whether it is gone: at once, and then every ten minutes.
        Raises StoreError.
        """
        damage = self._store.troubles.damage
        if damage is None or not self._is_due(damage):
            return
        if work(self._again) and not self._again.found.wrong:
            self._store.troubles.found_sound()

    def _is_due(self, damage: Trouble) -> bool:
        now_s = clock.monotonic_s()
        if damage is self._damage and now_s - self._damage_s < _DAMAGE_EVERY_S:
            return False
        self._damage, self._damage_s = damage, now_s
        return True

    def daily(self, work: Work) -> None:
        """Once a day look whether all is as it was written, and write down that it was looked.
        Raises StoreError.
        """
        now_ms = clock.now_ms()
        if self._looked_ms is None:
            done = last_time(self._store, "verified")
            self._looked_ms = 0 if done is None else done.at_ms
        # A clock that was put back must not put it off for long.
        if abs(now_ms - self._looked_ms) < DAY_MS:
            return
        if self._began_ms is None:
            self._began_ms = now_ms
        if not work(self._daily):
            return
        began_ms, self._began_ms = self._began_ms, None
        self._looked_ms = now_ms
        self._conclude(self._daily.found, began_ms, max(0, now_ms - began_ms))

    def _conclude(self, found: Verified, began_ms: int, took_ms: int) -> None:
        sentence = None
        if found.wrong:
            is_not = "one thing in it is" if found.count == 1 else f"{found.count} things in it are"
            sentence = f"The store is damaged: {is_not} not as written."
            for wrong in found.wrong:
                log.error("%s", wrong)
            self._store.troubles.found_damage(sentence)
        else:
            self._store.troubles.found_sound()
        done = LookedAfter(began_ms, took_ms, not found.wrong, found.rows, sentence)
        note(self._store, "verified", done)
