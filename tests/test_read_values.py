"""libvirt's answers as values: statistics, guest information, words; all of it bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.inventory import DOMAIN_STATES, Guest, GuestAddress
from app.virt.read.agent import guest_of
from app.virt.read.look import each
from app.virt.read.stats import Shape, beyond_count, sample_of
from app.virt.read.words import domain_state, own_name, pool_state, state_reason, version
from app.virt.xml.values import MAX_INTEGER, MAX_TEXT_BYTES

RECORD = {
    "state.state": 1,
    "cpu.time": 5,
    "balloon.current": 1024,
    "balloon.rss": 2048,
    "net.count": 2,
    "net.0.rx.bytes": 10,
    "net.1.rx.bytes": 5,
    "block.count": 2,
    "block.0.rd.bytes": 7,
    "block.1.name": "sda",
}


def test_a_sample_sums_over_devices_and_leaves_the_untold_unknown() -> None:
    sample = sample_of(RECORD)
    assert sample.cpu_time_ns == 5
    assert sample.memory_bytes == 1 << 20
    assert sample.memory_rss_bytes == 2 << 20
    assert sample.memory_usable_bytes is None
    assert sample.net_rx_bytes == 15
    assert sample.net_tx_bytes is None
    assert sample.disk_read_bytes == 7


def test_a_domain_without_devices_moved_nothing() -> None:
    sample = sample_of({"net.count": 0, "block.count": 0})
    assert (sample.net_rx_bytes, sample.disk_write_bytes) == (0, 0)


@pytest.mark.parametrize("key", ["cpu.time", "balloon.current", "net.0.rx.bytes"])
def test_a_counter_beyond_63_bits_is_unknown_and_counted(key: str) -> None:
    record = {**RECORD, "net.count": 1, key: MAX_INTEGER + 1}
    sample = sample_of(record)
    values = {
        "cpu.time": sample.cpu_time_ns,
        "balloon.current": sample.memory_bytes,
        "net.0.rx.bytes": sample.net_rx_bytes,
    }
    assert values[key] is None
    assert beyond_count(record) == 1


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*RECORD, "net.0.tx.bytes", "block.1.rd.bytes", "vcpu.current"]),
        st.integers(-(2**64), 2**64) | st.text() | st.none(),
    )
)
def test_no_record_gives_a_value_that_the_store_cannot_hold(record: dict[str, object]) -> None:
    sample = sample_of(record)
    values = [getattr(sample, name) for name in sample.__struct_fields__]
    assert all(value is None or 0 <= value <= MAX_INTEGER for value in values)


def test_a_busy_domain_that_tells_less_has_not_changed_its_shape() -> None:
    shape = Shape(1024, 2048, 1, 2)
    assert not shape.differs(Shape(None, 2048, None, 2))
    assert shape.differs(Shape(1025, None, None, None))
    assert Shape(1, None, None, 2).over(shape) == Shape(1, 2048, 1, 2)
    assert shape.over(None) is shape


def test_guest_information_becomes_a_guest_without_loopback() -> None:
    guest = guest_of(
        {
            "hostname": "tiny",
            "os.pretty-name": "Tiny 1",
            "if.count": 2,
            "if.0.name": "lo",
            "if.0.addr.count": 1,
            "if.0.addr.0.addr": "127.0.0.1",
            "if.0.addr.0.prefix": 8,
            "if.1.name": "eth0",
            "if.1.hwaddr": "52:54:00:00:00:01",
            "if.1.addr.count": 2,
            "if.1.addr.0.addr": "192.0.2.7",
            "if.1.addr.0.prefix": 24,
            "if.1.addr.1.addr": "2001:db8::7",
            "if.1.addr.1.prefix": 64,
        }
    )
    addresses = ("192.0.2.7/24", "2001:db8::7/64")
    expected = GuestAddress("eth0", "52:54:00:00:00:01", addresses)
    assert guest == Guest("tiny", "Tiny 1", (expected,))


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "hostname",
                "os.name",
                "os.pretty-name",
                "if.count",
                "if.0.name",
                "if.0.hwaddr",
                "if.0.addr.count",
                "if.0.addr.0.addr",
                "if.0.addr.0.prefix",
            ]
        ),
        st.integers(-5, 2**70) | st.text(max_size=9000) | st.none(),
    )
)
def test_a_lying_agent_breaks_nothing_and_stays_small(info: dict[str, object]) -> None:
    guest = guest_of(info)
    assert len((guest.hostname or "").encode()) <= MAX_TEXT_BYTES
    assert len(guest.addresses) <= 256


def test_a_name_that_is_no_utf8_is_told_with_its_bytes_and_marked() -> None:
    def name() -> str:
        return b"caf\xe9.img".decode()

    assert own_name(name) == ("caf\\xe9.img", "Its name is not valid UTF-8.")
    assert own_name(lambda: "plain") == ("plain", None)


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (1, 1, ("running", "booted")),
        (3, 5, ("paused", "io-error")),
        (5, 2, ("shutoff", "destroyed")),
        (6, 1, ("crashed", "panicked")),
        (7, 0, ("pmsuspended", None)),
        (5, 0, ("shutoff", None)),
        (5, 99, ("shutoff", None)),
    ],
)
def test_states_and_reasons_are_libvirts_words(
    state: int, reason: int, words: tuple[str, str | None]
) -> None:
    assert (domain_state(state), state_reason(domain_state(state), reason)) == words


def test_all_eight_states_and_five_pool_states_are_known_and_new_ones_break_nothing() -> None:
    assert tuple(domain_state(number) for number in range(8)) == DOMAIN_STATES
    assert domain_state(8) == "nostate"
    states = [pool_state(number) for number in range(6)]
    assert states[:5] == ["inactive", "building", "running", "degraded", "inaccessible"]
    assert states[5] == "inaccessible"


def test_versions_are_decoded() -> None:
    assert version(7002022) == "7.2.22"
    assert version(12_008_000) == "12.8.0"


@settings(deadline=None)
@given(st.lists(st.integers(), max_size=100))
def test_reading_side_by_side_keeps_the_order(items: list[int]) -> None:
    assert each(lambda item: item + 1, items) == [item + 1 for item in items]


def test_an_error_side_by_side_is_raised() -> None:
    def read(item: int) -> int:
        if item == 70:
            raise ValueError("seventy")
        return item

    with pytest.raises(ValueError, match="seventy"):
        each(read, list(range(100)))
