"""What a capacity review tells of one evidence whatever else is asked, judged once and kept.

Kept for as long as the store gives out the very same evidence; each part is judged when it is
first wanted. A reader of some hosts is told of these alone; whether somebody uses a volume is
judged over all hosts, because storage may be shared.
"""

import threading
from collections import OrderedDict
from functools import cached_property

from app.capacity.backtest import LastMonth, last_month
from app.capacity.evidence import Evidence
from app.capacity.losses import Loss, losses
from app.capacity.outlook import Outlook, outlooks
from app.capacity.reclaim import Finding, reclaimable
from app.capacity.rightsizing import larger_than_needed
from app.services import services
from app.store.capacity import evidence
from app.web.moment import Moment
from app.web.scope import seen_fleet

OLDEST_DAYS = 800
_KEPT = 4


class Judged:
    """The evidence of the hosts that a reader may see, and what is judged of it. Two threads may
    both judge a part; that costs time, not truth.
    """

    def __init__(self, whole: Evidence, hosts: frozenset[str]) -> None:
        self.whole = whole
        self.hosts = hosts
        self.evidence = whole.within(hosts)

    @cached_property
    def outlook(self) -> list[Outlook]:
        """What is full when."""
        return outlooks(self.evidence)

    @cached_property
    def findings(self) -> list[Finding]:
        """What could be taken back, what was dismissed among it."""
        found = [*reclaimable(self.whole), *larger_than_needed(self.evidence)]
        return [one for one in found if one.host in self.hosts]

    @cached_property
    def losses(self) -> list[Loss]:
        """What breaks when a host is lost."""
        return losses(self.evidence)

    @cached_property
    def last_month(self) -> list[LastMonth]:
        """How good last month's forecasts were."""
        return last_month(self.evidence)


_lock = threading.Lock()
_judged: OrderedDict[tuple[int, frozenset[str]], Judged] = OrderedDict()


def judged(at: Moment) -> Judged:
    """What is judged as of a moment, for the one who asks. Raises StoreError."""
    whole = evidence(services().store, at.at_ms, days=OLDEST_DAYS)
    hosts = frozenset(view.slug for view in seen_fleet(at.at_ms).hosts)
    key = (id(whole), hosts)
    with _lock:
        found = _judged.get(key)
        if found is None or found.whole is not whole:
            found = _judged[key] = Judged(whole, hosts)
        _judged.move_to_end(key)
        while len(_judged) > _KEPT:
            _judged.popitem(last=False)
    return found
