"""One scan in progress: its session, its moment, and what it could not read.

Owns the rule of what a failure means: a host that is lost ends the scan; a driver that lacks a
call leaves that value unknown; anything else leaves the part out and is written down.
"""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from app.errors import VirtError
from app.inventory import Missing
from app.virt.read.rotation import Rotation
from app.virt.xml.values import bounded

if TYPE_CHECKING:
    from app.virt.session import Session

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")

# The daemon serves five requests of one client at a time; one stays free for the other parts.
SIDE_BY_SIDE = 4
_WORTH_A_THREAD = 16
_MOST_MISSING = 50
# So old may a list get for which libvirt vouches.
LIST_PERIOD_S = 300.0


class Look:
    """One scan of one host. Safe to be used by the scan's own helper threads."""

    def __init__(
        self,
        session: "Session",
        rotation: Rotation,
        *,
        at_ms: int,
        now_s: float,
        everything: bool,
        again: Collection[tuple[str, str]] = (),
        vouched: Collection[str] = (),
    ) -> None:
        self.session = session
        # Kept here: a session that somebody closes meanwhile has none any more.
        self.connection = session.connection
        self.rotation = rotation
        self.at_ms = at_ms
        self.now_s = now_s
        self.everything = everything
        self._again = frozenset(again)
        self._vouched = frozenset(vouched)
        self._missing: dict[str, list[str]] = {}
        self._beyond: dict[str, int] = {}

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One libvirt call; raises VirtError."""
        return self.session.call(function, *args, **kwargs)

    def again(self, kind: str, key: str | None = None) -> bool:
        """Whether this object, or any of the kind, is to be read anew whatever its turn."""
        if key is not None:
            return (kind, key) in self._again
        return any(one == kind for one, _ in self._again)

    def lists(self, kind: str, listed_s: float) -> bool:
        """Whether what there is of a kind, and in which states, is to be listed in this scan, which
        it last was at `listed_s`: not where libvirt would have told of a change, but now and
        then all the same.
        """
        if self.everything or kind not in self._vouched or self.again(kind):
            return True
        return self.now_s - listed_s >= LIST_PERIOD_S

    def is_lost(self, error: VirtError) -> bool:
        """Whether `error` says that the host as a whole is gone from us."""
        if error.failure == "timeout":
            return not self.session.alive
        return error.failure == "unreachable"

    def attempt(self, part: str, read: Callable[[], T], otherwise: U) -> T | U:
        """What `read` gives, or `otherwise` where it fails; a failure is noted under `part`
        unless the driver just lacks it. Raises VirtError when the host is lost.
        """
        try:
            return read()
        except VirtError as error:
            self.note_error(part, error)
            return otherwise

    def note_error(self, part: str, error: VirtError) -> None:
        """Write down that `part` failed; raises `error` again when the host is lost. What the
        driver lacks, and what has just gone, is no failure.
        """
        if self.is_lost(error):
            raise error
        if error.failure not in ("unsupported", "gone"):
            self.note(part, error.sentence)

    def note(self, part: str, reason: str) -> None:
        """Write down that `part` could not be read, and why."""
        self._missing.setdefault(part, []).append(reason)

    def bounded(self, part: str, value: int | None) -> int | None:
        """`value`, or None (written down) when 63 bits cannot hold it."""
        kept = bounded(value)
        if kept is None and value is not None:
            self.beyond(part, 1)
        return kept

    def beyond(self, part: str, count: int) -> None:
        """Write down that `count` values of `part` were beyond 63 bits."""
        self._beyond[part] = self._beyond.get(part, 0) + count

    def missing(self) -> tuple[Missing, ...]:
        """What could not be read, one entry per part; of very many parts the first, and how many
        more there are, since this is kept with every scan.
        """
        entries = []
        for part, reasons in self._missing.items():
            like = f" (and {len(reasons) - 1} more like it)" if len(reasons) > 1 else ""
            entries.append(Missing(part=part, reason=reasons[0] + like))
        for part, count in self._beyond.items():
            values = "1 value is" if count == 1 else f"{count} values are"
            entries.append(Missing(part=part, reason=f"{values} beyond 2^63-1 and not kept."))
        if len(entries) > _MOST_MISSING:
            more = len(entries) - _MOST_MISSING
            reason = f"{more} more parts could not be read."
            entries[_MOST_MISSING:] = [Missing(part="further parts", reason=reason)]
        return tuple(entries)


def each(read: Callable[[T], U], items: list[T], *, worth: int = _WORTH_A_THREAD) -> list[U]:
    """`read` of every item, in order; many of them (`worth` for each thread) in a few threads
    side by side, since most of the time is spent waiting. The first error is raised when all
    threads have ended.
    """
    threads = min(SIDE_BY_SIDE, len(items) // worth)
    if threads <= 1:
        return [read(item) for item in items]
    shares = [items[start::threads] for start in range(threads)]
    with ThreadPoolExecutor(threads, "npvirt-read") as pool:
        parts = list(pool.map(lambda share: [read(item) for item in share], shares))
    return [parts[index % threads][index // threads] for index in range(len(items))]
