"""A domain snapshot's XML: what npvirt keeps of it. Pure."""

from app.inventory import Snapshot
from app.virt.xml.document import attribute, parse
from app.virt.xml.values import clean, small, word


def parse_snapshot(text: str, *, current: bool) -> Snapshot:
    """What the snapshot XML `text` says; raises XmlRefused."""
    root = parse(text)
    created_s = small(root.findtext("creationTime"))
    memory = attribute(root.find("memory"), "snapshot")
    return Snapshot(
        name=clean(root.findtext("name") or ""),
        parent=word(root.findtext("parent/name")),
        created_at_ms=None if created_s is None else created_s * 1000,
        state=word(root.findtext("state")),
        description=word(root.findtext("description")),
        current=current,
        memory=None if memory is None else memory != "no",
    )
