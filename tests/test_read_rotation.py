"""The turn of the slow parts: nothing is forgotten, and no scan is given too many."""

from hypothesis import given, settings
from hypothesis import strategies as st

from app.virt.read.rotation import Rotation


def test_a_part_that_was_never_read_is_due_at_once() -> None:
    rotation = Rotation(per_scan=1)
    rotation.begin(0.0)
    assert [rotation.due(part, 60.0) for part in "abc"] == [True, True, True]


def test_parts_come_in_turn_longest_overdue_first() -> None:
    rotation = Rotation(per_scan=1)
    rotation.begin(0.0)
    for part in "abc":
        rotation.due(part, 60.0)
    turns = []
    for now_s in (10.0, 60.0, 61.0, 62.0, 63.0):
        rotation.begin(now_s)
        turns.append([part for part in "abc" if rotation.due(part, 60.0)])
    assert sorted(map(str, turns[1:4])) == ["['a']", "['b']", "['c']"]
    assert turns[0] == turns[4] == []


def test_a_failed_part_is_due_again_at_the_next_scan() -> None:
    rotation = Rotation(per_scan=1)
    rotation.begin(0.0)
    assert rotation.due("a", 60.0)
    rotation.failed("a")
    rotation.begin(1.0)
    assert rotation.due("a", 60.0)


def test_everything_makes_every_part_due() -> None:
    rotation = Rotation(per_scan=1)
    rotation.begin(0.0)
    for part in range(9):
        rotation.due(part, 60.0)
    rotation.begin(1.0, everything=True)
    assert all(rotation.due(part, 60.0) for part in range(9))


@settings(deadline=None, max_examples=25)
@given(
    parts=st.integers(1, 60),
    per_scan=st.integers(1, 4),
    step_s=st.floats(5.0, 400.0),
)
def test_no_part_waits_much_longer_than_three_periods(
    parts: int, per_scan: int, step_s: float
) -> None:
    rotation = Rotation(per_scan)
    read_s = dict.fromkeys(range(parts), 0.0)
    now_s = 0.0
    rotation.begin(now_s)
    for part in range(parts):
        assert rotation.due(part, 300.0)
    for _ in range(int(2000 / step_s) + 3):
        now_s += step_s
        rotation.begin(now_s)
        for part in range(parts):
            if rotation.due(part, 300.0):
                read_s[part] = now_s
        assert all(now_s - then < 900.0 + step_s for then in read_s.values())


@settings(deadline=None, max_examples=25)
@given(parts=st.integers(1, 40), per_scan=st.integers(1, 4))
def test_a_scan_is_given_no_more_than_its_share_while_that_suffices(
    parts: int, per_scan: int
) -> None:
    rotation = Rotation(per_scan)
    rotation.begin(0.0)
    for part in range(parts):
        rotation.due(part, 300.0)
    for tick in range(1, 400):
        rotation.begin(tick * 5.0)
        assert sum(rotation.due(part, 300.0) for part in range(parts)) <= per_scan
