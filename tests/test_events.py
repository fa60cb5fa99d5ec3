"""What libvirt tells by itself is in the store within a moment."""

from collections.abc import Callable

import pytest

from app import clock
from app.inventory import Told
from app.store.history import fleet
from tests.events_support import Watched, World, counted, store, watched, world
from tests.waiting import until

__all__ = ["store", "watched", "world"]


def test_a_domain_is_followed_through_its_life_without_a_scan(
    world: World, watched: Watched
) -> None:
    watched.scan()
    domain = world.define()
    until(lambda: watched.state(world.uuid) == "shutoff")
    domain.create()
    until(lambda: watched.state(world.uuid) == "running")
    domain.suspend()
    until(lambda: watched.state(world.uuid) == "paused")
    domain.resume()
    until(lambda: watched.state(world.uuid) == "running")
    domain.destroy()
    until(lambda: watched.state(world.uuid) == "shutoff")
    domain.undefine()
    until(lambda: watched.state(world.uuid) is None)
    told = [one.what for one in watched.changes(world.uuid)]
    assert told == ["created", "started", "paused", "resumed", "stopped", "deleted"]
    assert counted(watched.store, "scan") == 1
    assert watched.rescans == 0


def test_the_time_of_what_is_told_is_exact_and_the_list_says_so(
    world: World, watched: Watched
) -> None:
    watched.scan()
    domain = world.define()
    until(lambda: watched.state(world.uuid))
    before_ms = clock.now_ms()
    domain.create()
    until(lambda: watched.state(world.uuid) == "running")
    created, started = watched.changes(world.uuid)
    assert created.after_ms == created.at_ms
    assert before_ms <= started.at_ms <= watched.told[-1].at_ms
    assert started.after_ms == started.at_ms


def test_what_is_found_by_the_way_is_told_as_between_two_looks(
    world: World, watched: Watched
) -> None:
    domain = world.define()
    watched.scan()
    scanned_ms = fleet(watched.store, None).as_of_ms
    # Of a managed save's end libvirt tells nothing; of the suspension it does.
    domain.create()
    until(lambda: watched.state(world.uuid) == "running")
    watched.scan()
    scanned_ms = fleet(watched.store, None).as_of_ms
    with watched.store.writing() as connection:
        connection.exec_driver_sql("UPDATE revision SET body = replace(body, 'first', 'zeroth')")
    watched.scanner._recorder._loaded = False
    domain.suspend()
    until(lambda: watched.state(world.uuid) == "paused")
    found = {one.what: one for one in watched.changes(world.uuid)[-2:]}
    assert set(found) == {"paused", "title"}
    assert found["paused"].after_ms == found["paused"].at_ms
    assert found["title"].after_ms is not None
    assert scanned_ms is not None
    assert found["title"].after_ms <= scanned_ms


def test_a_redefined_title_is_seen_and_not_undone_by_the_next_scan(
    world: World, watched: Watched
) -> None:
    world.define()
    watched.scan()
    world.define(title="second")
    until(lambda: [c.new for c in watched.changes(world.uuid) if c.what == "title"] == ["second"])
    watched.scan()
    watched.scan()
    assert [c.new for c in watched.changes(world.uuid) if c.what == "title"] == ["second"]


def test_a_transient_domain_is_gone_as_soon_as_it_stops(world: World, watched: Watched) -> None:
    watched.scan()
    domain = world.define()
    domain.create()
    domain.undefine()
    until(lambda: watched.state(world.uuid) == "running")
    domain.destroy()
    until(lambda: watched.state(world.uuid) is None)
    assert watched.changes(world.uuid)[-1].what == "deleted"


def test_a_pool_and_its_new_volumes_are_followed(world: World, watched: Watched) -> None:
    watched.scan()
    pool = world.pool()
    until(lambda: watched.state(world.uuid, "pool") == "inactive")
    pool.create()
    until(lambda: watched.state(world.uuid, "pool") == "running")
    watched.scan()
    # libvirt tells nothing of the volume, but of the refresh.
    pool.createXML("<volume><name>new.img</name><capacity>4096</capacity></volume>")
    pool.refresh()
    until(lambda: any(v.fact.name == "new.img" for v in fleet(watched.store, None).volumes))
    pool.destroy()
    until(lambda: watched.state(world.uuid, "pool") == "inactive")
    pool.undefine()
    until(lambda: watched.state(world.uuid, "pool") is None)
    assert not any(v.fact.name == "new.img" for v in fleet(watched.store, None).volumes)


def test_a_network_is_followed(world: World, watched: Watched) -> None:
    watched.scan()
    network = world.network()
    until(lambda: watched.state(world.uuid, "network") == "inactive")
    network.create()
    until(lambda: watched.state(world.uuid, "network") == "active")
    network.destroy()
    until(lambda: watched.state(world.uuid, "network") == "inactive")
    network.undefine()
    until(lambda: watched.state(world.uuid, "network") is None)
    told = [one.what for one in watched.changes(world.uuid)]
    assert told == ["created", "started", "stopped", "deleted"]
    assert counted(watched.store, "scan") == 1


def test_a_network_card_that_is_plugged_in_is_looked_at_by_the_next_scan(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As libvirt's test driver has none to plug in, the event is made here."""
    watched.scan()
    session = watched.scanner._session
    assert session is not None
    called: list[str] = []
    call = session.call

    def noted(function: Callable[..., object], *args: object, **more: object) -> object:
        called.append(function.__name__)
        return call(function, *args, **more)

    monkeypatch.setattr(session, "call", noted)
    for name, expected in (("pci_0000_00_02_0", 0), ("net_eth1_52_54_00_00_00_01", 2)):
        told = Told("node-device", name, "state", clock.now_ms(), clock.monotonic_s())
        watched.scanner._told(told)
        called.clear()
        watched.scan()
        assert called.count("listAllInterfaces") == expected


def test_a_look_finds_what_a_scan_would(world: World, watched: Watched) -> None:
    """Nothing turns back and forth between the two ways of reading."""
    watched.scan()
    world.define().create()
    world.pool().create()
    world.network().create()
    for kind, state in (("domain", "running"), ("pool", "running"), ("network", "active")):
        until(lambda kind=kind, state=state: watched.state(world.uuid, kind) == state)  # type: ignore[misc]
    until(lambda: watched.partial._thread is None or not watched.partial._waiting.events)
    revisions = counted(watched.store, "revision")
    watched.scan(everything=True)
    assert counted(watched.store, "revision") == revisions
