"""One domain as a fact: its definition and what a list or a call of its own says of it.

Owns what is remembered of one domain, so that one of which nothing changed stays the very same
object from look to look. Knows not when a definition is due.
"""

import hashlib
from typing import NamedTuple

import libvirt
from msgspec import structs

from app.errors import VirtError
from app.inventory import Definition, Disk, Domain, Snapshot
from app.virt.read.agent import Answer
from app.virt.read.listing import FLAGS, Listed
from app.virt.read.look import Look
from app.virt.read.stats import Shape
from app.virt.read.storage import Places
from app.virt.read.words import BAD_XML, domain_state, state_reason
from app.virt.xml.document import MAX_XML_BYTES, XmlRefused
from app.virt.xml.domain import DomainXml, parse_domain
from app.virt.xml.snapshot import parse_snapshot

TRANSIENT = 1  # the bit of the first of FLAGS
SNAPSHOT = 1 << [flag.name for flag in FLAGS].index("has_snapshot")
MAX_SNAPSHOTS = 200
_XML_FIELDS = tuple(
    name for name in DomainXml.__struct_fields__ if name not in ("disks", "agent", "beyond")
)


class Row(NamedTuple):
    """What a scan says of a domain without its definition; equal rows mean nothing changed."""

    name: str
    flaw: str | None
    id: int | None
    state: int
    reason: int
    bits: int
    unknown: int
    answer: Answer | None


class Known:
    """What is remembered of one domain."""

    __slots__ = (
        "digest", "domain", "flaw", "parsed", "places", "read_s", "row", "shape", "snapshots",
        "xml",
    )  # fmt: skip

    def __init__(self) -> None:
        self.domain: Domain | None = None
        self.row: Row | None = None
        self.shape: Shape | None = None
        self.xml: DomainXml | None = None
        # Whether `xml` is newer than `domain`.
        self.parsed = False
        self.flaw: str | None = None
        self.digest = b""
        self.read_s: float | None = None
        self.places: Places | None = None
        self.snapshots: tuple[Snapshot, ...] | None = ()


class Texts(NamedTuple):
    """The XML of one domain as read, or why it could not be."""

    live: str | None = None
    inactive: str | None = None
    error: VirtError | None = None
    snapshots: tuple[Snapshot, ...] | None = ()
    # Whether the snapshots could not be read for a reason that may pass.
    again: bool = False


def take(look: Look, known: Known, entry: Listed, texts: Texts) -> Definition | None:
    """Remember what the definition says; None when it could not be read."""
    if texts.error is not None:
        look.note_error("domain definitions", texts.error)
        _mark(look, known, texts.error)
        return None
    known.read_s = None if texts.again else look.now_s
    if texts.snapshots != known.snapshots:
        known.snapshots = texts.snapshots
        known.parsed = True
    digest = _digest(texts)
    if digest != known.digest:
        known.digest = digest
        _parse(look, known, texts.inactive if entry.id is None else texts.live)
    live, inactive = _fitting(texts.live), _fitting(texts.inactive)
    return Definition(live, inactive) if live or inactive else None


def _mark(look: Look, known: Known, error: VirtError) -> None:
    """Remember that the definition could not be read, and when to try again."""
    bad_text = error.problem == "bad-text"
    if bad_text:
        known.flaw = BAD_XML
    elif known.xml is None:
        known.flaw = error.sentence
    known.parsed = True
    # The same text as before, once it can be read again, takes the mark away.
    known.digest = b""
    # What fails for another reason than its text is tried again at the next scan.
    known.read_s = look.now_s if bad_text else None


def texts_of(look: Look, entry: Listed, row: Row) -> Texts:
    """The XML of one domain, never with secrets; raises VirtError when the host is lost."""
    handle = entry.handle
    try:
        live = None if entry.id is None else look.call(handle.XMLDesc, 0)
        inactive = None
        if entry.id is None or not row.bits & TRANSIENT:
            inactive = look.call(handle.XMLDesc, libvirt.VIR_DOMAIN_XML_INACTIVE)
        if not row.bits & SNAPSHOT:
            return Texts(live, inactive, snapshots=None if row.unknown & SNAPSHOT else ())
        snapshots, again = _snapshots(look, handle)
    except VirtError as error:
        if look.is_lost(error):
            raise
        return Texts(error=error)
    return Texts(live, inactive, snapshots=snapshots, again=again)


def _snapshots(look: Look, handle: libvirt.virDomain) -> tuple[tuple[Snapshot, ...] | None, bool]:
    """The domain's snapshots, oldest first; None (and noted) where they cannot be read, and
    whether that may pass. Raises VirtError when the host is lost.
    """
    found = []
    try:
        for one in look.call(handle.listAllSnapshots, 0)[:MAX_SNAPSHOTS]:
            text = look.call(one.getXMLDesc, 0)
            found.append(parse_snapshot(text, current=bool(look.call(one.isCurrent, 0))))
    except VirtError as error:
        look.note_error("domain snapshots", error)
        return None, error.failure != "unsupported" and error.problem != "bad-text"
    except XmlRefused as refused:
        look.note("domain snapshots", str(refused))
        return None, False
    return tuple(sorted(found, key=lambda one: (one.created_at_ms or 0, one.name))), False


def _fitting(text: str | None) -> str | None:
    return text if text is not None and len(text.encode()) <= MAX_XML_BYTES else None


def _digest(texts: Texts) -> bytes:
    both = f"{texts.live}\0{texts.inactive}"
    return hashlib.blake2b(both.encode(), digest_size=16).digest()


def _parse(look: Look, known: Known, text: str | None) -> None:
    known.flaw = None
    known.parsed = True
    try:
        known.xml = parse_domain(text or "")
    except XmlRefused as refused:
        known.flaw = str(refused)
        return
    if known.xml.beyond:
        look.beyond("domain definitions", len(known.xml.beyond))


def fact_of(known: Known, uuid: str, row: Row, places: Places) -> Domain:
    """The domain as a fact: the same object as before when nothing differs."""
    last = known.domain
    if last is not None and not known.parsed and row == known.row and places is known.places:
        return last
    fact = _build(known, uuid, row, places)
    known.row, known.places, known.parsed = row, places, False
    if last is None or fact != last:
        known.domain = last = fact
    return last


def _build(known: Known, uuid: str, row: Row, places: Places) -> Domain:
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


def _flag_values(row: Row) -> dict[str, bool | None]:
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
