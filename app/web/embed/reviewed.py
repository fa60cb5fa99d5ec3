"""The capacity review as embeds show it: of a minute ago at most, whoever asks.

A review may take a second, and a page may be looked at by hundreds: here it is done once a minute
for all who see the same hosts, by one thread at a time, and for a token a few times a minute,
however many moments or hosts its pages choose. Kept is what tables and charts tell, not the whole
evidence.
"""

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from flask import Flask, current_app
from msgspec import Struct
from werkzeug.exceptions import TooManyRequests

from app import clock
from app.capacity.growth import Growth
from app.capacity.losses import Loss
from app.capacity.outlook import Outlook
from app.capacity.overcommit import Overcommit
from app.capacity.periods import Period
from app.capacity.reclaim import Finding
from app.language import gettext
from app.web.capacity_review import Asked, Told, asked, review
from app.web.drawing import Drawing
from app.web.embed.budget import Budget
from app.web.embed.parameters import only
from app.web.embed.tables import check_hosts
from app.web.identity import principal

_KEY = "npvirt-embeds-reviewed"
# The parameters of the review that a token may lock.
PARAMETERS = ("by", "owner", "from", "to")
_HOLD_S = 60.0
_KEPT = 16
# Reviews that are made for a token in a minute.
_REVIEWS = 12
# Different reviews that are made or waited for at once, by all tokens together: each holds up a
# thread of the server. Who wants a further one may ask again after a pause.
_WANTED = 4
_PAUSE_S = 5

# The hosts that are seen, and what is asked for.
_Key = tuple[frozenset[int] | None, Asked]


class Reviewed(Struct, frozen=True):
    """What embeds show of a review; of the findings those that nobody dismissed."""

    at_ms: int
    day: int
    period: Period
    outlook: list[Outlook]
    overcommit: list[Overcommit]
    findings: list[Finding]
    growth: list[Growth]
    losses: list[Loss]


class _Reviews:
    """The latest reviews, thread-safe and bounded."""

    def __init__(self) -> None:
        self.budget = Budget(_REVIEWS)
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._kept: OrderedDict[_Key, tuple[float, Reviewed]] = OrderedDict()
        # For whom a review is made or waited for.
        self._wanted: Counter[_Key] = Counter()

    def get(self, key: _Key, make: Callable[[], Reviewed]) -> Reviewed:
        """What `make` returned for `key` a minute ago at most. Who has to make one waits for
        others that do: two at once would take both as long as one after the other. Nobody waits
        for what is kept, nor behind more than a few others: raises TooManyRequests.
        """
        known = self._known(key)
        if known is not None:
            return known
        with self._waiting(key), self._making:
            # Another one may have made it meanwhile.
            known = self._known(key)
            if known is None:
                known = make()
                self._keep(key, known)
            return known

    @contextmanager
    def _waiting(self, key: _Key) -> Iterator[None]:
        """Wait for it, with all who want the same."""
        with self._lock:
            if key not in self._wanted and len(self._wanted) >= _WANTED:
                raise _refusal(_PAUSE_S)
            self._wanted[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._wanted[key] -= 1
                if not self._wanted[key]:
                    del self._wanted[key]

    def _known(self, key: _Key) -> Reviewed | None:
        with self._lock:
            until_s, found = self._kept.get(key, (0.0, None))
        return found if clock.monotonic_s() < until_s else None

    def _keep(self, key: _Key, made: Reviewed) -> None:
        with self._lock:
            self._kept[key] = (clock.monotonic_s() + _HOLD_S, made)
            self._kept.move_to_end(key)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


def attach_reviews(app: Flask) -> None:
    """Give `app` its memory of reviews."""
    app.extensions[_KEY] = _Reviews()


def reviewed(drawing: Drawing) -> Reviewed:
    """The review that a view asks for.

    Raises InvalidField, NotFound, TooManyRequests, StoreError.
    """
    check_hosts(drawing)
    given = {name: text for name in PARAMETERS if (text := only(drawing.arguments, name))}
    wanted = asked(given, drawing.moment)
    who, reviews = principal(), cast(_Reviews, current_app.extensions[_KEY])

    def make() -> Reviewed:
        if who.kind == "embed":
            _spend(reviews.budget, int(who.name))
        return _kept_of(review(wanted))

    return reviews.get((who.host_ids, wanted), make)


def _spend(budget: Budget, token_id: int) -> None:
    wait_s = budget.spend(token_id, clock.monotonic_s())
    if wait_s > 0:
        raise _refusal(math.ceil(wait_s))


def _refusal(seconds: int) -> TooManyRequests:
    text = gettext(
        "So many capacity reviews cannot be made at once. Ask again in %(seconds)s s.",
        seconds=seconds,
    )
    return TooManyRequests(text, retry_after=seconds)


def _kept_of(told: Told) -> Reviewed:
    return Reviewed(
        told.evidence.at_ms, told.evidence.day, told.period, told.outlook, told.overcommit,
        [one for one, dismissal in told.findings if dismissal is None], told.growth, told.losses,
    )  # fmt: skip
