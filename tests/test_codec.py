"""Vectors and blobs: any whole numbers come back, and what is damaged is an error."""

import tracemalloc
import zlib
from collections.abc import Callable, Sized
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import StoreError
from app.store import archive, codec, keyframes
from app.store.buckets import Column, Rolled
from app.store.codec import decode, deflated, encode
from app.store.vectors import Vector, pack, unpack

_ANY = st.one_of(
    st.integers(-300, 300), st.integers(), st.integers(-(2**63), 2**63 - 1), st.integers(2**62)
)
_STEPPED = st.tuples(_ANY, st.integers(-(2**40), 2**40), st.integers(0, 300)).map(
    lambda parts: [parts[0] + n * parts[1] for n in range(parts[2])]
)
_LISTS = st.one_of(
    st.lists(_ANY, max_size=50),
    st.tuples(_ANY, st.integers(0, 300)).map(lambda pair: [pair[0]] * pair[1]),
    _STEPPED,
    st.lists(st.integers(0, 500), max_size=300).map(lambda numbers: [n * 4096 for n in numbers]),
)


def _carried(vector: Vector) -> Vector:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(vector), type=Vector)


@given(_LISTS, st.booleans())
def test_any_whole_numbers_come_back_from_a_vector(numbers: list[int], by_steps: bool) -> None:
    assert unpack(_carried(pack(numbers, by_steps=by_steps))).tolist() == numbers


@given(_LISTS, st.integers(0, 60), st.integers(0, 60))
def test_a_vector_that_is_not_told_by_steps_gives_a_part(
    numbers: list[int], start: int, stop: int
) -> None:
    part = slice(start, stop)
    assert unpack(_carried(pack(numbers, by_steps=False)), part).tolist() == numbers[part]


def test_of_a_vector_that_is_told_by_steps_no_part_is_made_up() -> None:
    vector = pack([5, 6, 7, 9])
    assert vector.first == 5
    with pytest.raises(ValueError, match="steps"):
        unpack(vector, slice(1, 2))


@pytest.mark.parametrize("numbers", [[7] * 1440, list(range(0, 1440 * 60, 60)), [-(2**63)] * 1440])
def test_what_does_not_change_or_changes_evenly_takes_a_few_bytes(numbers: list[int]) -> None:
    assert len(msgspec.msgpack.encode(pack(numbers))) < 32


# --- damage --------------------------------------------------------------------------------


def _a_chunk() -> bytes:
    used = Column("gauge", [1, 2, 1], [9, 7, 30], [9, 1, 30], [9, 6, 30])
    counted = Column("counter", [59_990, 0, 60_010], [10**9, 0, 7], [16, 0, 0], [40, 0, 7])
    huge = Column("gauge", [1, 2, 1], [2**70, -4, 0])
    return encode(Rolled([3, 4, 9], {"used": used, "counted": counted, "huge": huge}))


def _read_chunk(blob: bytes) -> None:
    found = decode(blob)
    for column in found.columns.values():
        low, high = column.bounds()
        lists: tuple[Sized, ...] = (found.starts, column.weight, column.total, low, high)
        assert len(set(map(len, lists))) == 1


def _a_keyframe() -> bytes:
    hours = {
        number: Rolled([24, 25], {"allocation_bytes": Column("gauge", [1, 1], [number, 2**40])})
        for number in (4, 5, 900)
    }
    blob = keyframes.encode("volume", 1, hours)
    assert blob is not None
    return blob


def _read_keyframe(blob: bytes) -> None:
    keyframes.decode("volume", blob, 1)
    day = keyframes.decode_day(blob, {"allocation_bytes"})
    for values in day.values.values():
        assert len(values) == 24 * len(day.entity_ids)


def test_keyframes_of_the_first_version_are_read() -> None:
    """They had no codes."""
    vector = [48, 0, 2**31 + 8, None, 1, bytes(47) + b"\x01", ""]
    entities = [2, 4, 1, None, 1, b"\x00\x05", ""]
    first = [1, entities, [["allocation_bytes", vector]]]
    blob = zlib.compress(msgspec.msgpack.encode(first))
    assert keyframes.decode("volume", blob, 23)[9].sample.allocation_bytes == 2**31 + 7
    assert keyframes.decode("volume", blob, 22) == {}


def _an_archive() -> bytes:
    rows = [
        archive.ScanRow(1000 * n, 5 + n % 2, n % 3 != 0, 20, 0, 60_000,
                        None if n == 4 else 1500 * n, 127, 27, 0,
                        "timeout" if n % 3 == 0 else None, None, None, None)
        for n in range(8)
    ]  # fmt: skip
    return archive.encode(rows)


def _read_archive(blob: bytes) -> None:
    day = archive.ArchivedDay(blob)
    for position in range(len(day.times_ms)):
        day.row(position)


_BLOBS: list[tuple[Callable[[], bytes], Callable[[bytes], None]]] = [
    (_a_chunk, _read_chunk), (_a_keyframe, _read_keyframe), (_an_archive, _read_archive),
]  # fmt: skip
_NAMES = ["chunk", "keyframe", "scans"]


