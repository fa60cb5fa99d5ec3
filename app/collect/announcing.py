"""What a stored look tells the hub: the kinds that it really changed, of the host that it is of."""

from app.collect.live import Hub, live_kinds
from app.inventory import KindName, Scan
from app.store.record import Recorded


class Announcer:
    """Tells a hub of the scans of one host, one after the other."""

    def __init__(self, hub: Hub, host: str) -> None:
        self._hub = hub
        self._host = host
        self._answered: object = None

    def told(self, seen: Scan, recorded: Recorded) -> None:
        """Take a scan whose rows are committed; returns at once."""
        kinds = live_kinds(recorded.kinds)
        if recorded.measured:
            kinds |= {"samples"}
        before, self._answered = self._answered, (seen.ok, seen.sentence, seen.missing)
        # When a host is tried next is another time with every failure.
        if not seen.ok or before != self._answered:
            kinds |= {"scan"}
        self._hub.publish(self._host, kinds)

    def told_partial(self, changed: frozenset[KindName]) -> None:
        """Take what a look at some objects changed, once it is committed; returns at once."""
        self._hub.publish(self._host, live_kinds(changed))
