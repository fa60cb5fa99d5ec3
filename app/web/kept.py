"""Rendered bytes that are kept for as long as what they were made from is the very same object.

A bounded, thread-safe cache of the latest used ones; knows nothing of pages or requests.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar, cast

_ENTRIES = 48
_BYTES = 12_000_000


@dataclass(frozen=True)
class Rendered:
    """Bytes and what identifies them. A frame has `pieces`, the bytes around its slots, instead
    of a body.
    """

    body: bytes
    digest: str
    title: str = ""
    pieces: tuple[bytes, ...] = ()

    @property
    def size_bytes(self) -> int:
        """How much memory its text takes."""
        return len(self.body) + sum(map(len, self.pieces))


R = TypeVar("R", bound=Rendered)


class Kept:
    """Renderings by key, each with the object that it was made from."""

    def __init__(self, entries: int = _ENTRIES, size_bytes: int = _BYTES) -> None:
        self._entries = entries
        self._most_bytes = size_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[object, Rendered]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, basis: object, make: Callable[[], R]) -> R:
        """What `make` returned for `key` from the very object `basis`; made now if it is not
        there. Two threads may both make it; that costs time, not truth. For one key it is always of
        the same type.
        """
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept[0] is basis:
                self._kept.move_to_end(key)
                return cast(R, kept[1])
        made = make()
        with self._lock:
            self._forget(key)
            self._kept[key] = (basis, made)
            self._bytes += made.size_bytes
            while len(self._kept) > 1 and self._is_full():
                self._forget(next(iter(self._kept)))
        return made

    def _is_full(self) -> bool:
        return len(self._kept) > self._entries or self._bytes > self._most_bytes

    def _forget(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept[1].size_bytes
