"""One registration of a callback with libvirt, and the life of the data that libvirt is given.

Owns that this data outlives libvirt's use of it. Decides nothing about events.

libvirt gives data back by taking a reference from it. Where a registration fails while an event of
the same connection is being delivered, libvirt gives it back once too often: it only marks the
callback then, and gives its data back after the delivery, though it was told not to
(virObjectEventStateDeregisterID and its `doFreeCb`; seen with 9.0). The binding's own methods keep
no hold of the data, so that what came to stand in its memory would be destroyed. Here it is held by
two references of npvirt's own until the delivery is over.
"""

import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import libvirt
import libvirtmod

from app import clock
from app.inventory import ToldKind

_NAMES: Mapping[ToldKind, str] = {
    "domain": "Domain",
    "pool": "StoragePool",
    "network": "Network",
    "secret": "Secret",
    "node-device": "NodeDevice",
}
# An event is delivered within this, however long its thread waits for its turn.
_DELIVERED_S = 30.0


class _Held:
    """Data for libvirt, held twice: one reference may be taken, and what is left still tells."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = self._again = data
        self.failed_s = 0.0

    def references(self) -> int:
        """How many there are, that of this very question with them."""
        return sys.getrefcount(self.data)


_OURS = _Held({}).references()


class _Failed:
    """What registrations that failed have left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Held] = []
        # One of our references was taken: it can not be given back any more.
        self._spoilt: list[_Held] = []

    def keep(self, held: _Held) -> None:
        """Keep what the registration that just failed was given."""
        held.failed_s = clock.monotonic_s()
        with self._lock:
            self._waiting.append(held)

    def tidy(self) -> None:
        """Let go of what libvirt is through with."""
        if not self._waiting:
            return
        over_s = clock.monotonic_s() - _DELIVERED_S
        with self._lock:
            for held in [one for one in self._waiting if one.failed_s < over_s]:
                references = held.references()
                if references > _OURS:
                    continue
                self._waiting.remove(held)
                if references < _OURS:
                    held.data.clear()
                    self._spoilt.append(held)


_failed = _Failed()


def register(
    connection: Any, kind: ToldKind, number: int, callback: Callable[..., None]
) -> Callable[[], None]:
    """Have `callback` called with each event of that number and kind, as the binding's own
    methods do (connection, object, details, opaque); returns what ends that. Raises libvirtError,
    as does what is returned.
    """
    _failed.tidy()
    held = _Held({"cb": callback, "conn": connection, "opaque": None})
    asked = _call(f"virConnect{_NAMES[kind]}EventRegisterAny", connection, None, number, held.data)
    if asked == -1:
        _failed.keep(held)
        raise libvirt.libvirtError(f"{kind} event {number}: registering failed")

    def end() -> None:
        ended = _call(f"virConnect{_NAMES[kind]}EventDeregisterAny", connection, asked)
        if ended == -1:
            raise libvirt.libvirtError(f"{kind} event {number}: deregistering failed")

    return end


def _call(function: str, connection: Any, *args: Any) -> int:
    answer: int = getattr(libvirtmod, function)(connection._o, *args)
    return answer
