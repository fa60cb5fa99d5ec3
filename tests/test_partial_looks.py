"""Looks at some objects between the scans, as stored: their times, and that the past stays put."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.inventory import Definition, Domain, Network, PartialLook, Pool, Scan, Volume, What
from app.store.changes import Change, Wanted, latest
from app.store.engine import Store
from app.store.history import definition, fleet, scans
from app.store.hosts import get_host
from app.store.record import Recorder
from tests.made_once import open_store
from tests.storing import BASE_MS, a_host, a_store

__all__ = ["a_store"]

S = 1000
_STATE: frozenset[What] = frozenset(("state",))


def domain(state: str = "running", uuid: str = "w", title: str | None = None) -> Domain:
    number = 1 if state == "running" else None
    return Domain(uuid=uuid, name=f"vm-{uuid}", state=state, id=number, title=title)


def scan(at_ms: int, *domains: Domain, took_ms: int = 10) -> Scan:
    return Scan(BASE_MS + at_ms, took_ms, ok=True, domains={one.uuid: one for one in domains})


def look(at_ms: int, uuid: str, found: Domain | None, took_ms: int = 60) -> PartialLook:
    told = {("domain", uuid): _STATE}
    return PartialLook(BASE_MS + at_ms, took_ms, told, domains={uuid: found})


@pytest.fixture
def recorder(a_store: Store) -> Recorder:
    return Recorder(a_store, a_host(a_store, "h"), 10 * S)


def states(store: Store, at_ms: int | None) -> dict[str, str]:
    moment_ms = None if at_ms is None else BASE_MS + at_ms
    return {seen.key: seen.fact.state for seen in fleet(store, moment_ms).domains}


def told(store: Store, as_of_ms: int | None = None) -> list[Change]:
    moment_ms = None if as_of_ms is None else BASE_MS + as_of_ms
    return latest(store, Wanted(as_of_ms=moment_ms, kinds=("domain",)), 99)[::-1]


def test_what_is_found_is_known_from_when_it_was_stored_for_sure(
    a_store: Store, recorder: Recorder
) -> None:
    recorder.record(scan(0, domain()))
    before = {at_ms: states(a_store, at_ms) for at_ms in (9_999, 10_001, 10_300)}
    listed = told(a_store, 10_300)
    recorder.record_partial(look(10_000, "w", domain("shutoff")))
    assert {at_ms: states(a_store, at_ms) for at_ms in before} == before
    assert told(a_store, 10_300) == listed
    assert states(a_store, 10_000) == states(a_store, 10_600) == states(a_store, None)
    assert states(a_store, None) == {"w": "shutoff"}
    assert [one.what for one in told(a_store, 10_600)] == ["stopped"]


def test_a_look_that_changes_nothing_stores_nothing(a_store: Store, recorder: Recorder) -> None:
    recorder.record(scan(0, domain()))
    version = a_store.version()
    assert recorder.record_partial(look(5_000, "w", domain())) == frozenset()
    assert recorder.record_partial(look(6_000, "unheard-of", None)) == frozenset()
    assert a_store.version() == version


def test_the_kinds_of_what_changed_are_given(a_store: Store, recorder: Recorder) -> None:
    recorder.record(scan(0, domain()))
    pool, network = Pool("p", "pool", "running"), Network("n", "net", "active")
    found = PartialLook(
        BASE_MS + 5_000, 20, {},
        domains={"w": domain("paused")},
        definitions={"w": Definition("<domain/>")},
        pools={"p": pool},
        volumes={"p": {"v": Volume("p", "v")}},
        networks={"n": network},
    )  # fmt: skip
    kinds = recorder.record_partial(found)
    assert kinds == {"domain", "definition", "pool", "volume", "network"}
    assert [one.fact for one in fleet(a_store, None).volumes] == [Volume("p", "v")]
    gone = PartialLook(BASE_MS + 6_000, 20, {}, pools={"p": None}, domains={"w": None})
    assert recorder.record_partial(gone) == {"domain", "definition", "pool", "volume"}
    now = fleet(a_store, None)
    assert (now.domains, now.pools, now.volumes) == ((), (), ())
    assert [one.fact for one in now.networks] == [network]


def test_a_look_is_no_scan(a_store: Store, recorder: Recorder) -> None:
    recorded = recorder.record(scan(0, domain()))
    recorder.record_partial(look(5_000, "w", domain("shutoff")))
    now = fleet(a_store, None)
    (view,) = now.hosts
    assert view.status.last_try_at_ms == recorded.at_ms == now.as_of_ms
    assert len(scans(a_store, view.record.id, None, 9)) == 1
    (seen,) = now.domains
    # It was seen since.
    assert seen.at_ms == seen.valid_from_ms == BASE_MS + 5_000


def test_times_of_a_host_never_meet_nor_turn_back(a_store: Store, recorder: Recorder) -> None:
    recorder.record(scan(0, domain()))
    recorder.record_partial(look(5_000, "w", domain("shutoff")))
    # The wall clock was set back.
    recorder.record_partial(look(4_000, "w", domain("running")))
    assert states(a_store, 5_001) == {"w": "running"}
    # A scan of the very time of an event, and one that began before it: not the clock's fault.
    assert recorder.record(scan(5_001, domain())).at_ms == BASE_MS + 5_002
    recorder.record_partial(look(9_000, "w", domain("paused")))
    newer = {("domain", "w")}
    assert recorder.record(scan(8_000, domain()), newer).at_ms == BASE_MS + 8_000
    assert states(a_store, None) == {"w": "paused"}
    with a_store.reading() as connection:
        stepped = connection.exec_driver_sql("SELECT sum(clock_stepped) FROM scan").scalar_one()
    assert stepped == 0


def test_what_a_scan_finds_of_other_things_is_stored(a_store: Store, recorder: Recorder) -> None:
    recorder.record(scan(0, domain(uuid="a"), domain(uuid="b"), domain(uuid="c")))
    recorder.record_partial(look(5_200, "a", domain("shutoff", "a")))
    recorder.record(scan(5_000, domain(uuid="a"), domain("paused", "b")), {("domain", "a")})
    assert states(a_store, None) == {"a": "shutoff", "b": "paused"}
    recorder.record(scan(9_000, domain("shutoff", "a"), domain("paused", "b")))
    assert [(one.key, one.what) for one in told(a_store)] == [
        ("b", "paused"), ("c", "deleted"), ("a", "stopped"),
    ]  # fmt: skip


def test_the_very_same_list_is_compared_again_after_whatever_came_between(
    a_store: Store, recorder: Recorder
) -> None:
    found = {"w": domain()}

    def same(at_ms: int) -> Scan:
        return Scan(BASE_MS + at_ms, 10, ok=True, domains=found)

    for at_ms in (0, 1_000):
        recorder.record(same(at_ms))
    recorder.record_partial(look(2_000, "w", domain("shutoff")))
    recorder.record(same(3_000))
    assert states(a_store, None) == {"w": "running"}
    recorder.record_partial(look(4_000, "w", domain("shutoff")))
    recorder.record(same(5_000), {("domain", "w")})
    assert states(a_store, None) == {"w": "shutoff"}
    recorder.record(same(5_500))
    assert states(a_store, None) == {"w": "running"}
    Recorder(a_store, get_host(a_store, "h"), 10 * S).record(scan(6_000, domain("paused")))
    recorder.record(same(7_000))
    assert states(a_store, None) == {"w": "running"}
    recorder.record(scan(8_000))
    recorder.record(same(9_000))
    assert states(a_store, None) == {"w": "running"}


def test_another_recorder_takes_over_where_the_first_one_stopped(
    a_store: Store, recorder: Recorder
) -> None:
    recorder.record(scan(0, domain()))
    recorder.record_partial(look(5_000, "w", domain("shutoff")))
    (view,) = fleet(a_store, None).hosts
    other = Recorder(a_store, view.record, 10 * S)
    other.record(scan(10_000, domain("paused")))
    recorder.record(scan(20_000, domain("running")))
    changes = [(one.what, one.at_ms - BASE_MS) for one in told(a_store)]
    assert changes == [("stopped", 5_000), ("started", 10_000), ("resumed", 20_000)]


def test_a_change_that_a_scan_finds_lies_after_the_last_look_at_that_object(
    a_store: Store, recorder: Recorder
) -> None:
    recorder.record(scan(0, domain(uuid="a"), domain(uuid="b")))
    recorder.record_partial(look(5_000, "a", domain("paused", "a")))
    recorder.record(scan(10_000, domain(uuid="a"), domain("paused", "b")))
    *_, a, b = sorted(told(a_store), key=lambda one: (one.at_ms, one.key))
    assert (a.what, a.after_ms) == ("resumed", BASE_MS + 5_000)
    assert (b.what, b.after_ms) == ("paused", BASE_MS)


# --- the past stays put ------------------------------------------------------------------------


class _Timeline:
    """Looks with times out of a strategy's numbers, in the order in which they are stored."""

    def __init__(self, numbers: list[tuple[int, int, int, int]]) -> None:
        self.steps: list[tuple[int, str, int, int, int]] = []
        free_ms = stored_ms = 0
        pending: list[tuple[int, str, int, int, int]] = []
        for pause, took, told_after, delay in numbers:
            begun_ms = max(free_ms, stored_ms) + 1 + pause
            over_ms = begun_ms + took
            # Told while the scan goes on, and stored before it or after.
            event_ms = begun_ms + told_after
            read_ms = max(event_ms + 50, stored_ms)
            pending = [
                (over_ms + delay, "scan", begun_ms, took, begun_ms),
                (read_ms + delay % 97, "look", event_ms, read_ms - event_ms, begun_ms),
            ]
            pending.sort()
            first, second = pending
            # Whatever is stored second was over only when the first was stored.
            if second[0] <= first[0] + 1:
                second = (first[0] + 1, *second[1:])
            length = max(second[3], first[0] - second[2])
            second = (max(second[0], second[2] + length), second[1], second[2], length, second[4])
            self.steps += [first, second]
            stored_ms = second[0]
            free_ms = stored_ms


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1500), st.integers(0, 3000), st.integers(0, 4000), st.integers(0, 480)
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_a_moment_is_the_same_whenever_it_is_asked_for(
    numbers: list[tuple[int, int, int, int]],
) -> None:
    with TemporaryDirectory() as directory:
        for store in _stores(Path(directory)):
            _check_moments(store, _Timeline(numbers))


