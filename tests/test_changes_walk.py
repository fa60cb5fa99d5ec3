"""The walk over revisions of before the list was kept tells what the scans would have told."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.inventory import Definition, Domain, Host, Network, Pool, Scan, Volume
from app.store import schema
from app.store.engine import Store
from app.store.hosts import HostRecord
from app.store.record import Recorder
from app.store.walking import tell_older
from tests.made_once import open_store
from tests.storing import BASE_MS, a_host, a_store
from tests.test_changes import FULL, OFF, Told, at, failed, tick

__all__ = ["a_store"]

# What a definition says is known less exactly when nobody remembers when it was read.
_LESS_EXACT = {"memory", "definition-changed"}


def rows_of(store: Store, *, exact: bool) -> Counter[tuple[Any, ...]]:
    with store.reading() as connection:
        rows = connection.execute(schema.change.select()).mappings().all()
    left_out = {"id"} if exact else {"id", "after_ms"}
    return Counter(
        tuple(value for name, value in row.items() if name not in left_out)
        for row in rows
        if not exact or (row["what"] not in _LESS_EXACT and row["kind"] != "volume")
    )


def forget(store: Store, *hosts: HostRecord, until_ms: int) -> None:
    """As if these hosts had been scanned before the list was kept."""
    with store.writing() as connection:
        connection.execute(schema.change.delete())
        for host in hosts:
            connection.execute(
                schema.change_walk.insert().values(host_id=host.id, next_ms=0, until_ms=until_ms)
            )


def walk(store: Store, within_s: float = 0.05) -> int:
    slices = 0
    while tell_older(store, within_s):
        slices += 1
    return slices


STATES = st.sampled_from(["running", "paused", "shutoff"])
LOOK = st.fixed_dictionaries(
    {
        "domains": st.one_of(
            st.none(),
            st.dictionaries(st.sampled_from("abc"), st.tuples(STATES, st.integers(1, 2))),
        ),
        "pool": st.one_of(st.none(), st.sampled_from(["inactive", "running"])),
        "volumes": st.frozensets(st.sampled_from("xyz")),
        "network": st.booleans(),
        "version": st.sampled_from(["9.0.0", "10.0.0"]),
    }
)
# Of two hosts: what each shows at a tick, None: it does not answer, "": nobody looks.
TICKS = st.lists(st.tuples(*2 * [st.one_of(LOOK, st.none(), st.just(""))]), max_size=12)


def scan_of(number: int, look: Any) -> Scan:
    if look is None:
        return failed(number)
    domains = look["domains"]
    facts = domains and {
        key: Domain(
            key, f"vm-{key}", state, id=None if state == "shutoff" else 1, memory_bytes=size
        )
        for key, (state, size) in domains.items()
    }
    state = look["pool"]
    return Scan(
        at(number),
        1,
        ok=True,
        host=Host(uri="test:///default", libvirt_version=look["version"]),
        domains=facts,
        definitions={
            key: Definition("<domain id='1'/>", f"<domain>{size}</domain>")
            for key, (_, size) in (domains or {}).items()
        },
        pools={} if state is None else {"p": Pool("p", "images", state)},
        volumes={"p": {n: Volume("p", n) for n in look["volumes"]}} if state == "running" else {},
        networks={"n": Network("n", "default", "active")} if look["network"] else None,
    )


@given(TICKS)
# A store for each example is too dear to look for the smallest one.
@settings(max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_the_walk_tells_what_the_scans_told(
    tmp_path_factory: pytest.TempPathFactory, ticks: list[tuple[Any, Any]]
) -> None:
    store = open_store(tmp_path_factory.mktemp("store") / "npvirt.sqlite")
    hosts = [a_host(store, "kvm-01"), a_host(store, "kvm-02")]
    recorders = [Recorder(store, host, 60_000) for host in hosts]
    for number, looks in enumerate(ticks):
        for recorder, look in zip(recorders, looks, strict=True):
            if look != "":
                # Every fifth tick comes after a pause.
                recorder.record(scan_of(number + 10 * (number // 5), look))
    written = [rows_of(store, exact=exact) for exact in (True, False)]
    forget(store, *hosts, until_ms=at(1000))
    walk(store)
    assert [rows_of(store, exact=exact) for exact in (True, False)] == written
    store.close()


def test_a_walk_goes_in_slices_and_on_where_it_stopped(a_store: Store) -> None:
    told = Told(a_store, "kvm-01")
    told.scan(FULL)
    for number in range(1, 30):
        told.recorder.record(tick(number, domains={"w": OFF} if number % 2 else FULL.domains))
    written = rows_of(a_store, exact=True)
    forget(a_store, told.host, until_ms=at(29))
    assert tell_older(a_store, 0.0)
    assert 0 < sum(rows_of(a_store, exact=True).values()) < sum(written.values())
    assert walk(a_store, 0.0) > 20
    assert rows_of(a_store, exact=True) == written
    assert not tell_older(a_store)


def test_what_was_told_since_is_not_told_again(a_store: Store) -> None:
    told = Told(a_store, "kvm-01")
    told.scan(FULL, tick(1, domains={"w": OFF}))
    forget(a_store, told.host, until_ms=at(1))
    told.recorder.record(tick(2))
    walk(a_store)
    whats = [one.what for one in told.told()]
    assert whats == ["added", "stopped", "deleted", "started", "created"]


def test_a_host_that_was_never_scanned_is_done_at_once(a_store: Store) -> None:
    forget(a_store, a_host(a_store, "kvm-01"), until_ms=BASE_MS)
    walk(a_store)
    with a_store.reading() as connection:
        assert connection.execute(schema.change_walk.select()).all() == []


def test_a_move_is_told_although_its_hosts_are_walked_one_after_the_other(a_store: Store) -> None:
    one, two = Told(a_store, "kvm-01"), Told(a_store, "kvm-02")
    two.scan(replace(FULL, domains={}))
    one.scan(FULL, tick(1, domains={}))
    two.recorder.record(tick(2))
    written = rows_of(a_store, exact=True)
    forget(a_store, one.host, two.host, until_ms=at(2))
    walk(a_store)
    assert rows_of(a_store, exact=True) == written
    assert "moved" in {change.what for change in one.told()}
