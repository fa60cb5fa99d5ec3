"""Rules over a real store: each kind tells what is so, once, and says when it is over."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.capacity.outlook import outlooks
from app.clock import DAY_MS, HOUR_MS, now_ms, utc
from app.notifier.notifier import Notifier
from app.store import schema
from app.store.capacity import evidence
from app.store.changing import Row, insert_changes
from app.store.hosts import remove_host
from app.store.notification_log import WantedEvents, events, open_alerts
from app.store.notification_rules import RuleDraft, edit_rule, get_rule, remove_rule
from tests.clocks import SteeredClock, steered
from tests.notification_support import GIB, POOL, Notified, Receiver, notified, receiver

START_MS = 1_777_627_800_000


@pytest.fixture
def clock() -> Iterator[SteeredClock]:
    with steered(START_MS) as made:
        yield made


@pytest.fixture
def place(clock: SteeredClock, tmp_path: Path) -> Iterator[Notified]:
    """A host that was looked at just now, of which nothing was told yet."""
    with notified(tmp_path / "var", START_MS) as made:
        made.turn()
        yield made


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def minutes_pass(place: Notified, clock: SteeredClock, minutes: int, **fields: object) -> None:
    """Look once a minute, each time with the same outcome, and take a turn."""
    for _ in range(minutes):
        clock.step(60)
        place.scan(**fields)
    place.turn()


def test_a_host_is_told_to_be_unknown_after_its_minutes_and_to_be_back(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("host-unknown", place.webhook(hook.url))
    minutes_pass(place, clock, 4)
    assert hook.requests == []
    minutes_pass(place, clock, 1)
    assert hook.titles() == ["Host kvm-01 is unknown for 5 min"]
    (event,) = hook.events()
    assert event["text"] == "It is silent. Its VMs may well be running."
    assert (event["what"], event["severity"], event["kind"]) == ("began", "warning", "host")
    assert event["since"] == "2026-05-01T09:30:00Z"
    assert event["url"] == "http://127.0.0.1:8040/hosts/kvm-01"
    minutes_pass(place, clock, 3)
    assert len(hook.requests) == 1
    minutes_pass(place, clock, 1, state="running")
    assert hook.titles()[1:] == ["Host kvm-01 answers again"]
    assert hook.events()[1]["alert_id"] == event["alert_id"]
    assert open_alerts(place.store) == []
    minutes_pass(place, clock, 2, state="running")
    assert len(hook.requests) == 2


def test_that_nobody_looked_is_no_hosts_fault(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    """Where npvirt was stopped, or the clock leapt, no look failed."""
    place.rule("host-unknown", place.webhook(hook.url))
    clock.step(3 * 3600)
    place.turn()
    place.again()
    place.turn()
    assert hook.requests == []
    # It failed before npvirt was stopped; another look says how it is now.
    place.at_ms += 3 * HOUR_MS
    place.scan()
    clock.step(600)
    place.again()
    place.turn()
    assert hook.requests == []
    place.scan()
    place.turn()
    assert len(hook.titles()) == 1


def test_a_pool_is_told_once_above_its_share_and_once_well_below(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("pool-full", place.webhook(hook.url), severity="critical")
    for used, told in ((89.9, 0), (90.1, 1), (89.5, 1), (90.5, 1), (88.1, 1), (87, 2), (89, 2)):
        minutes_pass(place, clock, 1, used=used)
        assert len(hook.requests) == told, used
    assert hook.titles() == [
        "Pool images on kvm-01 is 90 % full", "Pool images on kvm-01 is down to 87 % full",
    ]  # fmt: skip
    assert hook.events()[0]["text"] == "9.9 GiB of 100 GiB are left."


def test_what_is_not_known_neither_begins_nor_ends_an_alert(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("pool-full", place.webhook(hook.url))
    minutes_pass(place, clock, 1, used=95)
    minutes_pass(place, clock, 5)
    assert len(hook.requests) == 1
    assert [alert.key for alert in open_alerts(place.store)] == [POOL]
    minutes_pass(place, clock, 1, used=95)
    assert len(hook.requests) == 1


def _days(place: Notified, sizes: list[float]) -> None:
    """The pool's size at the end of each of the last days."""
    with place.store.writing() as writing:
        entity_id = writing.scalar(sa.select(schema.entity.c.id).where(schema.entity.c.key == POOL))
        for ago, size in enumerate(reversed(sizes), 1):
            day = utc(START_MS - ago * DAY_MS).strftime("%Y-%m-%d")
            values = {"day": day, "entity": entity_id, "allocation_bytes_last": size * GIB}
            writing.execute(sa.insert(schema.dailies["pool"]).values(values))


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([4 * day for day in range(1, 20)], ["Pool images on kvm-01 is full in about 5 days"]),
        ([25 + day for day in range(15)], []),
        ([40] * 20, []),
        ([24 + 4 * day for day in range(13)], []),
        # A day on which something was copied and deleted again is no growth.
        ([40] * 12 + [90] + [40] * 8, []),
    ],
    ids=["grows", "slowly", "not", "short", "outlier"],
)
def test_a_pool_is_told_to_be_full_soon_as_the_capacity_review_foretells(
    place: Notified, clock: SteeredClock, hook: Receiver, sizes: list[float], told: list[str]
) -> None:
    _days(place, sizes)
    place.rule("pool-filling", place.webhook(hook.url))
    minutes_pass(place, clock, 1, used=79 if told else 40)
    assert hook.titles() == told
    if told:
        assert hook.events()[0]["text"] == (
            "21 GiB are left; foretold from 19 days. It grows by 4 GiB a day."
        )
    (of_pool,) = [one for one in outlooks(evidence(place.store, None)) if one.pool_uuid == POOL]
    assert (of_pool.full_ms is not None and of_pool.full_ms < now_ms() + 14 * DAY_MS) == bool(told)


