"""The domains of a host as facts, with their definitions.

Owns when a definition is read (first sight, something about it changed, or a quarter of an hour
is over), and that a domain of which nothing changed stays the very same object from scan to
scan: whoever compares two scans begins with identity.
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import libvirt
from msgspec import structs

from app.errors import VirtError
from app.inventory import Definition, Disk, Domain, Snapshot
from app.virt.read.agent import Answer, Target
from app.virt.read.listing import FLAGS, Flags, Listed
from app.virt.read.look import Look, each
from app.virt.read.stats import Shape, inactive_shapes
from app.virt.read.storage import Places
from app.virt.read.words import BAD_XML, domain_state, state_reason
from app.virt.xml.document import MAX_XML_BYTES, XmlRefused
from app.virt.xml.domain import DomainXml, parse_domain
from app.virt.xml.snapshot import parse_snapshot

DEFINITION_PERIOD_S = 15 * 60.0
INACTIVE_PERIOD_S = 5 * 60.0
_TRANSIENT = 1  # the bit of the first of FLAGS
_SNAPSHOT = 1 << [flag.name for flag in FLAGS].index("has_snapshot")
_MAX_SNAPSHOTS = 200
_XML_FIELDS = tuple(
    name for name in DomainXml.__struct_fields__ if name not in ("disks", "agent", "beyond")
)


class _Row(NamedTuple):
    """What a scan says of a domain without its definition; equal rows mean nothing changed."""

    name: str
    flaw: str | None
    id: int | None
    state: int
    reason: int
    bits: int
    unknown: int
    answer: Answer | None


class _Known:
    """What is remembered of one domain."""

    __slots__ = (
        "digest", "domain", "flaw", "parsed", "places", "read_s", "row", "shape", "snapshots",
        "xml",
    )  # fmt: skip

    def __init__(self) -> None:
        self.domain: Domain | None = None
        self.row: _Row | None = None
        self.shape: Shape | None = None
        self.xml: DomainXml | None = None
        # Whether `xml` is newer than `domain`.
        self.parsed = False
        self.flaw: str | None = None
        self.digest = b""
        self.read_s: float | None = None
        self.places: Places | None = None
        self.snapshots: tuple[Snapshot, ...] | None = ()


class _Texts(NamedTuple):
    """The XML of one domain as read, or why it could not be."""

    live: str | None = None
    inactive: str | None = None
    error: VirtError | None = None
    snapshots: tuple[Snapshot, ...] | None = ()


class Read(NamedTuple):
    """All domains of a scan, and the definitions that were read in it, by UUID."""

    domains: Mapping[str, Domain]
    definitions: Mapping[str, Definition]


class DomainReader:
    """Reads the domains of one host and remembers them between scans."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._last_look_s: float | None = None

    def forget(self) -> None:
        """Have every definition read anew; the domains stay the same objects if equal."""
        for known in self._known.values():
            known.read_s = None

    def agent_targets(self) -> tuple[Target, ...]:
        """The running domains that have a guest agent's channel, as of the last scan."""
        running = (known.domain for known in self._known.values())
        return tuple(
            Target(domain.uuid, domain.id)
            for domain in running
            if domain is not None
            and domain.id is not None
            and domain.state == "running"
            and domain.agent is not None
        )

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
        rows = {entry.uuid: self._row(entry, flags, answers) for entry in listed}
        vanished, definitions = self._definitions(look, listed, rows, shapes)
        domains: dict[str, Domain] = {}
        kept: dict[str, _Known] = {}
        for entry in listed:
            if entry.uuid not in vanished:
                known = kept[entry.uuid] = self._known.get(entry.uuid) or _Known()
                domains[entry.uuid] = _fact(known, entry.uuid, rows[entry.uuid], places)
        self._known = kept
        self._last_look_s = look.now_s
        return Read(domains, definitions)

    def _inactive_shapes(self, look: Look) -> Mapping[str, Shape]:
        # The one cheap look at inactive domains' definitions: an edit of memory or vCPUs shows
        # sooner than in a quarter of an hour.
        key = "inactive shapes"
        if not self._known or not look.rotation.due(key, INACTIVE_PERIOD_S):
            return {}
        return look.attempt("inactive domains", lambda: inactive_shapes(look), {})

    def _row(self, entry: Listed, flags: Flags, answers: Mapping[str, Answer]) -> _Row:
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
        return _Row(
            entry.name, entry.flaw, entry.id, entry.state, entry.reason, bits, unknown, answer
        )

    def _definitions(
        self,
        look: Look,
        listed: list[Listed],
        rows: Mapping[str, _Row],
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
        texts = each(lambda entry: _texts(look, entry, rows[entry.uuid]), due)
        vanished: set[str] = set()
        definitions: dict[str, Definition] = {}
        for entry, read in zip(due, texts, strict=True):
            if read.error is not None and read.error.failure == "gone":
                vanished.add(entry.uuid)
                continue
            known = self._known.setdefault(entry.uuid, _Known())
            if (shape := shapes.get(entry.uuid)) is not None:
                known.shape = shape.over(known.shape)
            if (definition := _take(look, known, entry, read)) is not None:
                definitions[entry.uuid] = definition
        return vanished, definitions

    def _definition_due_s(self, look: Look) -> float:
        """Definitions read until this time are due, so that none gets older than its period
        before the next scan.
        """
        interval_s = 0.0 if self._last_look_s is None else look.now_s - self._last_look_s
        return look.now_s - max(DEFINITION_PERIOD_S - interval_s, DEFINITION_PERIOD_S / 2)


def _take(look: Look, known: _Known, entry: Listed, texts: _Texts) -> Definition | None:
    """Remember what the definition says; None when it could not be read."""
    if texts.error is not None:
        look.note_error("domain definitions", texts.error)
        _mark(look, known, texts.error)
        return None
    known.read_s = look.now_s
    if texts.snapshots != known.snapshots:
        known.snapshots = texts.snapshots
        known.parsed = True
    digest = _digest(texts)
    if digest != known.digest:
        known.digest = digest
        _parse(look, known, texts.inactive if entry.id is None else texts.live)
    live, inactive = _fitting(texts.live), _fitting(texts.inactive)
    return Definition(live, inactive) if live or inactive else None


def _mark(look: Look, known: _Known, error: VirtError) -> None:
    """Remember that the definition could not be read, and when to try again."""
    bad_text = error.problem == "bad-text"
    if bad_text:
        known.flaw = BAD_XML
    elif known.xml is None:
        known.flaw = error.sentence
    known.parsed = True
    # What fails for another reason than its text is tried again at the next scan.
    known.read_s = look.now_s if bad_text else None


def _changed(known: _Known, row: _Row, shape: Shape | None) -> bool:
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
        or (before.bits ^ row.bits) & (_TRANSIENT | _SNAPSHOT) != 0
    )