def _stores(directory: Path) -> Iterator[Store]:
    store = open_store(directory / "npvirt.sqlite")
    try:
        yield store
    finally:
        store.close()


def _check_moments(store: Store, timeline: _Timeline) -> None:
    record = a_host(store, "h")
    recorder = Recorder(store, record, 10 * S)
    recorder.record(scan(-60_000, domain("running", "a"), domain("running", "b"), took_ms=1))
    answers: dict[int, object] = {}
    states_of = {"a": "running", "b": "running"}

    def ask(at_ms: int) -> object:
        moment_ms = BASE_MS + at_ms
        seen = definition(store, record.id, "a", moment_ms)
        return (
            states(store, at_ms),
            [(one.key, one.what, one.at_ms) for one in told(store, at_ms)],
            None if seen is None else seen.fact,
        )

    flip = {"running": "shutoff", "shutoff": "running"}
    stamps = [0]
    # Of a scan and an event of the same millisecond, one is put a little later.
    times = {at_ms + later for _, _, at_ms, _, _ in timeline.steps for later in (0, 1, 2)}
    for number, (stored_ms, sort, at_ms, took_ms, _) in enumerate(timeline.steps):
        # Asked just before this is stored, about what went before.
        for moment in {*stamps[-4:], at_ms + 5, stored_ms - 1, (at_ms + stored_ms) // 2}:
            # The very time of a look is that look's, whoever asks when: there is no other name
            # for what it found.
            if moment < stored_ms and moment not in times:
                answer = ask(moment)
                assert answers.setdefault(moment, answer) == answer, (moment, number)
        if sort == "look":
            states_of["a"] = flip[states_of["a"]]
            found = PartialLook(
                BASE_MS + at_ms, took_ms, {("domain", "a"): _STATE},
                domains={"a": domain(states_of["a"], "a")},
                definitions={"a": Definition(f"<domain n='{number}'/>")},
            )  # fmt: skip
            recorder.record_partial(found)
        else:
            states_of["b"] = flip[states_of["b"]]
            both = (domain(states_of[key], key) for key in ("a", "b"))
            # Of the one that is told of, the scan knows less.
            recorder.record(scan(at_ms, *both, took_ms=took_ms), {("domain", "a")})
        stamps += [at_ms, stored_ms]
    for moment, answer in answers.items():
        assert ask(moment) == answer, moment
