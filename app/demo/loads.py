"""How busy made-up domains are over the day, the week and the years: tables of whole numbers.

Pure. A table is made once; a stretch of a series is a slice of tables multiplied, so that a year
of a fleet takes seconds. Levels are 12 bits, products of two tables 24.
"""

import random
from collections.abc import Mapping
from functools import cache

from msgspec import Struct

from app.demo.plan import chance, number

ONE = 1 << 12
BITS = 24
_TABLE = 1 << 14
# Noise goes up to 1.34; a CPU cannot be more than busy.
TAMED = 0.746
# What "steady" is on average; from what on too much is asked of a host for all to get it, and how
# busy it is then at the busiest time of the day, on average.
_MEAN, _TOO_MUCH, _BUSIEST = 0.86, 0.92, 0.76
_MINUTES = 7 * 24 * 60


class Load(Struct, frozen=True):
    """What a kind of domain does at its busiest: the share of its vCPUs, bytes per second and
    vCPU, the share of its memory that is used; by hour how near to that it is, and on weekends.
    """

    hours: tuple[int, ...]
    weekend: int
    cpu: float
    read: int
    write: int
    rx: int
    tx: int
    memory: float
    rough: float = 0.25


_DAY = (
    18,
    15,
    13,
    12,
    13,
    17,
    28,
    48,
    74,
    92,
    98,
    96,
    84,
    90,
    98,
    96,
    90,
    80,
    66,
    56,
    48,
    40,
    31,
    24,
)
_OFFICE = (4, 3, 3, 3, 3, 5, 14, 46, 82, 96, 100, 92, 70, 86, 98, 94, 84, 58, 30, 16, 10, 8, 6, 5)
_NIGHT = (
    82,
    95,
    100,
    97,
    88,
    64,
    36,
    20,
    14,
    12,
    12,
    12,
    13,
    12,
    12,
    13,
    14,
    16,
    20,
    26,
    36,
    48,
    62,
    74,
)
_FLAT = (
    62,
    60,
    58,
    57,
    58,
    60,
    66,
    74,
    82,
    88,
    90,
    89,
    86,
    88,
    90,
    89,
    87,
    84,
    80,
    76,
    73,
    70,
    67,
    64,
)
_EVEN = (
    30,
    24,
    20,
    18,
    18,
    22,
    34,
    44,
    50,
    52,
    54,
    58,
    60,
    58,
    58,
    62,
    70,
    80,
    92,
    100,
    98,
    84,
    62,
    42,
)

LOADS: Mapping[str, Load] = {
    "web": Load(_DAY, 74, 0.78, 40_000, 160_000, 420_000, 1_300_000, 0.78),
    "db": Load(_DAY, 66, 0.74, 1_900_000, 2_600_000, 700_000, 1_100_000, 0.86),
    "flat": Load(_FLAT, 88, 0.70, 90_000, 380_000, 300_000, 320_000, 0.80, 0.18),
    "ci": Load(_OFFICE, 22, 0.96, 1_400_000, 3_800_000, 600_000, 160_000, 0.74, 0.5),
    "dev": Load(_OFFICE, 12, 0.68, 180_000, 420_000, 60_000, 40_000, 0.72, 0.4),
    "win": Load(_OFFICE, 20, 0.72, 400_000, 700_000, 160_000, 240_000, 0.80),
    "batch": Load(_NIGHT, 90, 0.92, 2_800_000, 3_400_000, 900_000, 300_000, 0.76, 0.3),
    "edge": Load(_EVEN, 112, 0.66, 20_000, 60_000, 900_000, 900_000, 0.70),
    "lab": Load(_OFFICE, 30, 0.70, 200_000, 300_000, 90_000, 60_000, 0.68, 0.6),
    "idle": Load(_FLAT, 98, 0.004, 60, 240, 70, 40, 0.34, 0.2),
    "oversized": Load(_DAY, 70, 0.10, 60_000, 120_000, 90_000, 70_000, 0.13),
}  # fmt: skip


