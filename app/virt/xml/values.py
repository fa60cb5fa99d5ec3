"""Bounds for what a host sends: texts of at most 4 KiB, integers of at most 63 bits.

Pure. Everything a host says is hostile and may be huge; what leaves here fits the store.
"""

import hashlib

MAX_TEXT_BYTES = 4096
MAX_INTEGER = 2**63 - 1

_UNITS = {
    "b": 1, "byte": 1, "bytes": 1,
    "kb": 1000, "k": 1 << 10, "kib": 1 << 10,
    "mb": 1000**2, "m": 1 << 20, "mib": 1 << 20,
    "gb": 1000**3, "g": 1 << 30, "gib": 1 << 30,
    "tb": 1000**4, "t": 1 << 40, "tib": 1 << 40,
    "pb": 1000**5, "p": 1 << 50, "pib": 1 << 50,
    "eb": 1000**6, "e": 1 << 60, "eib": 1 << 60,
}  # fmt: skip


def clean(text: str) -> str:
    """`text` without NULs and of at most 4 KiB; a longer one ends in "…" and a short digest, so
    that two long texts that differ stay different.
    """
    if "\0" in text:
        text = text.replace("\0", "")
    if len(text) * 4 <= MAX_TEXT_BYTES:
        return text
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MAX_TEXT_BYTES:
        return text
    mark = "…" + hashlib.blake2b(raw, digest_size=4).hexdigest()
    kept = raw[: MAX_TEXT_BYTES - len(mark.encode())].decode("utf-8", "ignore")
    return kept + mark


def word(text: str | None) -> str | None:
    """`text` cleaned and stripped, None when nothing is left."""
    return clean(text.strip()) or None if text else None


def whole(text: str | None) -> int | None:
    """The non-negative decimal integer that `text` is, else None; may exceed 63 bits."""
    digits = (text or "").strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 40:
        return None
    return int(digits)


def bounded(value: int | None) -> int | None:
    """`value` if the store can hold it, else None."""
    return value if value is None or -MAX_INTEGER <= value <= MAX_INTEGER else None


def small(text: str | None) -> int | None:
    """A count or a number such as a port: as `whole`, and None beyond 63 bits."""
    return bounded(whole(text))


class Figures:
    """Reads the sizes of one document and remembers which were beyond 63 bits (`beyond`)."""

    def __init__(self) -> None:
        self.beyond: list[str] = []

    def size(self, name: str, text: str | None, unit: str) -> int | None:
        """Bytes of `text` in `unit` (libvirt's words); None when absent, malformed or beyond."""
        value, factor = whole(text), _UNITS.get(unit.lower())
        if value is None or factor is None:
            return None
        if value * factor > MAX_INTEGER:
            self.beyond.append(name)
            return None
        return value * factor
