"""The list of changes: what a scan tells, who did it, moves, and what a list of the past says."""

import pytest
from msgspec.structs import replace

from app.access import Principal
from app.inventory import (
    Definition,
    Disk,
    Domain,
    Host,
    Missing,
    Network,
    Pool,
    Scan,
    Volume,
)
from app.store import audit
from app.store.audit import Attempt
from app.store.changes import (
    Change,
    Wanted,
    changes,
    count_by_what,
    definitions,
    get_change,
    step,
)
from app.store.engine import Store
from app.store.hosts import HostRecord
from app.store.looks import STORED_WITHIN_MS
from app.store.record import Recorder
from tests.storing import BASE_MS, a_host, a_store

__all__ = ["a_store"]

WEB = Domain(uuid="w", name="web", state="running", id=1, memory_bytes=2**30, vcpus=2)
DB = Domain(uuid="d", name="db", state="shutoff")
XML = "<domain id='1'><memory>1</memory></domain>"
FULL = Scan(
    at_ms=BASE_MS,
    took_ms=12,
    ok=True,
    host=Host(uri="test:///default", libvirt_version="9.0.0"),
    domains={"w": WEB, "d": DB},
    definitions={"w": Definition(XML, "<domain/>"), "d": Definition(None, "<domain/>")},
    pools={"p": Pool(uuid="p", name="images", state="running")},
    volumes={"p": {"a": Volume("p", "a", capacity_bytes=10)}},
    networks={"n": Network(uuid="n", name="default", state="active")},
    interfaces={},
)
TICK_MS = 60_000


def at(ticks: float) -> int:
    return BASE_MS + round(ticks * TICK_MS)


def tick(number: int, **changed: object) -> Scan:
    """FULL again, so many ticks after it, with changes."""
    return replace(FULL, at_ms=at(number), definitions={}, **changed)


def failed(number: int) -> Scan:
    return Scan(at(number), 10, ok=False, problem="refused", sentence="Nothing listens there.")


class Told:
    """What is told of one host, scan by scan."""

    def __init__(self, store: Store, slug: str) -> None:
        self.store = store
        self.host: HostRecord = a_host(store, slug)
        self.recorder = Recorder(store, self.host, TICK_MS)

    def scan(self, *scans: Scan) -> list[tuple[str, str]]:
        """Record scans; what and of whom is told since, the oldest first."""
        before = len(self.told())
        for one in scans:
            self.recorder.record(one)
        return [(one.what, one.name) for one in self.told()[before:]]

    def told(self) -> list[Change]:
        found, _ = changes(self.store, Wanted(), limit=1000)
        return found[::-1]


@pytest.fixture
def kvm(a_store: Store) -> Told:
    return Told(a_store, "kvm-01")


@pytest.fixture
def seen(kvm: Told) -> Told:
    """A host that was looked at once."""
    kvm.scan(FULL)
    return kvm


def test_what_a_host_shows_at_first_was_not_created_then(kvm: Told) -> None:
    assert kvm.scan(FULL) == [("added", "kvm-01")]
    assert kvm.told()[0].new == "domain=2 pool=1 volume=1 network=1"
    assert kvm.told()[0].after_ms is None


def test_a_scan_that_saw_nothing_new_tells_nothing(seen: Told) -> None:
    assert seen.scan(tick(1), tick(2)) == []


def test_a_kind_that_is_listed_later_than_the_host_was_not_created_either(kvm: Told) -> None:
    partial = replace(FULL, pools=None, volumes={}, missing=(Missing("pools", "it failed"),))
    kvm.scan(partial)
    assert kvm.scan(tick(1)) == []
    assert kvm.scan(tick(2, pools={**(FULL.pools or {}), "q": Pool("q", "new", "inactive")})) == [
        ("created", "new")
    ]


