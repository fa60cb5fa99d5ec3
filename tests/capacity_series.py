"""Made-up series of what storages and hosts hold, day by day, with all that real ones do: steps,
gaps, weeks, noise, turns, saturation. The same for the same seed.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from math import exp

from msgspec import Struct

from app.capacity.daily import Daily
from app.demo.plan import DAY, Plan
from app.demo.play import Play
from app.demo.storage import MadePool

GIB = 1 << 30
# How many days are made up beyond those that a forecast may see.
FUTURE_DAYS = 60
LENGTHS = (45, 90, 180, 360)


class Case(Struct, frozen=True):
    """A series, its limit, and the day from which on it is the future."""

    kind: str
    series: Daily
    limit: float
    day: int


class _Luck(random.Random):
    """Chance, and where a series of `days` begins."""

    days: int
    limit: float

    def begin(self, seed: object, days: int) -> float:
        self.seed(str(seed))
        self.days = days
        self.limit = self.uniform(1, 8) * 1000 * GIB
        return self.limit * self.uniform(0.2, 0.6)


def _linear(luck: _Luck, level: float) -> Iterator[float]:
    more, rough = luck.limit * luck.uniform(0.0002, 0.003), luck.limit * luck.uniform(0, 0.004)
    return (level + more * day + luck.gauss(0, rough) for day in range(luck.days))


def _steps(luck: _Luck, level: float) -> Iterator[float]:
    """Grows a little, and now and then a disk is added or deleted."""
    more, rough = luck.limit * luck.uniform(0, 0.001), luck.limit * luck.uniform(0.0001, 0.002)
    for _ in range(luck.days):
        level += more
        if luck.random() < 0.02:
            level += luck.limit * luck.choice((1, 1, -1)) * luck.uniform(0.02, 0.12)
        level = max(0.0, level)
        yield level + luck.gauss(0, rough)


def _domains(luck: _Luck, level: float) -> Iterator[float]:
    """Domains come and go, more come."""
    rate = luck.uniform(0.05, 0.5)
    for _ in range(luck.days):
        if luck.random() < rate:
            level += luck.limit * luck.uniform(0.002, 0.012)
        if luck.random() < rate / 2:
            level -= luck.limit * luck.uniform(0.002, 0.012)
        level = max(luck.limit * 0.05, level + luck.limit * 0.0003 * luck.random())
        yield level


def _backups(luck: _Luck, level: float) -> Iterator[float]:
    """Fills over the week, and is cleared at its end."""
    more, week = luck.limit * luck.uniform(0, 0.001), luck.limit * luck.uniform(0.01, 0.08)
    first = luck.randrange(7)
    for day in range(luck.days):
        yield (
            level + more * day + week * ((day + first) % 7) / 6 + luck.gauss(0, luck.limit * 0.002)
        )


def _walk(luck: _Luck, level: float) -> Iterator[float]:
    more, rough = luck.limit * luck.gauss(0.0003, 0.0007), luck.limit * luck.uniform(0.001, 0.006)
    for _ in range(luck.days):
        level = max(0.0, level + luck.gauss(more, rough))
        yield level


def _memory(luck: _Luck, level: float) -> Iterator[float]:
    """Swings around a level, with the week."""
    swing, keeps = 0.0, luck.uniform(0.3, 0.9)
    rough, week = luck.limit * luck.uniform(0.005, 0.03), luck.limit * luck.choice((0, 0.02, 0.08))
    more = luck.limit * luck.choice((0, 0, 0.0004))
    weekdays = [luck.gauss(0, 1) for _ in range(7)]
    for day in range(luck.days):
        swing = keeps * swing + luck.gauss(0, rough)
        yield max(0.0, level + more * day + swing + week * weekdays[day % 7])


def _flat(luck: _Luck, level: float) -> Iterator[float]:
    rough = luck.limit * luck.choice((0, 0.0001, 0.002))
    return (level + luck.gauss(0, rough) for _ in range(luck.days))


def _turn(luck: _Luck, level: float) -> Iterator[float]:
    """Grows differently from some day on."""
    turn = luck.uniform(0.2, 0.9) * (luck.days - FUTURE_DAYS)
    before, after = luck.uniform(-0.001, 0.002), luck.uniform(-0.001, 0.003)
    for day in range(luck.days):
        more = luck.limit * (before if day < turn else after)
        level = max(0.0, level + more + luck.gauss(0, luck.limit * 0.001))
        yield level


def _saturation(luck: _Luck, level: float) -> Iterator[float]:
    """Grows ever less, towards its limit."""
    slow, top = luck.uniform(40, 200), luck.limit * 0.95
    for day in range(luck.days):
        yield top - (top - level) * exp(-day / slow) + luck.gauss(0, luck.limit * 0.002)


def _moves(luck: _Luck, level: float) -> Iterator[float]:
    """Swings with the week, and domains are moved there or away."""
    swing, weekdays = 0.0, [luck.gauss(0, 1) for _ in range(7)]
    for day in range(luck.days):
        if luck.random() < 0.015:
            level = max(luck.limit * 0.05, level + luck.limit * luck.gauss(0, 0.08))
        swing = 0.6 * swing + luck.gauss(0, luck.limit * 0.01)
        yield max(0.0, level + swing + luck.limit * 0.02 * weekdays[day % 7])


KINDS: Mapping[str, Callable[[_Luck, float], Iterator[float]]] = {
    "linear": _linear, "steps": _steps, "domains": _domains, "backups": _backups, "walk": _walk,
    "memory": _memory, "flat": _flat, "turn": _turn, "saturation": _saturation, "moves": _moves,
}  # fmt: skip


def made_up(seeds: range, lengths: tuple[int, ...] = LENGTHS) -> Iterator[Case]:
    """Series of every kind and length, half of them with gaps."""
    luck = _Luck()
    for seed in seeds:
        for days in lengths:
            for kind, make in KINDS.items():
                level = luck.begin((seed, days, kind), days + FUTURE_DAYS)
                values: list[float | None] = [min(v, luck.limit) for v in make(luck, level)]
                if luck.random() < 0.5:
                    _unsee(values, days, luck)
                yield Case(kind, Daily(0, tuple(values)), luck.limit, days)


def _unsee(values: list[float | None], days: int, luck: random.Random) -> None:
    for _ in range(luck.randrange(1, 6)):
        begin = luck.randrange(2, days - 3)
        for day in range(begin, min(days - 2, begin + luck.choice((1, 2, 5, 12)))):
            values[day] = None


def of_the_demonstration(plan: Plan, every_days: int = 40) -> Iterator[Case]:
    """What the pools of a made-up fleet held, at the end of each day, foretold every so often."""
    played = Play(plan)
    for _ in played.run():
        pass
    first, end = -(-plan.begin // DAY), plan.end // DAY
    for host in played.world.hosts.values():
        for pool in host.pools:
            series = _days_of(pool, first, end)
            for day in range(first + 60, end - FUTURE_DAYS // 2, every_days):
                yield Case(f"demo/{pool.kind}", series, float(pool.capacity_bytes), day)


def _days_of(pool: MadePool, first: int, end: int) -> Daily:
    days = range(first, end)
    return Daily(first, tuple(float(pool.allocation((day + 1) * DAY - 1)) for day in days))
