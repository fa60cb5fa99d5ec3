"""The archive of scans: packed or not, every past moment is told the same."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.errors import StoreError
from app.inventory import Missing
from app.store import archive, archived, schema
from app.store.building import Builder, Parsed
from app.store.compaction import Compactor
from app.store.density import gaps_between
from app.store.engine import Store
from app.store.gap_list import list_gaps
from app.store.history import scans
from app.store.record import Recorder
from app.store.retention import Lengths, Retention
from app.store.scan_list import OUTCOMES, ScanOutcome, ScansWanted, list_scans
from tests.made_once import open_store
from tests.storing import a_host, a_store
from tests.test_compaction import DAY, INTERVAL, START, a_scan, rows, work

__all__ = ["a_store"]

LENGTHS = Lengths(DAY, 3 * DAY, 100 * DAY, 200 * DAY, 400 * DAY)
END = START + 8 * DAY


@st.composite
def a_story(draw: Any) -> list[tuple[str, int, int]]:
    """How the scans of six days went: for stretches of them, how, how many, how long each took."""
    hows = st.sampled_from(["quiet", "quiet", "refused", "partial", "busy", "away", "no volumes"])
    stretches = st.tuples(hows, st.integers(1, 90), st.sampled_from([10, 20_000, 300_000]))
    found: list[tuple[str, int, int]] = draw(st.lists(stretches, min_size=3, max_size=14))
    return found


def tell(store: Store, story: list[tuple[str, int, int]]) -> None:
    recorder = Recorder(store, a_host(store, "kvm-01"), INTERVAL)
    with store.writing() as connection:
        connection.exec_driver_sql(f"UPDATE host SET created_at_ms = {START - 1000}")
    number = 0
    for how, count, took_ms in story:
        for _ in range(count):
            number += 1
            if how == "away" or number > 6 * 72:
                continue
            at_ms = START + number * INTERVAL + number % 5
            scan = a_scan(at_ms, number, ok=how != "refused")
            if how == "busy":
                scan = a_scan(at_ms, number, domain_id=number)
            if how == "partial":
                gone = (Missing("networks", "It did not answer."),)
                scan = replace(scan, pools=None, pool_samples=None, missing=gone, volumes={})
            if how in ("partial", "no volumes"):
                scan = replace(scan, volume_samples={}, volumes_measured=False)
            recorder.record(replace(scan, took_ms=took_ms, next_at_ms=at_ms + INTERVAL))
    recorder.record(a_scan(END, number + 1))


def told(store: Store, moments: list[int]) -> list[Any]:
    found: list[Any] = []
    with store.reading() as connection:
        for at_ms in moments:
            found.append(Builder(connection, at_ms, at_ms, Parsed()).build()[0])
        for longest_ms in (INTERVAL + 10_000, 4 * INTERVAL, 2 * DAY):
            for from_ms, to_ms in ((START, END), (START + DAY + 7, START + 2 * DAY)):
                found.append(gaps_between(connection, from_ms, to_ms, longest_ms, None))
                found.append(gaps_between(connection, from_ms, to_ms, longest_ms, frozenset({1})))
        found.append(archived.good_scans(connection, 1, START + DAY, START + 3 * DAY))
    for turn, at_ms in enumerate(moments[::10]):
        found.append(scans(store, 1, at_ms, 20))
        found += listed(store, at_ms, turn)
    return found


def listed(store: Store, at_ms: int, turn: int) -> list[Any]:
    """Pages of the scans of some stretches as of a moment, in one order for each by turns, and at
    every third the gaps between them.
    """
    found: list[Any] = []
    everything: tuple[tuple[ScanOutcome, ...], ...] = ((), OUTCOMES)
    narrow: tuple[tuple[ScanOutcome, ...], ...] = (
        everything[turn // 2 % 2],
        ("failed",),
        ("ok", "partial"),
    )
    for place, (from_ms, to_ms) in enumerate(((START, at_ms), (START + DAY + 7, START + 2 * DAY))):
        for outcomes in narrow:
            wanted = ScansWanted((1,), from_ms, to_ms, outcomes, at_ms)
            if (turn + place) % 2:
                found.append(list_scans(store, wanted, limit=20, offset=7))
            else:
                found.append(list_scans(store, wanted, limit=5, sort="took", descending=False))
    if turn % 3 == 0:
        wanted = ScansWanted((1,), at_ms - 3 * DAY, at_ms, as_of_ms=at_ms)
        found.append(list_gaps(store, wanted, limit=1000, sort="duration" if turn % 2 else "from"))
    return found


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=a_story(), offsets=st.lists(st.integers(0, 6 * DAY), min_size=40, max_size=60))
def test_every_past_moment_is_told_the_same_when_scans_are_packed(
    story: list[Any], offsets: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = open_store(tmp_path_factory.mktemp("store") / "npvirt.sqlite")
    tell(store, story)
    work(Compactor(store), END)
    # All but the samples, which go their own way, is to be told from the archive alone.
    list(Retention(store, LENGTHS)._samples(END - LENGTHS.recent_ms))
    with store.reading() as connection:
        table = schema.scan
        times = [row.at_ms for row in connection.execute(table.select())]
    moments = [START + offset for offset in offsets] + times[::7] + [at + 1 for at in times[::11]]
    before = told(store, moments)
    count = rows(store, schema.scan)
    work(Retention(store, LENGTHS), END)
    after = told(store, moments)
    for one, other in zip(before, after, strict=True):
        assert one == other
    packed = rows(store, schema.scan_day)
    assert rows(store, schema.scan) <= count - packed
    store.close()


def test_of_a_quiet_day_a_few_rows_stay(a_store: Store) -> None:
    tell(a_store, [("quiet", 6 * 72, 10)])
    work(Compactor(a_store), END)
    work(Retention(a_store, LENGTHS), END)
    assert rows(a_store, schema.scan_day) == 5
    assert rows(a_store, schema.scan) <= 73 + 5 * 4
    # A second run finds nothing to do.
    version = a_store.version()
    work(Retention(a_store, LENGTHS), END)
    assert a_store.version() == version or rows(a_store, schema.scan_day) == 5


def test_a_host_that_fails_for_weeks_counts_all_its_failures(a_store: Store) -> None:
    tell(a_store, [("quiet", 50, 10), ("refused", 380, 10)])
    with a_store.writing() as connection:
        connection.exec_driver_sql(f"DELETE FROM scan WHERE at_ms = {END}")
    recorder = Recorder(a_store, a_host(a_store, "kvm-02"), INTERVAL)
    recorder.record(a_scan(END, 1))
    work(Compactor(a_store), END)
    work(Retention(a_store, LENGTHS), END)
    with a_store.reading() as connection:
        seen = Builder(connection, None, END, Parsed()).build()[0]
    status = seen.hosts[0].status
    assert status.failures == 380
    assert status.last_ok_at_ms == START + 50 * INTERVAL
    assert status.sentence == "Nothing listens there."


def test_scans_whose_samples_are_still_there_are_not_packed(a_store: Store) -> None:
    tell(a_store, [("quiet", 6 * 72, 10)])
    work(Compactor(a_store), END)
    work(Retention(a_store, replace(LENGTHS, recent_ms=4 * DAY, minutes_ms=4 * DAY + 1)), END)
    with a_store.reading() as connection:
        packed = connection.exec_driver_sql("SELECT max(id & 0xFFFFFFFF) FROM scan_day").scalar()
        oldest = connection.exec_driver_sql("SELECT min(ts) FROM sample_domain").scalar()
    assert ((packed or 0) + 1) * DAY <= (oldest or 0)


def test_a_damaged_day_is_an_error(a_store: Store) -> None:
    with pytest.raises(StoreError):
        archive.ArchivedDay(b"x")
