"""Where all libvirt calls go through (Session.call), and where proofs have one of them fail.

Errors are npvirt's own typed ones. Judges nothing.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from app.errors import Failure, VirtError
from app.virt.session import Session

# libvirt's method, the object that it was called on, its plain arguments, and which of those calls.
Key = tuple[str, str, str, int]


class Skipping:
    """Whether the choke leaves a call out: what the counting is there to find."""

    on = False


class Choke:
    """Stands in for Session.call: counts the calls, and has one of them fail."""

    def __init__(self) -> None:
        self._real = Session.call
        self._lock = threading.Lock()
        self.seen: Counter[tuple[str, str, str]] = Counter()
        self.failing: Key | None = None
        self.error: Callable[[], VirtError] | None = None
        self.injected = 0

    def begin(self, failing: Key | None = None, kind: str = "") -> None:
        """Count anew; have the call `failing` fail in the way `kind`."""
        self.seen.clear()
        self.failing = failing
        self.error = lambda: _error(kind)
        self.injected = 0

    def keys(self) -> list[Key]:
        """The calls that were seen."""
        return [(*one, nth) for one, count in self.seen.items() for nth in range(1, count + 1)]

    def call(self, session: Session, function: Any, *args: Any, **kwargs: Any) -> Any:
        """As Session.call."""
        one = (function.__name__, _owner(function), _plain(args))
        with self._lock:
            self.seen[one] += 1
            hit = self.failing == (*one, self.seen[one])
            hit = hit and not (Skipping.on and one[0] == "cpu_stats")
            self.injected += hit
        if hit and self.error is not None:
            raise self.error()
        return self._real(session, function, *args, **kwargs)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Every session's calls go through here meanwhile."""

        def call(session: Session, function: Any, *args: Any, **kwargs: Any) -> Any:
            return self.call(session, function, *args, **kwargs)

        with mock.patch.object(Session, "call", call):
            yield


def _error(kind: str) -> VirtError:
    if kind == "bad-text":
        return VirtError("failed", "The host sent text that is not valid UTF-8.", problem=kind)
    failure: Failure = kind  # type: ignore[assignment] # one of Failure's words
    return VirtError(failure, f"Injected: {kind}.")


def _owner(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    name = getattr(owner, "name", None) or getattr(owner, "getName", None)
    return str(name()) if name is not None else ""


def _plain(args: tuple[Any, ...]) -> str:
    return ",".join(str(arg) for arg in args if isinstance(arg, (int, str)))
