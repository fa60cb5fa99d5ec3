"""What a look at a host found that is not as it is remembered: what is new, differs, or is gone.

Pure: facts against facts, by identity first, so that a scan that saw nothing new costs little. A
list that was not read closes nothing; what belongs to something goes with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b

import msgspec
from msgspec import Struct

from app.inventory import Definition, Fact, KindName, PartialLook, Scan

HOST_KEY = "host"
# A device comes and goes with its domain, of which it is told.
UNTOLD: frozenset[KindName] = frozenset(("device",))
# What comes and goes with something else, by whose key theirs begins.
_OWNERS: Mapping[KindName, KindName] = {
    "definition": "domain", "device": "domain", "volume": "pool",
}  # fmt: skip


class Open(Struct):
    """An open revision: its entity, its row and what is remembered of the fact it holds."""

    entity_id: int
    revision_id: int
    fact: Fact | bytes


class Changes(Struct):
    """What a scan changes: facts that are new or differ, and keys that are gone."""

    seen: list[tuple[KindName, str, Fact]]
    gone: list[tuple[KindName, str]]

    @property
    def kinds(self) -> frozenset[KindName]:
        """The kinds of what changed."""
        return frozenset([one[0] for one in self.seen] + [one[0] for one in self.gone])

    @property
    def count(self) -> int:
        """How many things changed, untold ones left out."""
        return sum(kind not in UNTOLD for kind, *_ in (*self.seen, *self.gone))


# The open revisions by kind and key.
Remembered = Mapping[KindName, Mapping[str, Open]]


_NONE: Mapping[KindName, Mapping[str, Fact]] = {}


def changes_of_scan(
    scan: Scan, known: Remembered, settled: Mapping[KindName, Mapping[str, Fact]] = _NONE
) -> Changes:
    """What a scan changes. `settled`: lists that were found to be what is remembered; the very
    same ones are still so.
    """
    changes = Changes([], [])
    for kind, facts in lists(scan):
        if settled.get(kind) is facts:
            continue
        _compare(kind, facts, known[kind], changes)
        if len(known[kind]) > len(facts) - _count_new(facts, known[kind]):
            changes.gone.extend((kind, key) for key in known[kind] if key not in facts)
    # A domain may have gone between its list and its definition.
    there = scan.domains if scan.domains is not None else known["domain"]
    _compare(
        "definition",
        {k: v for k, v in scan.definitions.items() if k in there},
        known["definition"],
        changes,
    )
    _volume_changes(scan.volumes, known, changes)
    _follow_owners(known, changes)
    return changes


def changes_of_look(look: PartialLook, known: Remembered) -> Changes:
    """What a look at some objects changes."""
    changes = Changes([], [])
    found: tuple[tuple[KindName, Mapping[str, Fact | None]], ...] = (
        ("domain", look.domains), ("pool", look.pools), ("network", look.networks),
    )  # fmt: skip
    for kind, facts in found:
        there = {key: fact for key, fact in facts.items() if fact is not None}
        _compare(kind, there, known[kind], changes)
        changes.gone.extend(
            (kind, key) for key, fact in facts.items() if fact is None and key in known[kind]
        )
    _compare("definition", look.definitions, known["definition"], changes)
    _volume_changes(look.volumes, known, changes)
    _follow_owners(known, changes)
    return changes


def _compare(
    kind: KindName, facts: Mapping[str, Fact], known: Mapping[str, Open], changes: Changes
) -> None:
    for key, fact in facts.items():
        before = known.get(key)
        if before is None or (before.fact is not fact and before.fact != remembered(fact)):
            changes.seen.append((kind, key, fact))


def _volume_changes(
    found: Mapping[str, Mapping[str, Fact]], known: Remembered, changes: Changes
) -> None:
    for pool_uuid, volumes in found.items():
        facts = {volume_key(pool_uuid, name): fact for name, fact in volumes.items()}
        _compare("volume", facts, known["volume"], changes)
        prefix = volume_key(pool_uuid, "")
        changes.gone.extend(
            ("volume", key)
            for key in known["volume"]
            if key.startswith(prefix) and key not in facts
        )


def _follow_owners(known: Remembered, changes: Changes) -> None:
    """A domain takes its definition along, a pool its volumes."""
    domains = {key for kind, key in changes.gone if kind == "domain"}
    changes.gone.extend(("definition", key) for key in domains & known["definition"].keys())
    pools = {key for kind, key in changes.gone if kind == "pool"}
    if pools:
        changes.gone.extend(
            ("volume", key) for key in known["volume"] if key.split("/", 1)[0] in pools
        )


def remembered(fact: Fact) -> Fact | bytes:
    """The fact itself; of a definition, whose XML is large and rarely read, only its digest."""
    if isinstance(fact, Definition):
        return blake2b(msgspec.json.encode(fact), digest_size=16).digest()
    return fact


def without(changes: Changes, newer: frozenset[tuple[str, str]]) -> Changes:
    """The changes of everything else."""

    def is_other(kind: KindName, key: str) -> bool:
        owner, *_ = key.split("/", 1)
        return (_OWNERS.get(kind, kind), owner) not in newer

    return Changes(
        [one for one in changes.seen if is_other(one[0], one[1])],
        [one for one in changes.gone if is_other(*one)],
    )


def volume_key(pool_uuid: str, name: str) -> str:
    """A volume's key in the store."""
    return f"{pool_uuid}/{name}"


def lists(scan: Scan) -> Iterator[tuple[KindName, Mapping[str, Fact]]]:
    """The kinds that the scan lists whole, with what it found of each."""
    if scan.host is not None:
        yield "host", {HOST_KEY: scan.host}
    if scan.domains is not None:
        yield "domain", scan.domains
    if scan.pools is not None:
        yield "pool", scan.pools
    if scan.networks is not None:
        yield "network", scan.networks
    if scan.interfaces is not None:
        yield "interface", scan.interfaces
    if scan.devices is not None:
        yield "device", scan.devices


def _count_new(facts: Iterable[str], known: Mapping[str, Open]) -> int:
    return sum(key not in known for key in facts)