def test_a_change_lies_between_the_scan_that_tells_it_and_the_one_before(seen: Told) -> None:
    off = replace(WEB, state="shutoff", state_reason="destroyed", id=None)
    assert seen.scan(tick(3, domains={"w": off, "d": DB})) == [("stopped", "web")]
    (stopped,) = seen.told()[1:]
    assert (stopped.at_ms, stopped.after_ms) == (at(3), at(0))
    assert (stopped.old, stopped.new, stopped.by) == ("running", "destroyed", "outside")
    assert (stopped.host, stopped.kind, stopped.key) == ("kvm-01", "domain", "w")


def test_what_goes_along_is_not_told_again(seen: Told) -> None:
    assert seen.scan(tick(1, domains={"d": DB}, pools={}, volumes={})) == [
        ("deleted", "web"), ("deleted", "images"),
    ]  # fmt: skip


def test_the_volumes_of_a_pool_that_starts_were_there_before(seen: Told) -> None:
    new = Pool(uuid="q", name="more", state="inactive")
    pools = {**(FULL.pools or {}), "q": new}
    assert seen.scan(tick(1, pools=pools)) == [("created", "more")]
    pools["q"] = replace(new, state="running")
    volumes = {**FULL.volumes, "q": {"x": Volume("q", "x")}}
    assert seen.scan(tick(2, pools=pools, volumes=volumes)) == [("started", "more")]
    volumes["q"] = {"x": Volume("q", "x"), "y": Volume("q", "y")}
    assert seen.scan(tick(3, pools=pools, volumes=volumes)) == [("created", "y")]


def test_a_host_that_stops_answering_and_does_again(seen: Told) -> None:
    assert seen.scan(tick(1), failed(2), failed(3)) == [("unreachable", "kvm-01")]
    assert seen.scan(tick(4)) == [("back", "kvm-01")]
    away, back = seen.told()[1:]
    assert (away.at_ms, away.after_ms, away.new) == (at(2), at(1), "Nothing listens there.")
    assert (back.at_ms, back.after_ms, back.old) == (at(4), at(3), "2026-05-01T09:31:00Z")
    assert away.by == "scan"


def test_a_restarted_npvirt_tells_the_same(a_store: Store, seen: Told) -> None:
    again = Recorder(a_store, seen.host, TICK_MS)
    again.record(failed(1))
    Recorder(a_store, seen.host, TICK_MS).record(failed(2))
    Recorder(a_store, seen.host, TICK_MS).record(tick(3))
    assert [one.what for one in seen.told()] == ["added", "unreachable", "back"]


def test_that_npvirt_was_stopped_is_told_once_for_all_hosts(a_store: Store, seen: Told) -> None:
    other = Told(a_store, "kvm-02")
    other.scan(FULL)
    assert seen.scan(tick(60)) == [("no-scans", "npvirt")]
    assert other.scan(tick(60)) == []
    stopped = seen.told()[-1]
    assert (stopped.after_ms, stopped.at_ms, stopped.host) == (at(0), at(60), None)


def test_one_host_that_was_not_looked_at_is_no_stop_of_npvirt(a_store: Store, seen: Told) -> None:
    other = Told(a_store, "kvm-02")
    other.scan(FULL, *(tick(number) for number in range(1, 60)))
    assert seen.scan(tick(60)) == []


# --- definitions ---------------------------------------------------------------------------


def test_a_change_of_the_xml_stands_with_what_it_changed(seen: Told) -> None:
    more = replace(WEB, memory_bytes=2**31)
    new = Definition(XML, "<domain>more</domain>")
    scan = replace(tick(1, domains={"w": more, "d": DB}), definitions={"w": new})
    assert seen.scan(scan) == [("memory", "web")]
    memory = seen.told()[-1]
    assert (memory.old, memory.new) == (str(2**30), str(2**31))
    assert definitions(seen.store, memory) == (Definition(XML, "<domain/>"), new)


