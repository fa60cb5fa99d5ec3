"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable

# Of a busy machine; who is in time waits no longer.
_PATIENCE_S = 60.0
_PAUSE_S = 0.01


def until(condition: Callable[[], object], seconds: float = _PATIENCE_S) -> None:
    """Wait until `condition` holds; fails the test when it does not in time."""
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(_PAUSE_S)
