"""The one way XML from a host becomes a tree: no DTD, no entity, no network, bounded.

Pure. At most 1 MiB, at most 256 elements deep (libxml2's own limit, which `huge_tree=False`
keeps), and what is not well-formed is refused, not repaired.
"""

from lxml import etree

from app.errors import NpvirtError

MAX_XML_BYTES = 1 << 20

Element = etree._Element


class XmlRefused(NpvirtError):
    """This XML is not taken: too big, too deep, with a DTD, or not well-formed."""


def parse(text: str) -> Element:
    """The root element of `text`; raises XmlRefused with a sentence."""
    raw = text.encode("utf-8", "replace")
    if len(raw) > MAX_XML_BYTES:
        raise XmlRefused("Its XML is larger than 1 MiB.")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise XmlRefused("Its XML carries a document type, which libvirt never sends.")
    try:
        return etree.fromstring(raw, _parser())
    except etree.XMLSyntaxError:
        raise XmlRefused("Its XML is not well-formed or is nested too deep.") from None


def _parser() -> etree.XMLParser:
    # One per document: a shared parser would make the reader's threads wait for each other.
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )


def attribute(element: Element | None, name: str) -> str | None:
    """An attribute of an element that may be absent."""
    return None if element is None else element.get(name)
