"""What is so right now, of what rules may be about: one function for each kind of condition.

Pure, over one fleet. What is not known is neither so nor not so: an alert stays as it is then.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import Struct

from app.clock import MINUTE_MS
from app.inventory import Domain, Pool, PoolSample
from app.notification.values import Rule, RuleKind
from app.notifier.filling import Filling
from app.sizes import size
from app.store.views import Fleet, HostView, Seen

# An alert ends this much below its threshold: what hovers around it is told once.
_FULL_LESS_PERCENT = 2
_FILLING_MORE_DAYS = 1.25


class Thing(NamedTuple):
    """What a condition is of: a host or an object on it."""

    host_id: int
    kind: str
    key: str


class State(Struct, frozen=True):
    """How a thing stands: whether the condition is so, None where that is not known. `title` and
    `text` say it either way; `since_ms`: since when, as far as is known.
    """

    host: str
    name: str
    holds: bool | None
    title: str = ""
    text: str = ""
    since_ms: int | None = None


class Seeing(Struct, frozen=True):
    """What conditions are found in. `tried` are the hosts (ids) at which was looked since somebody
    sees to this; `partial_since` tells of hosts since when parts are missing, `fillings` when pools
    (by entity) will be full; `said` are the things of which an alert is open.
    """

    fleet: Fleet
    now_ms: int
    tried: Collection[int]
    partial_since: Mapping[int, int]
    fillings: Mapping[int, Filling]
    said: Collection[Thing] = frozenset()


States = Iterator[tuple[Thing, State]]


def states(rule: Rule, seeing: Seeing) -> dict[Thing, State]:
    """How everything stands that the rule is about; what is not in it is not there any more."""
    find = _FINDERS[rule.kind]
    return {
        thing: state
        for thing, state in find(rule, seeing)
        if rule.is_about(state.host, thing.kind, state.name)
    }


def _hosts(seeing: Seeing) -> Iterator[tuple[Thing, HostView]]:
    """The hosts that are looked at."""
    for view in seeing.fleet.hosts:
        if view.record.enabled:
            yield Thing(view.record.id, "host", "host"), view


def _host_unknown(rule: Rule, seeing: Seeing) -> States:
    for thing, view in _hosts(seeing):
        status, slug = view.status, view.slug
        since_ms = status.unknown_since_ms
        if status.known:
            yield thing, State(slug, slug, False, f"Host {slug} answers again")
        elif not status.failures or since_ms is None or thing.host_id not in seeing.tried:
            # Nobody has looked: that npvirt did not run, or a clock leapt, is no host's fault.
            yield thing, State(slug, slug, None)
        else:
            long_ms = seeing.now_ms - since_ms
            holds = True if long_ms >= (rule.threshold or 0) * MINUTE_MS else None
            text = f"{status.sentence or 'It does not answer.'} Its VMs may well be running."
            title = f"Host {slug} is unknown for {_minutes(long_ms)}"
            yield thing, State(slug, slug, holds, title, text, since_ms)


def _host_partial(rule: Rule, seeing: Seeing) -> States:
    for thing, view in _hosts(seeing):
        status, slug = view.status, view.slug
        since_ms = seeing.partial_since.get(thing.host_id)
        if not status.known:
            yield thing, State(slug, slug, None)
        elif not status.missing or since_ms is None:
            yield thing, State(slug, slug, False, f"Host {slug} is read in whole again")
        else:
            long_ms = seeing.now_ms - since_ms
            holds = True if long_ms >= (rule.threshold or 0) * MINUTE_MS else None
            parts = ", ".join(missing.part for missing in status.missing)
            text = f"Missing: {parts}. {status.missing[0].reason}"
            title = f"Host {slug} is read in part for {_minutes(long_ms)}"
            yield thing, State(slug, slug, holds, title, text, since_ms)


def _pool_full(rule: Rule, seeing: Seeing) -> States:
    for thing, seen, sample in _pools(seeing):
        name = f"Pool {seen.fact.name} on {seen.host}"
        if sample is None:
            yield thing, State(seen.host, seen.fact.name, None)
            continue
        allocation, capacity = sample
        percent, limit = 100 * allocation / capacity, rule.threshold or 100
        less = _FULL_LESS_PERCENT if thing in seeing.said else 0
        holds = percent >= limit - less
        title = f"{name} is {'' if holds else 'down to '}{percent:.0f} % full"
        text = f"{size(max(0, capacity - allocation))} of {size(capacity)} are left."
        yield thing, State(seen.host, seen.fact.name, holds, title, text)


def _pool_filling(rule: Rule, seeing: Seeing) -> States:
    for thing, seen, sample in _pools(seeing):
        name, found = f"Pool {seen.fact.name} on {seen.host}", seeing.fillings.get(seen.entity_id)
        if sample is None or found is None:
            yield thing, State(seen.host, seen.fact.name, None)
            continue
        limit = float(rule.threshold or 0)
        if thing in seeing.said:
            limit *= _FILLING_MORE_DAYS
        left = found.days_left
        if left is None or left > limit:
            title = f"{name} is no longer full within {rule.threshold} days"
            yield thing, State(seen.host, seen.fact.name, False, title)
            continue
        title = f"{name} is full in about {left:.0f} day{'' if round(left) == 1 else 's'}"
        left_size = size(max(0, sample[1] - sample[0]))
        text = f"{left_size} are left; foretold from {found.days_seen} days."
        text = " ".join((text, *_within(found)))
        yield thing, State(seen.host, seen.fact.name, True, title, text)


def _within(found: Filling) -> Iterator[str]:
    """How fast it fills, and between which days it is full, as far as the two differ."""
    if found.bytes_per_day > 0:
        yield f"It grows by {size(round(found.bytes_per_day))} a day."
    early = round(found.early_days or 0)
    if found.late_days is None:
        yield f"With 80 % that is not before {early} days, and perhaps much later."
    elif round(found.late_days) != early:
        yield f"With 80 % that is in {early} to {found.late_days:.0f} days."


def _pools(
    seeing: Seeing,
) -> Iterator[tuple[Thing, Seen[Pool, PoolSample], tuple[int, int] | None]]:
    """Pools with their allocation and capacity; None where these are not known."""
    ids = {view.slug: view.record.id for view in seeing.fleet.hosts}
    for seen in seeing.fleet.pools:
        sample = seen.sample if seen.known else None
        sizes = None
        if sample is not None and sample.allocation_bytes is not None and sample.capacity_bytes:
            sizes = (sample.allocation_bytes, sample.capacity_bytes)
        yield Thing(ids[seen.host], "pool", seen.key), seen, sizes


def _domain_crashed(rule: Rule, seeing: Seeing) -> States:
    reason = {"panicked": "Its guest panicked.", "crashed": "Its QEMU ended by itself."}
    return _domains(seeing, is_crashed, "crashed", "is no longer crashed", reason)


def _domain_io_error(rule: Rule, seeing: Seeing) -> States:
    reason = {"io-error": "A disk returned an error; often its pool is full."}
    says = "is paused on an I/O error"
    return _domains(seeing, is_paused_on_io_error, says, "is no longer paused", reason)


def _domains(
    seeing: Seeing,
    holds: Callable[[Domain], bool],
    says: str,
    says_ended: str,
    reasons: Mapping[str, str],
) -> States:
    ids = {view.slug: view.record.id for view in seeing.fleet.hosts}
    for seen in seeing.fleet.domains:
        domain = seen.fact
        thing = Thing(ids[seen.host], "domain", seen.key)
        name = f"VM {domain.name} on {seen.host}"
        if not seen.known or domain.damaged is not None:
            yield thing, State(seen.host, domain.name, None)
        elif holds(domain):
            text = reasons.get(domain.state_reason or "", "")
            title = f"{name} {says}"
            yield thing, State(seen.host, domain.name, True, title, text, seen.valid_from_ms)
        else:
            text = f"It is {domain.state} now."
            yield thing, State(seen.host, domain.name, False, f"{name} {says_ended}", text)


def is_crashed(domain: Domain) -> bool:
    """Whether a domain crashed and is still as it was left: as the list of changes counts it."""
    return domain.state == "crashed" or (
        domain.state in ("shutoff", "paused") and domain.state_reason == "crashed"
    )


def is_paused_on_io_error(domain: Domain) -> bool:
    """Whether a domain is paused because a disk returned an error."""
    return domain.state == "paused" and domain.state_reason == "io-error"


def _minutes(long_ms: int) -> str:
    minutes = long_ms // MINUTE_MS
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours else f"{minutes} min"


_FINDERS: Mapping[RuleKind, Callable[[Rule, Seeing], Any]] = {
    "host-unknown": _host_unknown, "host-partial": _host_partial, "pool-full": _pool_full,
    "pool-filling": _pool_filling, "domain-crashed": _domain_crashed,
    "domain-io-error": _domain_io_error,
}  # fmt: skip
CONDITIONS = frozenset(_FINDERS)
