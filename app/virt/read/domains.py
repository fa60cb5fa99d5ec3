"""The domains of a host as facts, with their definitions.

Owns when a definition is read (first sight, something about it changed, or a quarter of an hour
is over), and that a domain of which nothing changed stays the very same object from scan to
scan: whoever compares two scans begins with identity.
"""

from collections.abc import Mapping
from typing import NamedTuple

from app.inventory import Definition, Domain
from app.virt.read.agent import Answer, Target
from app.virt.read.domain_facts import (
    MAX_SNAPSHOTS,
    SNAPSHOT,
    TRANSIENT,
    Known,
    Row,
    fact_of,
    take,
    texts_of,
)
from app.virt.read.listing import Flags, Listed
from app.virt.read.look import Look, each
from app.virt.read.snapshot_counts import SnapshotCounts
from app.virt.read.stats import Shape, inactive_shapes
from app.virt.read.storage import Places

DEFINITION_PERIOD_S = 15 * 60.0
INACTIVE_PERIOD_S = 5 * 60.0


class Read(NamedTuple):
    """All domains of a scan, and the definitions that were read in it, by UUID."""

    domains: Mapping[str, Domain]
    definitions: Mapping[str, Definition]


# What the facts are made of besides the definitions: the list, flags, agents' answers, places.
_Inputs = tuple[list[Listed], Flags, Mapping[str, Answer], Places]


