"""Domains as rows of a table: everything as the text that the template shows. Pure.

Flat tuples of strings: three hundred of them are drawn at every change, and each look-up or call
in a template would be paid three hundred times.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.store.history import Fleet
from app.web.figures import size
from app.web.format import both_ways, number, part_of, port, quiet_reason, share
from app.web.kinds import DomainSeen
from app.web.rates import memory_used_bytes, rates
from app.web.when import When, Zone
from app.web.words import DOMAIN_LOOKS


class DomainRow(NamedTuple):
    """One row; the template unpacks it in this order. `memory_percent` is "" where there is no
    meter, "?" where it is hatched; `cpu_percent` likewise.
    """

    host: str
    uuid: str
    name: str
    title: str
    autostart: bool
    snapshot: bool
    managed_save: bool
    transient: bool
    damaged: str
    known: bool
    state_css: str
    state_icon: str
    state_word: str
    state_small: str
    vcpus: str
    memory_percent: str
    memory_css: str
    memory_text: str
    cpu_percent: str
    cpu_text: str
    disk: str
    net: str
    port: str
    port_title: str
    below: str


def domain_rows(seen: Sequence[DomainSeen], fleet: Fleet, zone: Zone) -> list[DomainRow]:
    """The rows of some domains of a fleet."""
    since = {
        view.slug: zone.maybe(view.status.unknown_since_ms, fleet.as_of_ms) for view in fleet.hosts
    }
    return [_known(one) if one.known else _unknown(one, since) for one in seen]


def _known(seen: DomainSeen) -> DomainRow:
    domain = seen.fact
    css, icon, word = DOMAIN_LOOKS[domain.state]
    found = rates(seen)
    used, whole = memory_used_bytes(seen.sample), domain.memory_bytes
    text, filled = part_of(used, whole)
    cpu = share(found.cpu)
    vcpus = number(domain.vcpus)
    console, console_title = port(domain.graphics)
    below = f"{seen.host} · {vcpus} vCPU · {size(whole)}"
    return DomainRow(
        seen.host, seen.key, domain.name, domain.title or "",
        domain.autostart is True, domain.has_snapshot is True, domain.managed_save is True,
        domain.persistent is False, domain.damaged or "",
        True, css, icon, word, quiet_reason(domain.state, domain.state_reason),
        vcpus,
        "" if filled is None else str(filled), "warn" if (filled or 0) >= 92 else "mem", text,
        "" if found.cpu is None else str(round(100 * found.cpu)), cpu,
        both_ways(found.disk_read, found.disk_write), both_ways(found.net_rx, found.net_tx),
        console, console_title,
        below if found.cpu is None else f"{below} · CPU {cpu}",
    )  # fmt: skip


def _unknown(seen: DomainSeen, since: Mapping[str, When | None]) -> DomainRow:
    domain = seen.fact
    when = since.get(seen.host)
    whole = size(domain.memory_bytes)
    vcpus = number(domain.vcpus)
    was = DOMAIN_LOOKS[domain.state].word.lower()
    return DomainRow(
        seen.host, seen.key, domain.name, domain.title or "",
        domain.autostart is True, domain.has_snapshot is True, domain.managed_save is True,
        domain.persistent is False, domain.damaged or "",
        False, "unk", "unk", "Unknown", f"since {when.short}" if when else "",
        vcpus, "?", "", f"? / {whole}", "?", "?", "–", "–", "", "",
        f"{seen.host} · {vcpus} vCPU · {whole} · was {was}",
    )  # fmt: skip
