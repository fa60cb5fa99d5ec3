"""Domains as rows of a table: everything as the text that the template shows.

The same domains make the same rows; nothing is read or written but the rows' own memory.

Flat tuples of strings: hundreds of them are drawn at every change, and each look-up, call or
piece of text in a template would be paid hundreds of times. What follows from a domain's facts
alone is kept, as each language and style has it, for as long as these stay the very same object,
which they do between scans.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from app.inventory import Domain
from app.language import gettext, language
from app.metrics import domain_memory_used_bytes
from app.store.history import Fleet
from app.web.action_buttons import first_of
from app.web.figures import percent, size, size_of
from app.web.flags import is_active
from app.web.format import both_ways, number, port, quiet_reason
from app.web.kinds import DomainSeen
from app.web.locales import Style, style
from app.web.rates import domain_rates
from app.web.sparks import Spark
from app.web.when import When, Zone, since_text
from app.web.words import DOMAIN_LOOKS, look_of

_KEPT = 16_384


class DomainRow(NamedTuple):
    """One row; the template unpacks it in this order. `key` is unique in the fleet, `path` leads
    to the domain. `memory` and `cpu` are whole percent, "" without a meter, "?" hatched.
    """

    key: str
    path: str
    host: str
    name: str
    title: str
    autostart: bool
    snapshot: bool
    managed_save: bool
    transient: bool
    damaged: str
    known: bool
    css: str
    icon: str
    word: str
    small: str
    vcpus: str
    memory: str
    memory_css: str
    memory_text: str
    cpu: str
    disk: str
    net: str
    port: str
    port_title: str
    below: str
    state: str
    act: str
    act_label: str
    act_icon: str
    act_asks: bool
    spark: str
    spark_area: str
    spark_gap: str


class _Still(NamedTuple):
    """What a row shows of a domain's facts, whatever was measured."""

    fact: Domain
    names: tuple[str, str, str, str, str, bool, bool, bool, bool, str]
    look: tuple[str, str, str, str]
    vcpus: str
    size: str
    console: tuple[str, str]
    below: str
    was: str
    act: tuple[str, str, str, str, bool]


_still_kept: dict[tuple[str, str, str, Style], _Still] = {}


def domain_rows(
    seen: Sequence[DomainSeen], fleet: Fleet, zone: Zone, draw: Callable[[DomainSeen], Spark]
) -> list[DomainRow]:
    """The rows of some domains of a fleet; `draw` makes a domain's sparkline."""
    # In words once for each host, and not for each of its domains.
    since = {
        view.slug: since_text(zone.maybe(view.status.unknown_since_ms, fleet.as_of_ms))
        for view in fleet.hosts
    }
    rows = [
        _known(one, draw(one)) if one.known else _unknown(one, since, draw(one)) for one in seen
    ]
    if fleet.shutdowns:
        for place, one in enumerate(seen):
            asked_ms = fleet.shutdowns.get((one.host, one.key))
            if asked_ms is not None and one.known:
                rows[place] = _stopping(rows[place], zone.when(asked_ms, fleet.as_of_ms))
    return rows


def _stopping(row: DomainRow, asked: When) -> DomainRow:
    """The row of a domain that was asked to shut down."""
    css, icon, word = look_of(DOMAIN_LOOKS, "shutdown")
    small = gettext("asked at %(time)s", time=asked.clock)
    return row._replace(css=css, icon=icon, word=word, small=small)


def _still(seen: DomainSeen) -> _Still:
    key = (seen.host, seen.key, language(), style())
    kept = _still_kept.get(key)
    if kept is not None and kept.fact is seen.fact:
        return kept
    if len(_still_kept) >= _KEPT:
        _still_kept.clear()
    made = _still_kept[key] = _make_still(seen)
    return made


def _make_still(seen: DomainSeen) -> _Still:
    domain, host = seen.fact, seen.host
    css, icon, word = look_of(DOMAIN_LOOKS, domain.state)
    vcpus, whole = number(domain.vcpus), size(domain.memory_bytes)
    return _Still(
        domain,
        (
            f"{host}-{seen.key}", f"/hosts/{host}/domains/{seen.key}", host, domain.name,
            domain.title or "", domain.autostart is True, domain.has_snapshot is True,
            domain.managed_save is True, domain.persistent is False, domain.damaged or "",
        ),
        (css, icon, word, quiet_reason(domain.state, domain.state_reason)),
        vcpus,
        whole,
        port(domain.graphics),
        f"{host} · {vcpus} vCPU · {whole}",
        gettext("was %(state)s", state=word.lower()),
        _act(domain.state),
    )  # fmt: skip


def _act(state: str) -> tuple[str, str, str, str, bool]:
    """The state, and the action that its row offers first: name, label, icon, whether it asks."""
    action = first_of("domain", state)
    if action is None:
        return (state, "", "", "", False)
    return (state, action.name, action.label, action.icon, action.asks)


def _known(seen: DomainSeen, drawn: Spark) -> DomainRow:
    still = _still(seen)
    state, act, label, icon, asks = still.act
    rates = domain_rates(seen)
    used, whole = domain_memory_used_bytes(seen.sample), seen.fact.memory_bytes
    filled = percent(used, whole)
    cpu = "" if rates.cpu is None else str(round(100 * min(1.0, rates.cpu)))
    return DomainRow(
        *still.names, True, *still.look, still.vcpus,
        _filled(seen.fact, filled),
        "warn" if filled is not None and filled >= 92 else "mem",
        f"– / {still.size}" if used is None else size_of(used, whole),
        cpu,
        both_ways(rates.disk_read, rates.disk_write), both_ways(rates.net_rx, rates.net_tx),
        *still.console,
        f"{still.below} · CPU {cpu} %" if cpu else still.below,
        state, act, label, icon, asks, *drawn,
    )  # fmt: skip


def _filled(domain: Domain, percent: int | None) -> str:
    """The meter: hatched where something is used and nobody knows how much."""
    if percent is None:
        return "?" if is_active(domain) else ""
    return str(min(percent, 100))


def _unknown(seen: DomainSeen, since: Mapping[str, str], drawn: Spark) -> DomainRow:
    still = _still(seen)
    return DomainRow(
        *still.names, False, "unk", "unk", gettext("Unknown"), since.get(seen.host, ""),
        still.vcpus, "?", "", f"? / {still.size}", "?", "–", "–", "", "",
        f"{still.below} · {still.was}",
        seen.fact.state, "", "", "", False, *drawn,
    )  # fmt: skip
