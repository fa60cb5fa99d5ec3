"""The hub: what changed, for whoever shows it. Kept in memory; asks neither the store nor libvirt.

Who stored something calls `publish` after the commit. Who shows something keeps the number up to
which it knows, and asks what changed since: the answer is the same however many changes there
were, so that a slow reader costs nothing and delays nobody, and nothing is lost between two
looks. `app/collect/noticing.py` publishes what other processes stored.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

# "samples": something was measured; "scan": how the host answered; "audit": something was asked
# of it, or came of that. The others are kinds of things, which came, went or differ.
LIVE_KINDS = (
    "host", "domain", "pool", "volume", "network", "interface", "samples", "scan", "audit"
)  # fmt: skip
# What belongs to a domain is shown with it.
_SHOWN_WITH: Mapping[str, str] = {"definition": "domain", "device": "domain"}

# Hosts times kinds; beyond it the oldest are forgotten, and their readers told of everything.
_MOST = 4096

Wake = Callable[[], None]


class News(Struct, frozen=True):
    """What changed, by host: `everything` instead where that is not known any more. `number` is
    what to ask from next time.
    """

    number: int
    everything: bool
    hosts: Mapping[str, frozenset[str]]

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return self.everything or bool(self.hosts)


class Hub:
    """What changed last, by host and kind. Threads may share it; no method waits but `wait`."""

    def __init__(self, most: int = _MOST) -> None:
        # Tells the numbers of this process from those of the one before it.
        self.epoch = secrets.token_hex(4)
        self._most = most
        self._condition = threading.Condition()
        self._number = 0
        self._forgotten = 0
        self._changed: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._wakes: tuple[Wake, ...] = ()

    @property
    def number(self) -> int:
        """The number of the newest change."""
        return self._number

    @property
    def is_listened_to(self) -> bool:
        """Whether anybody is to be woken by changes."""
        return bool(self._wakes)

    def publish(self, host: str, kinds: frozenset[str]) -> None:
        """Say that `kinds` of host `host` (its slug) changed; after the commit, from any thread."""
        if not kinds:
            return
        with self._condition:
            self._number += 1
            for kind in kinds:
                self._changed[host, kind] = self._number
                self._changed.move_to_end((host, kind))
            while len(self._changed) > self._most:
                _, self._forgotten = self._changed.popitem(last=False)
            self._condition.notify_all()
            wakes = self._wakes
        _call(wakes)

    def publish_everything(self) -> None:
        """Say that anything may have changed."""
        with self._condition:
            self._number += 1
            self._forgotten = self._number
            self._changed.clear()
            self._condition.notify_all()
            wakes = self._wakes
        _call(wakes)

    def news(self, since: int) -> News:
        """What changed after the change number `since`."""
        with self._condition:
            return self._news(since)

    def wait(self, since: int, timeout_s: float) -> News:
        """As `news`, waiting up to `timeout_s` for there to be any."""
        with self._condition:
            self._condition.wait_for(lambda: self._number > since, timeout_s)
            return self._news(since)

    def listen(self, wake: Wake) -> None:
        """Have `wake` called after every change, in the publisher's thread: it must neither wait
        nor fail.
        """
        with self._condition:
            self._wakes = (*self._wakes, wake)

    def unlisten(self, wake: Wake) -> None:
        """Have `wake` called no more."""
        with self._condition:
            self._wakes = tuple(one for one in self._wakes if one != wake)

    def _news(self, since: int) -> News:
        if since < self._forgotten or since > self._number:
            return News(self._number, True, {})
        hosts: dict[str, set[str]] = {}
        for (host, kind), number in reversed(self._changed.items()):
            if number <= since:
                break
            hosts.setdefault(host, set()).add(kind)
        return News(self._number, False, {host: frozenset(kinds) for host, kinds in hosts.items()})


def live_kinds(stored: Iterable[str]) -> frozenset[str]:
    """The kinds of LIVE_KINDS that stand for kinds as they are stored."""
    return frozenset(_SHOWN_WITH.get(kind, kind) for kind in stored)


def _call(wakes: tuple[Wake, ...]) -> None:
    for wake in wakes:
        wake()
