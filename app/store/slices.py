"""Long work in short slices: begun, left and gone on with, so that scans are never kept waiting."""

from collections.abc import Callable, Iterator

from app import clock


class Sliced:
    """Work that yields after each small piece. One at a time may work, for one store."""

    def __init__(self, begin: Callable[[int], Iterator[None]]) -> None:
        self._begin = begin
        self._work: Iterator[None] | None = None
        # That of the present step.
        self.now_ms = 0

    def step(self, now_ms: int, for_s: float = 0.05) -> bool:
        """Work for about `for_s` seconds; whether there is more to do. Raises StoreError, and
        what was begun is begun again at the next call.
        """
        until_s = clock.monotonic_s() + for_s
        self.now_ms = now_ms
        if self._work is None:
            self._work = self._begin(now_ms)
        try:
            for _ in self._work:
                if clock.monotonic_s() >= until_s:
                    return True
        except BaseException:
            self._work = None
            raise
        self._work = None
        return False
