"""The volumes of one storage pool.

Owns how one volume becomes a fact and a sample, and that a damaged one (a file name that is no
UTF-8) is one marked row that still tells its sizes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import libvirt

from app.errors import VirtError
from app.inventory import Volume, VolumeSample
from app.virt.read.look import Look, each
from app.virt.read.words import BAD_XML, own_name
from app.virt.xml.document import XmlRefused
from app.virt.xml.storage import VolumeXml, parse_volume

PART = "volumes"


class _Seen(NamedTuple):
    """One volume as looked at, and what it holds; no sample: it could not be asked."""

    fact: Volume
    sample: VolumeSample | None


class PoolVolumes:
    """Reads the volumes of one pool and remembers them; `facts` by name as of the last read."""

    def __init__(self, facts: Mapping[str, Volume] | None = None) -> None:
        self.facts: Mapping[str, Volume] = {} if facts is None else facts
        # Those that could not be looked at.
        self._unseen: frozenset[str] = frozenset()

    def read(
        self, look: Look, pool: libvirt.virStoragePool, uuid: str, *, again: bool
    ) -> dict[tuple[str, str], VolumeSample] | None:
        """Bring `facts` up to date: new ones are looked at, the others only if `again`; gives
        the samples of those looked at, None (and noted) when they cannot be listed.
        """
        handles = look.attempt(PART, lambda: look.call(pool.listAllVolumes, 0), None)
        if handles is None:
            return None
        named = [(handle, *own_name(handle.name)) for handle in handles]
        due = [
            entry
            for entry in named
            if again or entry[1] not in self.facts or entry[1] in self._unseen
        ]
        answers = each(lambda entry: (entry[1], _look_at(look, uuid, *entry)), due)
        seen = {name: answer for name, answer in answers if answer is not None}
        gone = {name for name, answer in answers if answer is None}
        self._unseen = frozenset(name for name, answer in seen.items() if answer.sample is None)
        facts = {
            name: _settled(seen.get(name), self.facts.get(name))
            for _, name, _ in named
            if name not in gone
        }
        if list(facts.items()) != list(self.facts.items()):
            self.facts = facts
        return {(uuid, name): one.sample for name, one in seen.items() if one.sample is not None}


def _settled(seen: _Seen | None, last: Volume | None) -> Volume:
    """The fact to keep: the same object as before when nothing differs or nothing was told."""
    if seen is None or (seen.sample is None and last is not None):
        assert last is not None
        return last
    return last if last is not None and last == seen.fact else seen.fact


def _look_at(
    look: Look, pool_uuid: str, handle: libvirt.virStorageVol, name: str, flaw: str | None
) -> _Seen | None:
    """One volume and what it holds; None when it has just gone."""
    xml = VolumeXml()
    try:
        try:
            xml = parse_volume(look.call(handle.XMLDesc, 0))
        except XmlRefused as refused:
            flaw = flaw or str(refused)
        except VirtError as error:
            if error.problem != "bad-text":
                raise
            flaw = flaw or BAD_XML
        capacity, allocation = xml.capacity_bytes, xml.allocation_bytes
        if xml.type is None:
            _type, capacity, allocation = look.call(handle.info)
    except VirtError as error:
        if error.failure == "gone":
            return None
        look.note_error(PART, error)
        return _Seen(Volume(pool_uuid, name, damaged=flaw or error.sentence), None)
    if xml.beyond:
        look.beyond(PART, len(xml.beyond))
    fact = Volume(
        pool_uuid=pool_uuid,
        name=name,
        path=xml.path,
        type=xml.type,
        format=xml.format,
        capacity_bytes=look.bounded(PART, capacity),
        backing_path=xml.backing_path,
        damaged=flaw,
    )
    return _Seen(fact, VolumeSample(look.bounded(PART, allocation)))