def test_what_was_changed_now_and_for_the_next_start_is_told_once(seen: Told) -> None:
    def saved(kib: int) -> Definition:
        return Definition(XML, f"<domain>\n  <currentMemory unit='KiB'>{kib}</currentMemory>\n")

    seen.scan(replace(tick(1), definitions={"w": saved(1 << 20)}))
    more = replace(WEB, memory_bytes=2**31)
    both = replace(tick(2, domains={"w": more, "d": DB}), definitions={"w": saved(1 << 21)})
    assert seen.scan(both) == [("memory", "web")]
    later = replace(tick(3, domains={"w": more, "d": DB}), definitions={"w": saved(1 << 22)})
    assert seen.scan(later) == [("saved-memory", "web")]
    assert (seen.told()[-1].old, seen.told()[-1].new) == (str(2**31), str(2**32))


def test_a_definition_that_differs_otherwise_is_told_by_itself(seen: Told) -> None:
    new = Definition(XML, "<domain>other</domain>")
    assert seen.scan(replace(tick(1), definitions={"w": new})) == [("definition-changed", "web")]
    rewritten = seen.told()[-1]
    web = next(one for one in seen.told() if one.what == "definition-changed")
    assert (rewritten.kind, rewritten.key, rewritten.entity_id) == ("domain", "w", web.entity_id)
    assert definitions(seen.store, rewritten)[1] == new


def test_starting_stopping_and_an_agent_that_connects_rewrite_nothing(seen: Told) -> None:
    agent = Definition("<domain id='1'><t state='connected'/></domain>", "<domain/>")
    silent = Definition("<domain id='1'><t state='disconnected'/></domain>", "<domain/>")
    seen.scan(replace(tick(1), definitions={"w": agent}))
    assert seen.scan(replace(tick(2), definitions={"w": silent})) == []
    assert seen.scan(replace(tick(3), definitions={"w": Definition(None, "<domain/>")})) == []
    assert seen.scan(replace(tick(4), definitions={"w": agent})) == []


def test_what_a_definition_says_may_be_as_old_as_its_last_reading(seen: Told) -> None:
    seen.scan(*(tick(number) for number in range(1, 10)))
    disks = replace(WEB, disks=(Disk("vdb", source="/b"),))
    scan = replace(tick(10, domains={"w": disks, "d": DB}), definitions={"w": Definition("x", "y")})
    assert seen.scan(scan)[0] == ("disk-added", "web")
    added = seen.told()[1]
    assert (added.after_ms, added.at_ms, added.part) == (at(0), at(10), "vdb")


# --- moves ---------------------------------------------------------------------------------


def test_a_domain_that_is_gone_here_and_there_instead_has_moved(a_store: Store, seen: Told) -> None:
    other = Told(a_store, "kvm-02")
    other.scan(replace(FULL, domains={}))
    assert seen.scan(tick(1, domains={"d": DB})) == [("deleted", "web")]
    other.recorder.record(tick(2, domains={"w": WEB}))
    assert [one.what for one in seen.told()] == ["added", "added", "moved"]
    moved = seen.told()[-1]
    assert (moved.old, moved.new, moved.host) == ("kvm-01", "kvm-02", "kvm-02")
    (away,), _ = changes(a_store, Wanted(hosts=("kvm-01",), whats=("moved",)), limit=9)
    assert (away.what, away.old, away.new) == ("moved-away", "kvm-01", "kvm-02")
    (here,), _ = changes(a_store, Wanted(hosts=("kvm-02",), whats=("moved",)), limit=9)
    assert here.id == moved.id


def test_a_list_between_the_halves_of_a_move_says_what_was_known_then(
    a_store: Store, seen: Told
) -> None:
    other = Told(a_store, "kvm-02")
    other.scan(replace(FULL, domains={}))
    seen.scan(tick(1, domains={"d": DB}))
    between = Wanted(as_of_ms=at(1.5))
    before = changes(a_store, between, limit=9)
    assert [one.what for one in before[0]] == ["deleted", "added", "added"]
    other.recorder.record(tick(2, domains={"w": WEB}))
    assert changes(a_store, between, limit=9) == before
    assert changes(a_store, Wanted(as_of_ms=at(2)), limit=9)[0][0].what == "moved"