def part_given(asked_vcpus: float, threads: int) -> int:
    """Which part (of ONE) of the CPU that the domains of a host ask for at their busiest they get:
    so many vCPUs' worth on so many threads.
    """
    asked = asked_vcpus * TAMED * _MEAN
    return ONE if asked <= _TOO_MUCH * threads else int(ONE * _BUSIEST * threads / asked)


@cache
def week(load: str, width: int) -> list[int]:
    """Levels (0..ONE) over five weeks from a Monday on, in buckets of `width` minutes."""
    told = LOADS[load]
    found = []
    for begin in range(0, _MINUTES, width):
        hour, minute = divmod(begin + width // 2, 60)
        here, after = told.hours[hour % 24], told.hours[(hour + 1) % 24]
        level = here + (after - here) * minute / 60
        if begin // 1440 >= 5:
            level *= told.weekend / 100
        found.append(max(8, round(min(level, 100) * ONE / 100)))
    return found * 5


def week_start(bucket: int, width: int) -> int:
    """Where in `week` the bucket (minute // width) is; 1970 began on a Thursday."""
    return (bucket * width + 3 * 1440) % _MINUTES // width


@cache
def noise(kind: str, width: int, rough: float) -> list[int]:
    """Factors around ONE: "steady" wanders, "bursts" is low with peaks, "slow" hardly moves."""
    luck = chance(0, "noise", kind, width, rough)
    maker = {"steady": _steady, "bursts": _bursts, "slow": _slow}[kind]
    return maker(luck, rough / (1.0, 1.6, 2.2)[(1, 10, 60).index(width)], width)


@cache
def contended(width: int, rough: float, part: int) -> list[int]:
    """The factors "steady" of a domain that gets but a part (of ONE) of what it asks for, as all
    on its host ask at once: on average so much less, with peaks while others rest.
    """
    steady, bursts = noise("steady", width, rough), noise("bursts", width, rough)
    rest = ONE - part
    own = max(0, part - rest * sum(bursts) // sum(steady))
    return [(s * own + b * rest) // ONE for s, b in zip(steady, bursts, strict=True)]


def _steady(luck: random.Random, rough: float, width: int) -> list[int]:
    found, value = [], 0.0
    for _ in range(_TABLE):
        value = 0.82 * value + luck.gauss(0, rough * 0.5)
        found.append(round(ONE * min(1.34, max(0.25, 0.86 + value))))
    return found


def _bursts(luck: random.Random, rough: float, width: int) -> list[int]:
    found, value = [], 0.1
    for _ in range(_TABLE):
        value = value * 0.7 if luck.random() > 0.06 / (1 + 10 / width) else luck.uniform(0.5, 1.3)
        found.append(round(ONE * max(0.02, value + luck.gauss(0, 0.012))))
    return found


def _slow(luck: random.Random, rough: float, width: int) -> list[int]:
    found, value = [], 0.0
    step = 0.004 * width**0.5
    for _ in range(_TABLE):
        value = value * (1 - step / 4) + luck.gauss(0, step)
        found.append(round(ONE * (1 + max(-0.16, min(0.16, value)))))
    return found


@cache
def spread(width: int, *, upwards: bool) -> list[int]:
    """By what the lowest or highest of a bucket differs from its mean, as shares of ONE."""
    luck = chance(0, "spread", width, upwards)
    reach = 0.35 if width == 10 else 0.6
    if upwards:
        return [round(ONE * abs(luck.gauss(0, reach * 0.6))) for _ in range(_TABLE)]
    return [round(ONE * min(0.9, abs(luck.gauss(0, reach * 0.4)))) for _ in range(_TABLE)]


def piece(table: list[int], count: int, *words: object) -> list[int]:
    """`count` numbers of a table, from a place that depends on the words."""
    place = number(0, *words) % (len(table) - count)
    return table[place : place + count]


def grown(seed: int, name: str, share: float) -> int:
    """How large a domain's work is at a share (0..1) of the history, as a factor around ONE."""
    start = 0.62 + number(seed, "growth", name) % 100 / 300
    return round(ONE * (start + (1 - start) * share))
