"""Keyframes: what all objects of a host were, hour by hour, for a look at the fleet long ago.

A blob a day for each host and kind: each value of each object in each hour, of gauges the mean, of
counters what they counted a second. Lists are drawn from them once the samples are gone, without
a look at the chunks of every object. Rates are kept to one part in 1,000, levels that moved in the
day to one in 4,000.
"""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import sqlalchemy as sa
from msgspec import Meta, Struct

from app.clock import DAY_MS, HOUR_MS
from app.errors import StoreError
from app.inventory import KIND_BY_NAME, KINDS, KindName
from app.metrics import SeriesType, series_of
from app.store import schema
from app.store.bounds import codes_of, values_of
from app.store.buckets import Rolled, implied
from app.store.codec import MOST_NUMBERS, MOST_SERIES, damaged, deflated, inflated
from app.store.numbers import Numbers, bit_lengths, extremes, numbers, roomy, size_of
from app.store.vectors import Vector, pack, unpack

HOURS = 24
KINDS_SHOWN: tuple[KindName, ...] = ("host", "domain", "pool", "volume")
_NUMBER: Mapping[str, int] = {kind.name: position for position, kind in enumerate(KINDS)}
_VERSION = 2
# The first version had no codes, and kept levels whole.
_VERSIONS = (1, 2)
# Of a kind on a host, and what is read of all of them: damaged ones must not fill the memory.
_MOST_OBJECTS = 1 << 16
_MOST_NUMBERS = 4 * MOST_NUMBERS
# So many leading bits are kept: of levels more, for lists tell differences of them.
_BITS: Mapping[SeriesType, int] = {"gauge": 11, "counter": 9}


class _Values(Struct, array_like=True, frozen=True):
    """A series of all objects: hour after hour, each with one more than its value; 0: unknown.
    Where `bits` is not 0, values are codes of as many leading bits (app/store/bounds).
    """

    name: str
    vector: Vector
    bits: Annotated[int, Meta(ge=0, le=32)] = 0


class _Keyframe(Struct, array_like=True, frozen=True):
    version: int
    entities: Vector
    series: Annotated[tuple[_Values, ...], Meta(max_length=MOST_SERIES)]


class Measured(Struct, frozen=True):
    """What an object was in an hour: a sample with the means of its gauges, and its rates."""

    sample: Any
    rates: Mapping[str, int]


def keyframe_id(host_id: int, kind: KindName, day: int) -> int:
    """The id of the blob of a host, a kind and a day (since 1970)."""
    return (host_id << 32) | (_NUMBER[kind] << 24) | day


class Hours(Struct, frozen=True):
    """The hours of objects that were put together, in their order."""

    entity_ids: Sequence[int]
    rolled: Rolled


def encode(kind: KindName, day: int, hours: Mapping[int, Rolled]) -> bytes | None:
    """The blob of a day of the objects of a kind, by id; None where nothing was measured."""
    work = encoding(kind, day, [Hours([one], rolled.wide()) for one, rolled in hours.items()])
    while True:
        try:
            next(work)
        except StopIteration as ended:
            found: bytes | None = ended.value
            return found


def encoding(
    kind: KindName, day: int, hours: Sequence[Hours]
) -> Generator[None, None, bytes | None]:
    """The same in pieces, a series at a time, of objects that were put together."""
    entity_ids = sorted(entity_id for one in hours for entity_id in one.entity_ids)
    found = []
    for series in series_of(kind):
        if series.of is not None or series.type == "events":
            continue
        bits = _BITS[series.type]
        values = _means(hours, entity_ids, series.name, bits, day * HOURS)
        if values.any():
            yield
            known = values != 0
            codes = np.where(known, codes_of(np.where(known, values - 1, 0), bits) + 1, 0)
            has_codes = np.array_equal(_numbers(codes, bits), values)
            vector = pack((codes if has_codes else values).ravel(), by_steps=False)
            found.append(_Values(series.name, vector, bits if has_codes else 0))
        yield
    if not found:
        return None
    return deflated(_Keyframe(_VERSION, pack(entity_ids), tuple(found)), HOURS * len(entity_ids))


def _unpacked(values: _Values, part: slice | None = None) -> list[int]:
    """One more than each value; raises ValueError for damaged ones."""
    found = unpack(values.vector, part)
    told: list[int] = (_numbers(found, values.bits) if values.bits else found).tolist()
    return told


def _numbers(codes: Numbers, bits: int) -> Numbers:
    known = codes != 0
    told = values_of(np.where(known, codes - 1, 0), bits)
    return np.where(known, roomy(told, extremes(told)[1] + 1) + 1, 0)