def test_what_is_asked_while_a_scan_goes_on_has_the_same_answer_later(
    a_store: Store, seen: Told
) -> None:
    meanwhile = Wanted(as_of_ms=at(1) + 500)
    before = changes(a_store, meanwhile, limit=9)
    seen.recorder.record(tick(1, domains={"d": DB}, took_ms=800))
    assert changes(a_store, meanwhile, limit=9) == before
    for moment_ms in (at(1), at(1) + 800 + STORED_WITHIN_MS):
        assert changes(a_store, Wanted(as_of_ms=moment_ms), limit=9)[0][0].what == "deleted"


def test_while_it_moves_both_hosts_may_have_it(a_store: Store, seen: Told) -> None:
    other = Told(a_store, "kvm-02")
    other.scan(replace(FULL, domains={}))
    other.scan(tick(1, domains={"w": replace(WEB, state="paused", state_reason="migrating")}))
    seen.scan(*(tick(number) for number in range(1, 40)))
    off = replace(WEB, state="shutoff", state_reason="migrated", id=None)
    seen.scan(tick(40, domains={"w": off, "d": DB}))
    assert [one.what for one in seen.told()] == ["added", "added", "moved"]


def test_a_copy_made_on_another_host_much_later_is_no_move(a_store: Store, seen: Told) -> None:
    other = Told(a_store, "kvm-02")
    empty = replace(FULL, domains={})
    seen.scan(tick(1, domains={"d": DB}))
    other.scan(empty, *(replace(empty, at_ms=at(n)) for n in range(1, 30)))
    other.scan(tick(30, domains={"w": WEB}))
    assert [one.what for one in seen.told()][-2:] == ["deleted", "created"]


def test_who_may_not_see_the_other_host_of_a_move_is_not_told_its_name(
    a_store: Store, seen: Told
) -> None:
    other = Told(a_store, "kvm-02")
    other.scan(replace(FULL, domains={}))
    seen.scan(tick(1, domains={"d": DB}))
    other.recorder.record(tick(2, domains={"w": WEB}))
    scope = frozenset((seen.host.id,))
    found, total = changes(a_store, Wanted(host_ids=scope), limit=9)
    assert [(one.what, one.old, one.new) for one in found] == [
        ("moved-away", "kvm-01", None), ("added", None, "domain=2 pool=1 volume=1 network=1"),
    ]  # fmt: skip
    assert total == 2
    moved = next(one for one in seen.told() if one.what == "moved")
    assert get_change(a_store, moved.id, scope) is None
    assert get_change(a_store, moved.id, None) == moved


# --- who -----------------------------------------------------------------------------------


@pytest.fixture
def clock_at(monkeypatch: pytest.MonkeyPatch) -> "list[int]":
    """The audit's clock; set its one value."""
    now = [BASE_MS]
    monkeypatch.setattr("app.store.audit.clock.now_ms", lambda: now[0])
    return now


def asked(told: Told, action: str, *, key: str = "w", name: str = "web", kind: str = "domain",
          outcome: audit.Outcome | None = "ok", **parameters: object) -> int:  # fmt: skip
    attempt = Attempt(
        Principal("user", "ops-1", "operator"), "::1", action, kind, told.host.id, "kvm-01", key,
        name, parameters,
    )  # fmt: skip
    intent = audit.intend(told.store, attempt)
    assert intent is not None
    if outcome is not None:
        audit.conclude(told.store, intent, outcome)
    return intent


OFF = replace(WEB, state="shutoff", state_reason="shutdown", id=None)


def test_who_asked_for_it_is_known_from_the_audit(seen: Told, clock_at: list[int]) -> None:
    clock_at[0] = at(0.5)
    intent = asked(seen, "shutdown")
    seen.scan(tick(1, domains={"w": OFF, "d": DB}))
    stopped = seen.told()[-1]
    assert (stopped.by, stopped.who, stopped.audit_id) == ("npvirt", "ops-1", intent)