@pytest.mark.parametrize(("make", "read"), _BLOBS, ids=_NAMES)
@given(data=st.data())
def test_what_was_damaged_before_it_was_packed_is_an_error_or_whole(
    make: Callable[[], bytes], read: Callable[[bytes], None], data: Any
) -> None:
    """The sum that zlib keeps finds what a disk did; this is what else may be wrong."""
    text = bytearray(zlib.decompress(make()))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        end = at + data.draw(st.integers(0, 3))
        text[at:end] = data.draw(st.binary(max_size=3))
        if not text:
            return
    try:
        read(zlib.compress(bytes(text)))
    except StoreError:
        return


@pytest.mark.parametrize(("make", "read"), _BLOBS, ids=_NAMES)
def test_no_byte_that_is_another_is_worse_than_an_error(
    make: Callable[[], bytes], read: Callable[[bytes], None]
) -> None:
    text = zlib.decompress(make())
    for at in range(len(text)):
        for other in (0x00, 0x7F, 0x80, 0x90, 0xA1, 0xC0, 0xC4, 0xCF, 0xD3, 0xDD, 0xFF):
            damaged = text[:at] + bytes([other]) + text[at + 1 :]
            try:
                read(zlib.compress(damaged, 1))
            except StoreError:
                continue


@pytest.mark.parametrize("count", [1 << 17, 1 << 23, 1 << 40, -1])
def test_a_chunk_that_claims_to_be_huge_fills_no_memory(count: int) -> None:
    """A vector of one number many times takes a few bytes, however many they are."""
    endless = Vector(count, 5)
    with pytest.raises(StoreError):
        decode(deflated(codec._Chunk(1, endless, (), ())))
    column = codec._Column("a", "gauge", 0, endless)
    for weight in (Vector(1, 1), endless):
        with pytest.raises(StoreError):
            decode(deflated(codec._Chunk(1, Vector(1, 7), (weight,), (column,))))


_MANY = 1 << 16
_NAMED = [f"s{number}" for number in range(1 << 8)]


def _columns_of_constants() -> bytes:
    """Each vector is a few bytes, the buckets and the series are as many as they may be."""
    columns = tuple(codec._Column(name, "gauge", 0, Vector(_MANY, 5)) for name in _NAMED)
    return deflated(codec._Chunk(1, Vector(_MANY, 7, 1, 7), (Vector(_MANY, 1),), columns))


def _columns_without_end() -> bytes:
    column = codec._Column("a", "gauge", 0, Vector(1))
    return deflated(codec._Chunk(1, Vector(1, 7), (Vector(1, 1),), (column,) * 10**6))


def _weights_without_end() -> bytes:
    return deflated(codec._Chunk(1, Vector(1, 7), (Vector(1, 1),) * 10**6, ()))


def _a_long_text() -> bytes:
    column = codec._Column("a", "gauge", 0, Vector(3, text="1," * 10**7 + "1"))
    return deflated(codec._Chunk(1, Vector(3, 7, 1, 7), (Vector(3, 1),), (column,)))


def _objects_without_end() -> bytes:
    return deflated(keyframes._Keyframe(1, Vector(1 << 22, 7, 1, 7), ()))


def _objects_of_constants() -> bytes:
    values = tuple(keyframes._Values(name, Vector(24 * _MANY, 5)) for name in _NAMED)
    return deflated(keyframes._Keyframe(1, Vector(_MANY, 7, 1, 7), values))


def _scans_without_end() -> bytes:
    return deflated(archive._Day(1, dict.fromkeys(archive._NUMBERS, Vector(1 << 22, 7)), {}))


def _texts_without_end() -> bytes:
    numbers = dict.fromkeys(archive._NUMBERS, Vector(1, 7))
    return deflated(
        archive._Day(1, numbers, {"problem": archive._Texts(("",) * 4 * 10**6, Vector(1))})
    )


@pytest.mark.parametrize(
    ("made", "read"),
    [
        (_columns_of_constants, decode),
        (_columns_without_end, decode),
        (_weights_without_end, decode),
        (_a_long_text, decode),
        (_objects_without_end, lambda blob: keyframes.decode("volume", blob, 1)),
        (_objects_of_constants, lambda blob: keyframes.decode("volume", blob, 1)),
        (_objects_of_constants, lambda blob: keyframes.decode_day(blob, set(_NAMED))),
        (_scans_without_end, archive.ArchivedDay),
        (_texts_without_end, archive.ArchivedDay),
    ],
)
def test_a_blob_of_few_bytes_that_claims_millions_of_numbers_is_an_error_at_once(
    made: Callable[[], bytes], read: Callable[[bytes], object]
) -> None:
    """What it takes to find out is the text that it inflates to, and less than as much again."""
    blob = made()
    assert len(blob) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match="damaged") as raised:
            read(blob)
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most_bytes < 2 * (64 << 20)
    assert raised.value.problem == "damaged"


def test_steps_without_a_number_are_an_error() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        unpack(Vector(0, 5, first=5))


def test_a_difference_of_what_is_not_there_is_an_error() -> None:
    for pair in ((0, 0), (0, 7), (-1, 0)):
        column = codec._Column("a", "gauge", 0, Vector(0), difference=pair)
        with pytest.raises(StoreError):
            decode(deflated(codec._Chunk(1, Vector(1, 7), (Vector(1, 1),), (column,))))


def test_a_blob_that_inflates_without_end_is_an_error() -> None:
    with pytest.raises(StoreError, match="does not end"):
        decode(zlib.compress(bytes(65 << 20), 1))
