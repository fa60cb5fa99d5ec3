"""What shapes of the API's JSON have in common."""

from typing import Annotated, NotRequired, TypedDict

from msgspec import Meta

# RFC 3339, in UTC.
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Share = Annotated[float, Meta(description="A share, 0 to 1.")]


class Shape(TypedDict):
    """A JSON object with all of these keys. (TypedDict, because it may have several bases and
    holds the dicts that are encoded to it.)
    """


class ScanTold(Shape):
    """How the last scan of a host went."""

    at: Time | None
    ok: bool
    # The parts that could not be read.
    missing: list[str]


class Scans(Shape):
    """What an answer was made from: the time that it is of, and the last scans, by host."""

    as_of: Time | None
    scans: dict[str, ScanTold]


class Counted(Shape):
    """One page of a list of `total`; `counts` by state, whichever was asked for."""

    total: int
    page: int
    counts: dict[str, int]


class Page(Scans, Counted):
    """One page of a list that was made from scans."""


class Reason(Shape):
    """A field that is not as it should be, and why."""

    name: str
    reason: str


class Place(Shape):
    """Where something is that is not here."""

    sentence: str
    address: str
    at: str


class Problem(Shape):
    """An error as RFC 9457 says it; `detail` is a sentence."""

    type: str
    title: str
    status: int
    detail: str
    # What is not as it should be: of a 422.
    invalid: NotRequired[list[Reason]]
    # The state that the object is in: of a 409.
    state: NotRequired[str | None]
    # Where the object is to be seen instead: of a 404.
    elsewhere: NotRequired[list[Place]]
