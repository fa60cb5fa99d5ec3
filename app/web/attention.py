"""What needs a person's attention, worst first. Pure; a list of what is wrong, not a log."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.inventory import Pool, PoolSample
from app.language import gettext
from app.store.history import Fleet, HostView, Seen
from app.web.figures import percent, warning
from app.web.host_rows import condition, domain_counts
from app.web.shapes.fleet import Matter
from app.web.when import When, Zone

_MOST = 12


@dataclass(frozen=True)
class Item:
    """One matter: `kind` crashed, unknown, full, paused, pool, or partial; `grade` bad, warn or
    unk. `subject` and `text` may hold names that came from a host.
    """

    kind: str
    grade: str
    icon: str
    subject: str
    verb: str
    text: str
    address: str
    host: str
    since: When | None


@dataclass(frozen=True)
class Attention:
    """The worst matters, and how many there are in all."""

    items: tuple[Item, ...]
    total: int


_ORDER = ("crashed", "unknown", "pool", "full", "paused", "filling", "partial")


def attention(fleet: Fleet, zone: Zone, most: int | None = _MOST) -> Attention:
    """What in the fleet somebody should look at: the `most` urgent matters, or all."""
    found = [*_hosts(fleet, zone), *_domains(fleet, zone), *_pools(fleet, zone)]
    found.sort(key=lambda item: (_ORDER.index(item.kind), item.subject, item.address))
    return Attention(tuple(found[:most]), len(found))


def matter(item: Item) -> Matter:
    """A matter as JSON says it."""
    return {
        "kind": item.kind,
        "grade": item.grade,
        "subject": item.subject,
        "text": f"{item.verb}. {item.text}",
        "url": item.address,
        "since": item.since.iso if item.since else None,
    }


def _hosts(fleet: Fleet, zone: Zone) -> Iterator[Item]:
    counts = domain_counts(fleet)
    for host in fleet.hosts:
        stands = condition(host)
        if stands == "unknown":
            yield _silent(host, counts.get(host.slug, (0, 0))[1], fleet, zone)
        elif stands == "partial":
            parts = ", ".join(missing.part for missing in host.status.missing)
            reason = host.status.missing[0].reason
            text = gettext("Missing: %(parts)s. %(reason)s", parts=parts, reason=reason)
            yield Item(
                "partial", "warn", "warn", host.slug, gettext("was read in part"),
                text,
                f"/hosts/{host.slug}", "", None,
            )  # fmt: skip


def _silent(host: HostView, domains: int, fleet: Fleet, zone: Zone) -> Item:
    since = zone.maybe(host.status.unknown_since_ms, fleet.as_of_ms)
    sentence = host.status.sentence or gettext("It does not answer.")
    if domains:
        sentence = gettext(
            "%(reason)s Its %(count)s VMs may well be running; npvirt just cannot see them.",
            reason=sentence, count=domains,
        )  # fmt: skip
    verb = (
        gettext("unknown since %(time)s", time=since.short)
        if since
        else gettext("has not answered yet")
    )
    return Item(
        "unknown", "unk", "unk", host.slug, verb, sentence, f"/hosts/{host.slug}", host.slug,
        since,
    )  # fmt: skip


def _domains(fleet: Fleet, zone: Zone) -> Iterator[Item]:
    for seen in fleet.domains:
        domain = seen.fact
        if not seen.known:
            continue
        address = f"/hosts/{seen.host}/domains/{domain.uuid}"
        since = zone.when(seen.valid_from_ms, fleet.as_of_ms)
        on = gettext("on %(host)s", host=seen.host)
        if domain.state == "crashed":
            text = on
            if domain.state_reason == "panicked":
                text = f"{on} · {gettext('guest panicked')}"
            yield Item(
                "crashed", "bad", "crash", domain.name, gettext("crashed"), text,
                address, "", since,
            )  # fmt: skip
        elif domain.state == "paused" and domain.state_reason == "io-error":
            full = gettext("a disk returned an error; often its pool is full")
            yield Item(
                "paused", "warn", "pause", domain.name, gettext("paused: I/O error"),
                f"{on} · {full}",
                address, "", since,
            )  # fmt: skip


def _pools(fleet: Fleet, zone: Zone) -> Iterator[Item]:
    for seen in fleet.pools:
        item = _pool(seen, fleet, zone) if seen.known else None
        if item is not None:
            yield item


def _pool(seen: Seen[Pool, PoolSample], fleet: Fleet, zone: Zone) -> Item | None:
    pool, sample = seen.fact, seen.sample
    address = f"/hosts/{seen.host}/pools/{pool.uuid}"
    if pool.state in ("degraded", "inaccessible"):
        since = zone.when(seen.valid_from_ms, fleet.as_of_ms)
        grade, icon = ("warn", "warn") if pool.state == "degraded" else ("bad", "ban")
        return Item(
            "pool",
            grade,
            icon,
            pool.name,
            gettext("is degraded") if pool.state == "degraded" else gettext("is inaccessible"),
            gettext("on %(host)s", host=seen.host),
            address,
            "",
            since,
        )
    filled = percent(sample.allocation_bytes, sample.capacity_bytes) if sample else None
    grade = warning(filled)
    if not grade:
        return None
    kind = "full" if grade == "bad" else "filling"
    verb = gettext("is %(percent)s %% full", percent=filled)
    on = gettext("on %(host)s", host=seen.host)
    return Item(kind, grade, "disk", pool.name, verb, on, address, "", None)