@pytest.mark.parametrize(
    ("asking", "when"),
    [
        ({"action": "suspend"}, 0.5),
        ({"action": "destroy", "outcome": "failed"}, 0.5),
        ({"action": "destroy", "key": "d"}, 0.5),
        ({"action": "destroy"}, -5),
        ({"action": "destroy"}, 1.5),
    ],
)
def test_what_does_not_explain_it_is_not_taken_for_it(
    seen: Told, clock_at: list[int], asking: dict[str, object], when: float
) -> None:
    clock_at[0] = at(when)
    asked(seen, **asking)  # type: ignore[arg-type]  # parametrized
    seen.scan(tick(1, domains={"w": OFF, "d": DB}))
    assert (seen.told()[-1].by, seen.told()[-1].who) == ("outside", None)


def test_a_new_volume_is_known_by_its_name(seen: Told, clock_at: list[int]) -> None:
    clock_at[0] = at(0.5)
    asked(seen, "vol-create", key="p", name="images", kind="volume", name_=None)
    volumes = {"p": {**FULL.volumes["p"], "b": Volume("p", "b"), "c": Volume("p", "c")}}
    attempt = Attempt(
        Principal("user", "ops-1", "admin"), "::1", "vol-create", "volume", seen.host.id,
        "kvm-01", "p", "images", {"name": "b"},
    )  # fmt: skip
    audit.note(seen.store, attempt, "ok")
    seen.scan(tick(1, volumes=volumes))
    assert {one.name: one.by for one in seen.told()[-2:]} == {"b": "npvirt", "c": "outside"}


def test_an_outcome_that_came_later_does_not_change_the_past(
    seen: Told, clock_at: list[int]
) -> None:
    clock_at[0] = at(0.5)
    intent = asked(seen, "shutdown", outcome=None)
    seen.scan(tick(1, domains={"w": OFF, "d": DB}))
    past = Wanted(as_of_ms=at(1))
    before = changes(seen.store, past, limit=9)
    assert before[0][0].by == "npvirt"
    clock_at[0] = at(2)
    audit.conclude(seen.store, intent, "failed")
    assert changes(seen.store, past, limit=9) == before
    assert seen.told()[-1].by == "outside"


# --- asking --------------------------------------------------------------------------------


def test_lists_are_narrowed_and_counted(seen: Told) -> None:
    seen.scan(tick(1, domains={"w": OFF, "d": DB}), tick(2), failed(3), tick(4))
    store = seen.store

    def whats(wanted: Wanted) -> list[str]:
        return [one.what for one in changes(store, wanted, limit=9)[0]]

    assert whats(Wanted()) == ["back", "unreachable", "started", "stopped", "added"]
    assert whats(Wanted(kinds=("domain",))) == ["started", "stopped"]
    assert whats(Wanted(whats=("stopped", "back"))) == ["back", "stopped"]
    assert whats(Wanted(text="web stop")) == ["stopped"]
    assert whats(Wanted(text="%")) == []
    assert whats(Wanted(hosts=("kvm-01",), key="w", from_ms=at(2))) == ["started"]
    assert whats(Wanted(hosts=("kvm-02",))) == []
    assert whats(Wanted(until_ms=at(1))) == ["stopped", "added"]
    assert whats(Wanted(as_of_ms=at(0) - 1)) == []
    assert count_by_what(store, Wanted(whats=("back",), kinds=("domain",))) == {
        "started": 1, "stopped": 1,
    }  # fmt: skip
    found, total = changes(store, Wanted(), limit=2, offset=2)
    assert ([one.what for one in found], total) == (["started", "stopped"], 5)


def test_stepping_from_change_to_change(seen: Told) -> None:
    seen.scan(tick(1, domains={"w": OFF, "d": DB}), tick(2))
    store = seen.store
    assert step(store, at(0), "next") == at(1)
    assert step(store, at(1), "next") == at(2)
    assert step(store, at(2), "next") is None
    assert step(store, at(2), "previous") == at(1)
    assert step(store, at(0), "previous") is None
    assert step(store, at(9), "previous", frozenset()) is None
