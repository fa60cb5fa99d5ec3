"""What people see and hear of a page, and what of it is not Chinese: for pages in Chinese."""

import re
from collections import Counter
from collections.abc import Collection, Iterator

from lxml import html

# Spoken, or shown when pointed at.
_SAID = ("aria-label", "title", "placeholder", "alt")
# Not said, or said by somebody else: names stand in <bdi>, the languages are named in their own.
_SILENT = ("bdi", "code", "script", "style", "template")
# The same in Chinese.
_KNOWN = frozenset(("B", "KiB", "MiB", "GiB", "TiB", "CPU", "vCPU", "p95", "p99", "UTC", "CSV"))
_PROGRAMS = frozenset(("npvirt", "libvirt"))
# A name inside what is spoken.
_NAMED = re.compile("\N{FIRST STRONG ISOLATE}[^\N{POP DIRECTIONAL ISOLATE}]*")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(rf"\b(\d+) ({'|'.join(_MONTHS)})\b")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9/’'-]*")


def said(page: str, tag: str = "main") -> str:
    """All that the elements of a tag say, their texts and what is spoken, a line for each."""
    found = html.document_fromstring(page).iter(tag)
    return "\n".join(text for element in found for text in _said(element))


def _said(element: html.HtmlElement) -> Iterator[str]:
    if not isinstance(element.tag, str) or element.tag in _SILENT:
        return
    if element.get("hreflang") is not None:
        return
    yield from (element.get(name, "") for name in _SAID)
    yield element.text or ""
    for child in element:
        yield from _said(child)
        yield child.tail or ""


def english(text: str, names: Collection[str]) -> set[str]:
    """The words of it that are not Chinese, `names` of hosts and what is on them aside."""
    text = _NAMED.sub("", text)
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, "")
    return set(_WORD.findall(text)) - _KNOWN - _PROGRAMS


def figures(text: str) -> Counter[str]:
    """The numbers of it, how often each stands there; months that are words are numbers, too."""
    text = _DATE.sub(lambda found: f"{found[1]} {_MONTHS.index(found[2]) + 1}", text)
    return Counter(number.lstrip("0") or "0" for number in re.findall(r"\d+", text))