def _texts(look: Look, entry: Listed, row: _Row) -> _Texts:
    """The XML of one domain, never with secrets; raises VirtError when the host is lost."""
    handle = entry.handle
    try:
        live = None if entry.id is None else look.call(handle.XMLDesc, 0)
        inactive = None
        if entry.id is None or not row.bits & _TRANSIENT:
            inactive = look.call(handle.XMLDesc, libvirt.VIR_DOMAIN_XML_INACTIVE)
        snapshots = _snapshots(look, handle) if row.bits & _SNAPSHOT else ()
    except VirtError as error:
        if look.is_lost(error):
            raise
        return _Texts(error=error)
    return _Texts(live, inactive, snapshots=snapshots)


def _snapshots(look: Look, handle: libvirt.virDomain) -> tuple[Snapshot, ...] | None:
    """The domain's snapshots, oldest first; None (and noted) where they cannot be read. Raises
    VirtError when the host is lost.
    """
    found = []
    try:
        for one in look.call(handle.listAllSnapshots, 0)[:_MAX_SNAPSHOTS]:
            text = look.call(one.getXMLDesc, 0)
            found.append(parse_snapshot(text, current=bool(look.call(one.isCurrent, 0))))
    except VirtError as error:
        look.note_error("domain snapshots", error)
        return None
    except XmlRefused as refused:
        look.note("domain snapshots", str(refused))
        return None
    return tuple(sorted(found, key=lambda one: (one.created_at_ms or 0, one.name)))


def _fitting(text: str | None) -> str | None:
    return text if text is not None and len(text.encode()) <= MAX_XML_BYTES else None


def _digest(texts: _Texts) -> bytes:
    both = f"{texts.live}\0{texts.inactive}"
    return hashlib.blake2b(both.encode(), digest_size=16).digest()


def _parse(look: Look, known: _Known, text: str | None) -> None:
    known.flaw = None
    known.parsed = True
    try:
        known.xml = parse_domain(text or "")
    except XmlRefused as refused:
        known.flaw = str(refused)
        return
    if known.xml.beyond:
        look.beyond("domain definitions", len(known.xml.beyond))


def _fact(known: _Known, uuid: str, row: _Row, places: Places) -> Domain:
    """The domain as a fact: the same object as before when nothing differs."""
    last = known.domain
    if last is not None and not known.parsed and row == known.row and places is known.places:
        return last
    fact = _build(known, uuid, row, places)
    known.row, known.places, known.parsed = row, places, False
    if last is None or fact != last:
        known.domain = last = fact
    return last


def _build(known: _Known, uuid: str, row: _Row, places: Places) -> Domain:
    xml = known.xml or DomainXml()
    state = domain_state(row.state)
    flags = _flag_values(row)
    return Domain(
        uuid=uuid,
        name=row.name,
        state=state,
        state_reason=state_reason(state, row.reason),
        id=row.id,
        persistent=None if flags["transient"] is None else not flags["transient"],
        autostart=flags["autostart"],
        managed_save=flags["managed_save"],
        has_snapshot=flags["has_snapshot"],
        has_checkpoint=flags["has_checkpoint"],
        snapshots=known.snapshots,
        disks=tuple(_placed(disk, places) for disk in xml.disks),
        agent=xml.agent if row.answer is None else row.answer.agent,
        guest=None if row.answer is None else row.answer.guest,
        damaged=row.flaw or known.flaw,
        **{name: getattr(xml, name) for name in _XML_FIELDS},
    )


def _flag_values(row: _Row) -> dict[str, bool | None]:
    """The flags as values; one that was never read is None."""
    return {
        flag.name: None if row.unknown & 1 << position else bool(row.bits & 1 << position)
        for position, flag in enumerate(FLAGS)
    }


def _placed(disk: Disk, places: Places) -> Disk:
    """The disk with the pool and volume that hold its source, where that is known."""
    if disk.volume is not None or disk.source is None:
        return disk
    place = places.get(disk.source)
    return disk if place is None else structs.replace(disk, pool=place[0], volume=place[1])
