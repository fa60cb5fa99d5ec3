"""What is read rarely, a little of it at every scan.

Owns which of the slow parts are due. A part that was never read (or failed last time) is due at
once; the others wait for their period and then their turn, longest overdue first, a few per
scan, so that a steady scan makes few calls however much there is. What has waited for three
periods is taken regardless. Reads nothing itself.
"""

from collections.abc import Hashable

_LATE = 3.0


class _Part:
    __slots__ = ("asked", "period_s", "read_s")

    def __init__(self, period_s: float, read_s: float) -> None:
        self.period_s = period_s
        self.read_s = read_s
        self.asked = True


class Rotation:
    """The slow parts of one host by key; `begin` opens a scan, `due` asks and claims."""

    def __init__(self, per_scan: int) -> None:
        self._per_scan = per_scan
        self._parts: dict[Hashable, _Part] = {}
        self._granted: set[Hashable] = set()
        self._now_s = 0.0
        self._everything = False

    def begin(self, now_s: float, *, everything: bool = False) -> None:
        """Open a scan at `now_s` (monotonic); `everything` makes every part due."""
        self._now_s = now_s
        self._everything = everything
        self._parts = {key: part for key, part in self._parts.items() if part.asked}
        for part in self._parts.values():
            part.asked = False
        overdue = sorted(
            ((now_s - part.read_s) / part.period_s, order, key, part)
            for order, (key, part) in enumerate(self._parts.items())
            if now_s - part.read_s >= part.period_s
        )
        overdue.reverse()
        late = {key for ratio, _, key, _ in overdue if ratio >= _LATE}
        self._granted = late | {key for _, _, key, _ in overdue[: self._per_scan]}

    def due(self, key: Hashable, period_s: float, *, now: bool = False) -> bool:
        """Whether the part `key` is to be read in this scan (`now`: in any case); if so it counts
        as read.
        """
        part = self._parts.get(key)
        if part is None:
            self._parts[key] = _Part(period_s, self._now_s)
            return True
        part.asked = True
        if now or self._everything or key in self._granted:
            part.read_s = self._now_s
            return True
        return False

    def failed(self, key: Hashable) -> None:
        """The part `key` could not be read: it is due again at the next scan."""
        self._parts.pop(key, None)

    def clear(self) -> None:
        """Forget what was read; everything is due."""
        self._parts.clear()
