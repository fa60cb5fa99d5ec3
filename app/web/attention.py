"""What needs a person's attention, worst first. Pure; a list of what is wrong, not a log."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.inventory import Pool, PoolSample
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
            yield Item(
                "partial", "warn", "warn", host.slug, "was read in part",
                f"Missing: {parts}. {reason}", f"/hosts/{host.slug}", "", None,
            )  # fmt: skip


def _silent(host: HostView, domains: int, fleet: Fleet, zone: Zone) -> Item:
    since = zone.maybe(host.status.unknown_since_ms, fleet.as_of_ms)
    sentence = host.status.sentence or "It does not answer."
    vms = f" Its {domains} VMs may well be running; npvirt just cannot see them." if domains else ""
    verb = f"unknown since {since.short}" if since else "has not answered yet"
    return Item(
        "unknown", "unk", "unk", host.slug, verb, sentence + vms, f"/hosts/{host.slug}", host.slug,
        since,
    )  # fmt: skip


def _domains(fleet: Fleet, zone: Zone) -> Iterator[Item]:
    for seen in fleet.domains:
        domain = seen.fact
        if not seen.known:
            continue
        address = f"/hosts/{seen.host}/domains/{domain.uuid}"
        since = zone.when(seen.valid_from_ms, fleet.as_of_ms)
        if domain.state == "crashed":
            reason = " · guest panicked" if domain.state_reason == "panicked" else ""
            yield Item(
                "crashed", "bad", "crash", domain.name, "crashed", f"on {seen.host}{reason}",
                address, "", since,
            )  # fmt: skip
        elif domain.state == "paused" and domain.state_reason == "io-error":
            yield Item(
                "paused", "warn", "pause", domain.name, "paused: I/O error",
                f"on {seen.host} · a disk returned an error; often its pool is full",
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
            f"is {pool.state}",
            f"on {seen.host}",
            address,
            "",
            since,
        )
    filled = percent(sample.allocation_bytes, sample.capacity_bytes) if sample else None
    grade = warning(filled)
    if not grade:
        return None
    kind = "full" if grade == "bad" else "filling"
    return Item(
        kind, grade, "disk", pool.name, f"is {filled} % full", f"on {seen.host}", address, "", None
    )
