"""How large a made-up fleet is and when its past ends; and chance that is the same every time."""

import random
from hashlib import blake2b

from msgspec import Struct

from app.clock import MINUTE_MS

HOUR = 60
DAY = 24 * HOUR


class Plan(Struct, frozen=True):
    """What to make up: so many hosts, domains and days of history before `end_ms`."""

    end_ms: int
    hosts: int = 9
    domains: int = 200
    days: int = 400
    seed: int = 1

    @property
    def end(self) -> int:
        """The minute (since 1970) of the last scan."""
        return self.end_ms // MINUTE_MS - 1

    @property
    def begin(self) -> int:
        """The minute of the first scan."""
        return self.end - self.days * DAY


def number(seed: int, *words: object) -> int:
    """A number of 64 bits that depends on the seed and the words alone."""
    text = "/".join(map(str, (seed, *words)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def chance(seed: int, *words: object) -> random.Random:
    """A source of chance that depends on the seed and the words alone."""
    return random.Random(number(seed, *words))  # noqa: S311 (makes things up; guards nothing)


def uuid_of(seed: int, *words: object) -> str:
    """A UUID that depends on the seed and the words alone."""
    digest = blake2b("/".join(map(str, (seed, *words))).encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"


def mac_of(seed: int, *words: object) -> str:
    """A MAC address in the range that QEMU uses."""
    value = number(seed, "mac", *words)
    return f"52:54:00:{value & 255:02x}:{value >> 8 & 255:02x}:{value >> 16 & 255:02x}"
