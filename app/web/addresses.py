"""Addresses from outside, taken apart without trust: what is no address reads as an empty one."""

from urllib.parse import SplitResult, urlsplit

from werkzeug.routing import IntegerConverter, Map

_LARGEST = 2**63 - 1


class StoredNumber(IntegerConverter):
    """A number in a route, no larger than one that the store can hold."""

    def __init__(self, map: Map) -> None:  # noqa: A002 (werkzeug's name)
        super().__init__(map, max=_LARGEST)


def split_address(text: str) -> SplitResult:
    """The parts of an address; those of an empty one where `text` is malformed."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")