def test_a_pool_that_fills_unevenly_is_told_with_the_days_between_which_it_is_full(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    _days(place, [4 * day + (0, 6, 1, 8, 3)[day % 5] for day in range(1, 20)])
    place.rule("pool-filling", place.webhook(hook.url))
    minutes_pass(place, clock, 1, used=84)
    (event,) = hook.events()
    assert event["title"].startswith("Pool images on kvm-01 is full in about ")
    assert re.search(r"With 80 % that is in \d to \d days\.$", event["text"]), event["text"]


def test_a_crash_is_told_while_it_lasts_and_when_it_is_over(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("domain-crashed", place.webhook(hook.url))
    minutes_pass(place, clock, 1, state="shutoff", reason="destroyed")
    minutes_pass(place, clock, 1, state="crashed", reason="panicked")
    minutes_pass(place, clock, 2, state="crashed", reason="panicked")
    assert hook.titles() == ["VM web on kvm-01 crashed"]
    assert hook.events()[0]["text"] == "Its guest panicked."
    minutes_pass(place, clock, 1, state="running")
    assert hook.titles()[1:] == ["VM web on kvm-01 is no longer crashed"]


def test_a_crash_that_nobody_saw_lasting_is_told_all_the_same(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("domain-crashed", place.webhook(hook.url))
    clock.step(120)
    place.scan(state="crashed", reason="panicked")
    place.scan(state="running")
    place.turn()
    assert [event["what"] for event in hook.events()] == ["happened"]
    assert hook.titles()[0].startswith("VM web on kvm-01: crashed")
    place.turn()
    assert len(hook.requests) == 1


def test_a_pause_on_an_io_error_is_told_and_one_by_a_user_is_not(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("domain-io-error", place.webhook(hook.url))
    minutes_pass(place, clock, 1, state="paused", reason="user")
    minutes_pass(place, clock, 1, state="running")
    assert hook.requests == []
    minutes_pass(place, clock, 1, state="paused", reason="io-error")
    assert hook.titles() == ["VM web on kvm-01 is paused on an I/O error"]
    minutes_pass(place, clock, 1, state="running")
    assert hook.titles()[1:] == ["VM web on kvm-01 is no longer paused"]


def test_a_host_that_is_read_in_part_is_told_after_an_hour(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("host-partial", place.webhook(hook.url))
    minutes_pass(place, clock, 30, missing=("leases",))
    minutes_pass(place, clock, 1, state="running")
    minutes_pass(place, clock, 60, missing=("leases",))
    assert hook.requests == []
    minutes_pass(place, clock, 1, missing=("leases",))
    assert hook.titles() == ["Host kvm-01 is read in part for 1 h 0 min"]
    assert hook.events()[0]["text"] == "Missing: leases. It did not answer."
    minutes_pass(place, clock, 1, state="running")
    assert hook.titles()[1:] == ["Host kvm-01 is read in whole again"]


def test_changes_of_the_chosen_kinds_are_told_and_others_are_not(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("change", place.webhook(hook.url), whats=("stopped", "renamed"))
    minutes_pass(place, clock, 1, state="shutoff", reason="destroyed")
    minutes_pass(place, clock, 1, state="running")
    minutes_pass(place, clock, 1, name="shop")
    assert [(event["what"], event["name"]) for event in hook.events()] == [
        ("happened", "web"), ("happened", "shop"),
    ]  # fmt: skip
    assert all(event["change_id"] for event in hook.events())
    place.again()
    place.turn()
    assert len(hook.requests) == 2


def test_what_happened_before_a_rule_was_there_or_on_is_not_told(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    target = place.webhook(hook.url)
    minutes_pass(place, clock, 1, state="shutoff")
    clock.step(1)
    rule = place.rule("change", target)
    minutes_pass(place, clock, 1, state="shutoff")
    assert hook.requests == []
    draft = RuleDraft(rule.name, "change", target_ids=(target.id,), pause_minutes=0)
    edit_rule(place.store, rule.id, RuleDraft(rule.name, "change", enabled=False))
    minutes_pass(place, clock, 1, state="running")
    clock.step(1)
    edit_rule(place.store, rule.id, draft)
    minutes_pass(place, clock, 1, state="running")
    assert hook.requests == []
    minutes_pass(place, clock, 1, state="shutoff")
    assert len(hook.events()) == 1


def test_older_changes_that_are_written_down_only_now_are_not_told(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    """As those of before the list of changes was kept, which are told bit by bit."""
    place.rule("change", place.webhook(hook.url))
    then_ms = START_MS - DAY_MS
    older = Row(then_ms, None, place.host.id, None, "domain", "x", "old", "stopped")
    with place.store.writing() as writing:
        insert_changes(writing, [older])
    minutes_pass(place, clock, 1, state="shutoff")
    assert [event["name"] for event in hook.events()] == ["web"]


def test_patterns_of_names_limit_a_rule(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    target = place.webhook(hook.url)
    place.rule("change", target, name="other host", hosts="kvm-02 lab-*")
    place.rule("change", target, name="other VM", objects="db-*")
    place.rule("change", target, name="this", hosts="KVM-*", objects="w?b")
    place.rule("pool-full", target, name="other pool", objects="backup*")
    minutes_pass(place, clock, 1, state="shutoff", used=95)
    assert [event["rule"] for event in hook.events()] == ["this"]


def test_what_a_rule_is_no_longer_about_ends_without_a_word(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    target = place.webhook(hook.url)
    rule = place.rule("pool-full", target)
    minutes_pass(place, clock, 1, used=95)
    draft = RuleDraft(rule.name, "pool-full", threshold=90, hosts="lab-*", target_ids=(target.id,))
    edit_rule(place.store, rule.id, draft)
    minutes_pass(place, clock, 1, used=95)
    assert (len(hook.requests), open_alerts(place.store)) == (1, [])
    remove_rule(place.store, rule.id)
    minutes_pass(place, clock, 1, used=95)
    assert len(hook.requests) == 1


def test_what_is_removed_is_told_to_be_no_longer_looked_at(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("pool-full", place.webhook(hook.url))
    minutes_pass(place, clock, 1, used=95)
    remove_host(place.store, "kvm-01")
    place.turn()
    assert hook.titles()[1:] == ["Pool images on kvm-01 is no longer looked at"]


def test_a_flapping_object_is_told_no_more_often_than_the_pause_allows(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("pool-full", place.webhook(hook.url), pause_minutes=30)
    for _ in range(10):
        minutes_pass(place, clock, 1, used=95)
        minutes_pass(place, clock, 1, used=50)
    # It began, it ended, and the rest waits for the pause to be over.
    assert [event["what"] for event in hook.events()] == ["began", "ended"]
    minutes_pass(place, clock, 15, used=50)
    assert len(hook.requests) == 3
    assert len(hook.messages[-1]["events"]) == 18
    assert hook.messages[-1]["subject"].startswith("18 notifications: ")


def test_many_at_once_are_one_message(place: Notified, clock: SteeredClock, hook: Receiver) -> None:
    target = place.webhook(hook.url)
    for number in range(5):
        place.rule("change", target, name=f"rule {number}")
    minutes_pass(place, clock, 1, state="shutoff")
    (message,) = hook.messages
    assert len(message["events"]) == 5
    assert len({event["id"] for event in message["events"]}) == 5


def test_two_processes_find_the_same_and_tell_it_once(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("pool-full", place.webhook(hook.url))
    place.rule("change", place.webhook(hook.url, "another"))
    other = Notifier(place.settings, place.store)
    other.turn()
    clock.step(60)
    place.scan(used=95, state="shutoff")
    for notifier in (place.notifier, other, place.notifier):
        notifier._look([get_rule(place.store, 1), get_rule(place.store, 2)])
    found, counts = events(place.store, WantedEvents(), limit=10)
    assert counts == {"warning": 2}
    assert {event.rule_kind for event in found} == {"pool-full", "change"}


def test_old_events_go_and_what_is_still_so_stays(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("pool-full", place.webhook(hook.url))
    place.rule("change", place.webhook(hook.url, "another"))
    minutes_pass(place, clock, 1, used=95, state="shutoff")
    assert events(place.store, WantedEvents(), limit=1)[1] == {"warning": 2}
    clock.step(91 * DAY_MS / 1000)
    place.again()
    place.turn()
    (left,), counts = events(place.store, WantedEvents(), limit=5)
    assert (left.rule_kind, counts) == ("pool-full", {"warning": 1})