class DomainReader:
    """Reads the domains of one host and remembers them between scans."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._last_look_s: float | None = None
        self._inputs: _Inputs | None = None
        self._domains: Mapping[str, Domain] = {}
        # When the definition was read that is the oldest.
        self._oldest_s = 0.0
        self._counts = SnapshotCounts()
        self._targets: tuple[Target, ...] = ()

    def forget(self) -> None:
        """Have every definition read anew; the domains stay the same objects if equal."""
        self._inputs = None
        for known in self._known.values():
            known.read_s = None

    def last(self, uuid: str) -> Known | None:
        """What is remembered of a domain; not to be changed."""
        return self._known.get(uuid)

    def agent_targets(self) -> tuple[Target, ...]:
        """The running domains that have a guest agent's channel, as of the last scan."""
        return self._targets

    def read(
        self,
        look: Look,
        listed: list[Listed],
        flags: Flags,
        shapes: Mapping[str, Shape],
        answers: Mapping[str, Answer],
        places: Places,
    ) -> Read:
        """The facts of all `listed` domains; raises VirtError when the host is lost."""
        shapes = {**self._inactive_shapes(look), **shapes}
        inputs = (listed, flags, answers, places)
        self._count_snapshots(look, listed, flags)
        if not shapes and self._is_same(look, inputs):
            return Read(self._domains, {})
        rows = {entry.uuid: self._row(entry, flags, answers) for entry in listed}
        vanished, definitions = self._definitions(look, listed, rows, shapes)
        domains: dict[str, Domain] = {}
        kept: dict[str, Known] = {}
        for entry in listed:
            if entry.uuid not in vanished:
                known = kept[entry.uuid] = self._known.get(entry.uuid) or Known()
                domains[entry.uuid] = fact_of(known, entry.uuid, rows[entry.uuid], places)
        self._known = kept
        self._targets = tuple(
            Target(domain.uuid, domain.id)
            for domain in domains.values()
            if domain.id is not None and domain.state == "running" and domain.agent is not None
        )
        self._last_look_s = look.now_s
        read_s = [-1.0 if known.read_s is None else known.read_s for known in kept.values()]
        self._oldest_s = min(read_s, default=look.now_s)
        self._inputs, self._domains = inputs, domains
        return Read(domains, definitions)

    def _is_same(self, look: Look, inputs: _Inputs) -> bool:
        """Whether everything is as it was at the last scan, and no definition is due: then a host
        of a thousand domains that do nothing costs next to nothing.
        """
        if self._inputs is None or look.everything or look.again("domain"):
            return False
        (listed, flags, answers, places), before = inputs, self._inputs
        if listed is not before[0] or places is not before[3]:
            return False
        if (flags, answers) != before[1:3]:
            return False
        is_due = self._oldest_s <= self._definition_due_s(look)
        if not is_due:
            self._last_look_s = look.now_s
        return not is_due

    def _inactive_shapes(self, look: Look) -> Mapping[str, Shape]:
        # The one cheap look at inactive domains' definitions: an edit of memory or vCPUs shows
        # sooner than in a quarter of an hour.
        key = "inactive shapes"
        if not self._known or not look.rotation.due(key, INACTIVE_PERIOD_S):
            return {}
        return look.attempt("inactive domains", lambda: inactive_shapes(look), {})

    def _count_snapshots(self, look: Look, listed: list[Listed], flags: Flags) -> None:
        """Have the definitions read anew of those whose snapshots are not as many as was read."""
        holders = {uuid for uuid, bits in flags.bits.items() if bits & SNAPSHOT}
        counted = {
            entry.uuid: (entry, len(known.snapshots))
            for entry in (listed if holders else ())
            if entry.uuid in holders
            and (known := self._known.get(entry.uuid)) is not None
            # What could not be read, or is not kept whole, cannot be told from what is there.
            and known.snapshots
            and len(known.snapshots) < MAX_SNAPSHOTS
        }
        for uuid in self._counts.changed(look, counted) if counted else ():
            self._known[uuid].read_s = None
            self._inputs = None

    def _row(self, entry: Listed, flags: Flags, answers: Mapping[str, Answer]) -> Row:
        answer = answers.get(entry.uuid)
        if answer is not None and answer.id != entry.id:
            answer = None
        unknown = flags.unknown
        if flags.stale:
            # What an older list says holds for the domains that were there then, and no others.
            known = self._known.get(entry.uuid)
            before = None if known is None else known.row
            unknown |= flags.stale if before is None else flags.stale & before.unknown
        bits = flags.bits.get(entry.uuid, 0)
        return Row(
            entry.name, entry.flaw, entry.id, entry.state, entry.reason, bits, unknown, answer
        )

    def _definitions(
        self,
        look: Look,
        listed: list[Listed],
        rows: Mapping[str, Row],
        shapes: Mapping[str, Shape],
    ) -> tuple[set[str], dict[str, Definition]]:
        """Read the definitions that are due; gives the domains that vanished meanwhile, and what
        was read.
        """
        due_s = self._definition_due_s(look)
        due = []
        for entry in listed:
            known = self._known.get(entry.uuid)
            if (
                look.everything
                or look.again("domain", entry.uuid)
                or known is None
                or known.read_s is None
                or known.read_s <= due_s
                or _changed(known, rows[entry.uuid], shapes.get(entry.uuid))
            ):
                due.append(entry)
        texts = each(lambda entry: texts_of(look, entry, rows[entry.uuid]), due)
        vanished: set[str] = set()
        definitions: dict[str, Definition] = {}
        for entry, read in zip(due, texts, strict=True):
            if read.error is not None and read.error.failure == "gone":
                vanished.add(entry.uuid)
                continue
            known = self._known.setdefault(entry.uuid, Known())
            if (shape := shapes.get(entry.uuid)) is not None:
                known.shape = shape.over(known.shape)
            if (definition := take(look, known, entry, read)) is not None:
                definitions[entry.uuid] = definition
        return vanished, definitions

    def _definition_due_s(self, look: Look) -> float:
        """Definitions read until this time are due, so that none gets older than its period
        before the next scan.
        """
        interval_s = 0.0 if self._last_look_s is None else look.now_s - self._last_look_s
        return look.now_s - max(DEFINITION_PERIOD_S - interval_s, DEFINITION_PERIOD_S / 2)


def _changed(known: Known, row: Row, shape: Shape | None) -> bool:
    """Whether anything seen says that the definition may be another one."""
    if shape is not None:
        if known.shape is None:
            known.shape = shape
        elif known.shape.differs(shape):
            return True
        else:
            known.shape = known.shape.over(shape)
    before = known.row
    return before is not None and (
        before.id != row.id
        or before.state != row.state
        or before.name != row.name
        or (before.bits ^ row.bits) & (TRANSIENT | SNAPSHOT) != 0
        or (before.unknown ^ row.unknown) & (TRANSIENT | SNAPSHOT) != 0
    )
