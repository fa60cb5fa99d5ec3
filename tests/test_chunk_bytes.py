"""Chunks and rows of the day are to the byte what the first npvirt with this format wrote."""

import hashlib
import zlib
from collections.abc import Iterator
from itertools import accumulate

import pytest

from app.clock import DAY_MS
from app.inventory import Domain
from app.metrics import SeriesType, series_of
from app.store import keyframes, tiers
from app.store.raw import Object
from app.store.rollup import Samples, usable_intervals
from app.store.sampled import Since

_DAY = 20_500
_MOST = 2**63 - 1
_TYPES: dict[str, SeriesType] = {one.name: one.type for one in series_of("domain")}


def _luck(seed: int) -> Iterator[int]:
    """Numbers of 31 bits that are the same everywhere."""
    while True:
        seed = (seed * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        yield seed >> 33


def _samples(seed: int, step_ms: int, count: int, *, nulls: bool, huge: bool) -> Samples:
    """A day with gaps, counters that begin anew, and values of all sizes."""
    luck = _luck(seed)
    begin_ms = _DAY * DAY_MS + step_ms * (next(luck) % 7)
    times = [begin_ms + step_ms * n + next(luck) % 9 for n in range(count)]
    times = [at_ms for n, at_ms in enumerate(times) if n % 97 not in (40, 41, 42, 43)]
    size = len(times)
    whole = [_MOST - next(luck) % 3 if huge else 2**31] * size
    usable = [2**30 + next(luck) % 9999 * 4096 for _ in times]
    cpu = list(accumulate(next(luck) * (9 if n % 5 else 4000) for n in range(size)))
    reset = [value % (10**12) for value in cpu]
    series: dict[str, list[int | None]] = {
        "cpu_time_ns": [*reset],
        "memory_bytes": [*whole],
        "memory_usable_bytes": [*usable],
        "memory_rss_bytes": [next(luck) % 2**24 * (2**39 if huge else 1) for _ in times],
        "disk_read_bytes": [*accumulate(next(luck) % 5 * 4096 for _ in times)],
        "net_rx_bytes": [n * _MOST // size if huge else n for n in range(size)],
        "net_rx_drops": [n // 50 for n in range(size)],
    }
    if nulls:
        for number, values in enumerate(series.values()):
            for place in range(number, size, 11 + number):
                values[place] = None
    series["memory_used_bytes"] = [
        None if a is None or b is None else a - b
        for a, b in zip(series["memory_bytes"], series["memory_usable_bytes"], strict=True)
    ]
    clocks = series["cpu_time_ns"]
    elapsed = usable_intervals(times, [3 * step_ms] * size, [times[size // 3]], clocks)
    told = {name: (_TYPES[name], values) for name, values in series.items()}
    return Samples(times, elapsed, told, skip=seed % 2)


def _digest(seed: int, step_ms: int, count: int, *, nulls: bool, huge: bool) -> str:
    samples = _samples(seed, step_ms, count, nulls=nulls, huge=huge)
    held = [(_DAY * DAY_MS, 2)] if seed % 3 else [(_DAY * DAY_MS, 2), (samples.times_ms[50], 4)]
    facts = [Since(at_ms, Domain("u", "vm", "running", id=1, vcpus=n)) for at_ms, n in held]
    found = tiers.compact(Object(7, 1, "domain"), _DAY, samples, facts)
    assert found is not None
    keyframe = keyframes.encode("domain", _DAY, {7: found.hours.of(0)})
    assert keyframe is not None
    # What is compressed, for libraries compress it differently.
    parts = [zlib.decompress(blob) for blob in (*found.chunks[0].values(), keyframe)]
    parts.append(repr(found.days[0]).encode())
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


@pytest.mark.parametrize(
    ("seed", "step_ms", "count", "nulls", "huge", "expected"),
    [
        (1, 60_000, 1400, False, False, "df7a51dc8942582c"),
        (2, 60_000, 1400, True, False, "31855f76370fd45f"),
        (3, 60_000, 700, False, True, "7b2c6078c9955720"),
        (4, 60_000, 700, True, True, "b56be69197ad83af"),
        (5, 20_000, 4000, False, False, "a1cbada46e7e5d8e"),
        (6, 20_000, 900, True, True, "5e3581e37accd1c3"),
        (7, 1_200_000, 60, True, False, "56e769bdd8adf8b0"),
        (8, 300_000, 280, False, False, "b7f22247e42785b7"),
    ],
)
def test_a_day_is_put_together_to_the_same_bytes(
    seed: int, step_ms: int, count: int, nulls: bool, huge: bool, expected: str
) -> None:
    assert _digest(seed, step_ms, count, nulls=nulls, huge=huge) == expected