def _means(
    all_hours: Sequence[Hours], entity_ids: Sequence[int], name: str, bits: int, first_hour: int
) -> Numbers:
    """One more than the mean in each hour of each object, 0 where nothing was seen. What moved is
    rounded to its leading bits.
    """
    shape = (HOURS, len(entity_ids))
    found = [(one, one.rolled.columns[name]) for one in all_hours if name in one.rolled.columns]
    if not found:
        return np.zeros(shape, np.int64)
    kept = np.int64 if all(column.total.dtype == np.int64 for _, column in found) else object
    total, weight = np.zeros(shape, kept), np.zeros(shape, np.int64)
    for one, column in found:
        hours = numbers(one.rolled.starts) - first_hour
        cells = np.ix_(hours, np.searchsorted(entity_ids, one.entity_ids))
        total[cells], weight[cells] = column.total, column.weights()
    type_, seen = found[0][1].type, weight != 0
    if type_ == "gauge":
        total = roomy(total, size_of(total) + size_of(weight)) + weight // 2
        means = np.where(seen, total // np.where(seen, weight, 1), 0)
        least = np.where(seen, means, extremes(means)[1]).min(axis=0)
        means = np.where(least == means.max(axis=0), means, _rounded(means, bits))
    else:
        means = _rounded(implied(type_, weight, total), bits)
    return numbers(np.where(seen, roomy(means, 2 * size_of(means) + 1) + 1, 0))


def _rounded(values: Numbers, bits: int) -> Numbers:
    surplus = np.maximum(bit_lengths(values) - bits, 0)
    halves = np.where(surplus > 0, 1 << np.maximum(surplus - 1, 0), 0)
    return numbers(roomy(values, 2 * size_of(values)) + halves >> surplus << surplus)


def decode(kind: KindName, blob: bytes, hour: int) -> dict[int, Measured]:
    """What the objects of a blob were in one of its hours, by id: of those that were measured.
    Raises StoreError for a damaged blob.
    """
    keyframe = inflated(blob, _Keyframe)
    if keyframe.version not in _VERSIONS:
        raise StoreError(f"A keyframe has version {keyframe.version}, made by another npvirt.")
    try:
        entity_ids = _entities(keyframe, len(keyframe.series))
        part = slice(hour * len(entity_ids), (hour + 1) * len(entity_ids))
        for one in keyframe.series:
            _check(one, entity_ids)
        columns = {one.name: _unpacked(one, part) for one in keyframe.series}
    except (ValueError, IndexError) as error:
        raise damaged("A keyframe of the store is", error) from None
    return dict(_measured(kind, entity_ids, columns))


def _entities(keyframe: _Keyframe, numbers: int) -> list[int]:
    """Whose values these are, each having so many `numbers` that are wanted."""
    count = keyframe.entities.count
    if count > _MOST_OBJECTS or count * numbers > _MOST_NUMBERS:
        raise ValueError("it has too many numbers")
    entity_ids: list[int] = unpack(keyframe.entities).tolist()
    return entity_ids


def _check(values: _Values, entity_ids: Sequence[int]) -> None:
    """Raise ValueError for values that are not those of every hour and object."""
    if values.vector.count != HOURS * len(entity_ids):
        raise ValueError("its series differ in length")


class Day(Struct, frozen=True):
    """Series of all objects of a blob over its day: `values[name][hour * len(entity_ids) + n]` is
    one more than that of the n-th object, 0 where it is unknown.
    """

    entity_ids: Sequence[int]
    values: Mapping[str, Sequence[int]]


def decode_day(blob: bytes, names: Collection[str]) -> Day:
    """Some series of a blob, all hours of them; raises StoreError for a damaged blob."""
    keyframe = inflated(blob, _Keyframe)
    if keyframe.version not in _VERSIONS:
        raise StoreError(f"A keyframe has version {keyframe.version}, made by another npvirt.")
    try:
        wanted = [one for one in keyframe.series if one.name in names]
        entity_ids = _entities(keyframe, HOURS * len(wanted))
        for one in wanted:
            _check(one, entity_ids)
        return Day(entity_ids, {one.name: _unpacked(one) for one in wanted})
    except (ValueError, IndexError) as error:
        raise damaged("A keyframe of the store is", error) from None


def _measured(
    kind: KindName, entity_ids: Sequence[int], columns: Mapping[str, Sequence[int]]
) -> Iterable[tuple[int, Measured]]:
    struct = KIND_BY_NAME[kind].sample
    assert struct is not None
    types = {series.name: series.type for series in series_of(kind)}
    gauges = [name for name in columns if types.get(name) == "gauge"]
    counters = [name for name in columns if types.get(name) == "counter"]
    for position, entity_id in enumerate(entity_ids):
        levels = {name: v - 1 for name in gauges if (v := columns[name][position])}
        rates = {name: v - 1 for name in counters if (v := columns[name][position])}
        if levels or rates:
            yield entity_id, Measured(struct(**levels), rates)


def write(
    connection: sa.Connection, host_id: int, day: int, blobs: Mapping[KindName, bytes | None]
) -> None:
    """Store the keyframes of a host's day in place of what was there."""
    table = schema.keyframe
    for kind, body in blobs.items():
        number = keyframe_id(host_id, kind, day)
        connection.execute(sa.delete(table).where(table.c.id == number))
        if body is not None:
            connection.execute(sa.insert(table).values(id=number, body=body))


def read(
    connection: sa.Connection, wanted: Iterable[tuple[int, KindName, int]]
) -> dict[tuple[int, KindName], dict[int, Measured]]:
    """What was measured in the hours in which hosts were seen: `wanted` names a host's id, a kind
    and a time of each; the answer is by host and kind. What is damaged is not there.
    """
    table = schema.keyframe
    by_id = {
        keyframe_id(host_id, kind, at_ms // DAY_MS): (host_id, kind, at_ms % DAY_MS // HOUR_MS)
        for host_id, kind, at_ms in wanted
    }
    found: dict[tuple[int, KindName], dict[int, Measured]] = {}
    ids = list(by_id)
    for start in range(0, len(ids), 500):
        query = sa.select(table.c.id, table.c.body).where(table.c.id.in_(ids[start : start + 500]))
        for number, body in connection.execute(query):
            host_id, kind, hour = by_id[number]
            try:
                found[(host_id, kind)] = decode(kind, body, hour)
            except StoreError:
                continue
    return found
