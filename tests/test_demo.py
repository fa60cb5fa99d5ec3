"""The demonstration: a made-up fleet that is the same each time, agrees with itself, holds its
planted facts, says what it is on every page, and reaches no host.
"""

import os
import sqlite3
import subprocess
import urllib.request
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from app.actions.registry import ACTIONS
from app.clock import DAY_MS, now_ms
from app.demo.collector import DemoCollector
from app.demo.loads import ONE, contended, noise
from app.demo.measure import Batch, Keyframe, Task, measure
from app.demo.place import complete, ensure
from app.demo.plan import DAY, Plan
from app.demo.planted import GIB, OVERCOMMITTED, planted
from app.demo.play import Look, Play, offset_ms
from app.demo.spans import Keep, today
from app.errors import Conflict, NotFound
from app.store import audit, schema, tiers
from app.store.buckets import Rolled, bounded, told
from app.store.credentials import resolve
from app.store.demonstration import is_demonstration, read_mark
from app.store.history import fleet
from app.store.raw import Object, facts_of_many, samples_of_many
from app.store.rollup import merge
from app.store.verify import verify
from app.virt.session import Session
from app.web.demonstration import demonstration_link
from tests.bench.process import NPVIRT
from tests.demo_support import KEEP, demo_web, make_demo, small_plan
from tests.made_once import open_store
from tests.ports import free_port
from tests.storing import compacted, finished
from tests.web_support import Web

END_MS = 1_777_638_600_000


def test_the_same_plan_tells_the_same_past() -> None:
    plan = small_plan(END_MS)
    first, second = (list(Play(plan).run()) for _ in range(2))
    assert first == second
    assert len([one for one in first if isinstance(one, Look)]) > 60


def test_another_seed_tells_another_past() -> None:
    plan = small_plan(END_MS)
    other = Plan(END_MS, plan.hosts, plan.domains, plan.days, seed=2)
    assert list(Play(plan).run()) != list(Play(other).run())


def _measured(plan: Plan, slug: str, keep: Keep = KEEP) -> list[Batch | Keyframe]:
    """A host's past; the host itself has the id 99."""
    played = Play(plan)
    list(played.run())
    host = played.world.hosts[slug]
    ids = {("domain", uuid): n for n, uuid in enumerate(host.known, 1)} | {("host", "host"): 99}
    task = Task(host, 1, ids, keep, offset_ms(host.slug), recent=False)
    return [*measure(task), *measure(replace(task, recent=True))]


def test_what_is_measured_is_the_same_each_time() -> None:
    plan = Plan(END_MS, hosts=1, domains=3, days=12)
    assert _measured(plan, "kvm-01") == _measured(plan, "kvm-01")


def test_a_host_of_which_too_much_is_asked_is_busy_and_never_more_than_that() -> None:
    plan = Plan(END_MS, hosts=5, domains=60, days=12)
    keep = Keep(raw_days=1, minute_days=1, ten_days=2)
    rows = [
        day
        for one in _measured(plan, OVERCOMMITTED.host, keep)
        if isinstance(one, Batch)
        for day in one.days
        if "cpu_max" in day
    ]
    of_host = [day for day in rows if "memory_total_bytes_last" in day]
    assert 0.5 < max(day["cpu_p95"] for day in of_host) < 0.95
    for day in rows:
        assert day["cpu_max"] is None or 0 <= day["cpu_max"] <= 1 + 1e-9
    # One by one its domains still have their peaks.
    assert max(day["cpu_max"] or 0 for day in rows if day not in of_host) > 0.5


@pytest.mark.parametrize("width", [1, 10, 60])
@pytest.mark.parametrize("part", [ONE // 3, ONE // 2, ONE * 9 // 10])
def test_who_gets_a_part_of_what_it_asks_for_gets_that_on_average(width: int, part: int) -> None:
    less, whole = contended(width, 0.4, part), noise("steady", width, 0.4)
    assert sum(less) / sum(whole) == pytest.approx(part / ONE, rel=0.02)
    assert max(less) <= 1.34 * ONE


def test_pools_of_a_file_server_are_one_where_they_say_so_and_no_other() -> None:
    played = Play(Plan(END_MS))
    list(played.run())
    sources: dict[str | None, set[tuple[str, int]]] = {}
    for host in played.world.hosts.values():
        for pool in host.pools:
            if pool.kind == "netfs":
                sources.setdefault(pool.source, set()).add((pool.name, pool.capacity_bytes))
    assert None not in sources
    assert len(sources) > 1
    assert all(len(pools) == 1 for pools in sources.values())


def _objects(connection: sa.Connection) -> list[Object]:
    table = schema.entity
    query = sa.select(table.c.id, table.c.host_id, table.c.kind)
    rows = connection.execute(query.where(table.c.kind.in_(schema.samples))).all()
    return [Object(*row) for row in rows]


def _chunk(connection: sa.Connection, one: Object, tier: tiers.Tier, day: int) -> Rolled | None:
    begin, end = day * DAY_MS, (day + 1) * DAY_MS
    found = list(tiers.read(connection, one.entity_id, tier, begin, end))
    if not found:
        return None
    whole = found[0] if len(found) == 1 else merge(found, 1)
    places = [n for n, s in enumerate(whole.starts) if begin <= s * tier.width_ms < end]
    return told(whole).part(slice(places[0], places[-1] + 1)) if places else None


def test_what_is_in_chunks_is_what_a_compaction_of_the_samples_gives(
    demo: Web, demo_data: tuple[Path, Plan]
) -> None:
    day = today(demo_data[1]).begin - 1
    begin, end = day * DAY_MS, (day + 1) * DAY_MS
    compared = 0
    with demo.store.reading() as connection:
        for one in _objects(connection):
            facts = facts_of_many(connection, one.kind, [one.entity_id], begin, end)
            work = samples_of_many(demo.store, one.host_id, one.kind, facts, begin, end)
            samples = list(finished(work))
            found = compacted(one.kind, day, samples[0], facts) if samples else None
            kept = _chunk(connection, one, tiers.HOURS, day)
            if found is None or kept is None:
                assert found is None or not found.hours.starts
                assert kept is None
                continue
            hours = told(bounded(found.hours.of(0)))
            # The day before is not there as samples, so that its last interval is unknown.
            for name, column in hours.columns.items():
                same = kept.columns[name]
                assert hours.starts == kept.starts
                assert column.part(slice(1, None)) == same.part(slice(1, None)), name
            compared += 1
    assert compared > 40


def test_the_coarser_tiers_are_the_finer_ones_put_together(
    demo: Web, demo_data: tuple[Path, Plan]
) -> None:
    last = today(demo_data[1]).begin
    compared = 0
    with demo.store.reading() as connection:
        for one in _objects(connection):
            if one.kind == "volume":
                continue
            for day in (last - 1, last - 3, last - 6):
                tens, hours = (_chunk(connection, one, t, day) for t in (tiers.TENS, tiers.HOURS))
                if tens is None or hours is None:
                    assert tens is hours
                    continue
                for name, column in bounded(merge([tens], 6)).columns.items():
                    assert column == hours.columns[name]
                compared += 1
    assert compared > 60


def test_the_rows_of_the_day_are_those_of_the_chunks(
    demo: Web, demo_data: tuple[Path, Plan]
) -> None:
    table = schema.dailies["domain"]
    compared = rates = 0
    with demo.store.reading() as connection:
        for row in connection.execute(sa.select(table)):
            day = tiers.day_number(row.day)
            one = Object(row.entity, 0, "domain")
            hours = _chunk(connection, one, tiers.HOURS, day)
            assert hours is not None
            column = hours.columns["memory_used_bytes"]
            low, high = column.bounds()
            seen = [n for n, weight in enumerate(column.weight) if weight]
            # Chunks tell bounds outward to ten leading bits, rows of the day as they were.
            least, most = min(low[n] for n in seen), max(high[n] for n in seen)
            assert least <= row.memory_used_bytes_min <= least * (1 + 1 / 512)
            assert most * (1 - 1 / 512) <= row.memory_used_bytes_max <= most
            mean = sum(column.total) / sum(column.weight)
            assert row.memory_used_bytes_avg == pytest.approx(mean, abs=1)
            compared += 1
            # Of one look, as on a day that began just now, there is no rate.
            if row.cpu_avg is not None:
                assert 0 <= row.cpu_min <= row.cpu_avg <= row.cpu_max <= 1.0
                rates += 1
    assert compared > 300
    assert rates > 300


def test_the_planted_facts_are_there(demo: Web, demo_data: tuple[Path, Plan]) -> None:
    plan = demo_data[1]
    facts = planted(plan)
    seen = fleet(demo.store, plan.end_ms)
    names = {one.fact.name: one for one in seen.domains}
    for name in (*facts.idle, *facts.oversized):
        assert names[name].fact.state == "running"
    pool = next(one for one in seen.pools if one.fact.name == facts.filling.pool)
    assert pool.host == facts.filling.host
    assert pool.sample is not None
    assert pool.sample.available_bytes is not None
    left = pool.sample.available_bytes / facts.filling.bytes_per_day
    assert left == pytest.approx(facts.filling.full_in_days, abs=0.01)
    for orphan in facts.orphans:
        volume = next(one for one in seen.volumes if one.fact.name == orphan.name)
        assert volume.host == orphan.host
        assert volume.fact.capacity_bytes == orphan.capacity_bytes
        used = [d for one in seen.domains for d in one.fact.disks if d.volume == orphan.name]
        assert not used


def test_every_other_volume_is_used_and_every_disk_has_one(
    demo: Web, demo_data: tuple[Path, Plan]
) -> None:
    seen = fleet(demo.store, demo_data[1].end_ms)
    disks = {
        (one.host, disk.pool, disk.volume)
        for one in seen.domains
        for disk in one.fact.disks
        if disk.volume
    }
    pools = {(one.host, one.key): one.fact.name for one in seen.pools}
    volumes = {
        (one.host, pools[one.host, one.fact.pool_uuid], one.fact.name) for one in seen.volumes
    }
    orphans = {(one.host, one.pool, one.name) for one in planted(demo_data[1]).orphans}
    assert volumes - disks == orphans
    assert disks <= volumes


def test_idle_domains_idle_and_oversized_ones_are_and_no_other(
    demo: Web, demo_data: tuple[Path, Plan]
) -> None:
    facts = planted(demo_data[1])
    seen = {one.entity_id: one.fact for one in fleet(demo.store, demo_data[1].end_ms).domains}
    table = schema.dailies["domain"]
    query = sa.select(
        table.c.entity, sa.func.max(table.c.cpu_p95), sa.func.max(table.c.memory_used_bytes_max),
        sa.func.max(table.c.disk_write_bytes_avg + table.c.net_rx_bytes_avg),
    )  # fmt: skip
    with demo.store.reading() as connection:
        rows = connection.execute(query.group_by(table.c.entity)).all()
    idle, oversized = set(), set()
    for entity, cpu, memory, traffic in rows:
        fact = seen.get(entity)
        if fact is None or fact.memory_bytes is None:
            continue
        if cpu < 0.01 and traffic < 2_000:
            idle.add(fact.name)
        elif cpu < 0.25 and memory < 0.4 * fact.memory_bytes:
            oversized.add(fact.name)
    assert idle == set(facts.idle)
    assert oversized == set(facts.oversized)


def test_one_host_is_overcommitted_and_no_other() -> None:
    plan = Plan(END_MS)
    played = Play(plan)
    list(played.run())
    found = planted(plan).overcommitted
    assert found is not None
    for slug, host in played.world.hosts.items():
        on = [m for m in host.machines.values() if m.active]
        memory = sum(m.memory_bytes for m in on) / (host.memory_gib * GIB)
        vcpus = sum(m.vcpus for m in on) / host.site.threads
        if slug == found.host:
            assert memory > 1.1
            assert vcpus > 3.2
        else:
            assert memory < 0.95, slug
            assert vcpus < 2.6, slug


def test_the_last_day_shows_a_newcomer_what_npvirt_remembers(demo: Web) -> None:
    page = demo.text("/changes")
    for word in ("crashed", "I/O error", "16", "24"):
        assert word in page
    with demo.store.reading() as connection:
        whats = set(connection.execute(sa.select(schema.change.c.what)).scalars())
    assert {"created", "deleted", "started", "stopped", "crashed", "unreachable", "back",
            "no-scans", "snapshot-taken"} <= whats  # fmt: skip


def test_every_checksum_of_a_made_up_past_holds(demo: Web) -> None:
    found = verify(demo.store)
    assert found.wrong == []
    assert found.rows > 0


def test_the_audit_of_a_made_up_past_is_whole(demo: Web) -> None:
    count, broken = audit.first_broken(demo.store)
    assert count > 10
    assert broken is None
    with demo.store.reading() as connection:
        who = set(connection.execute(sa.select(schema.audit.c.who)).scalars())
    assert all(name.startswith("demo-") for name in who)


@pytest.mark.parametrize(
    "address",
    ["/", "/hosts", "/domains", "/pools", "/networks", "/changes", "/audit", "/help", "/hosts/add",
     "/hosts/kvm-01", "/users", "/login?next=/", "/nowhere"],
)  # fmt: skip
def test_every_page_says_what_it_is(demo: Web, address: str) -> None:
    if address.startswith("/login"):
        demo.sign_out()
    answer = demo.client.get(address)
    assert answer.status_code in (200, 404)
    assert "Demonstration: a made-up fleet" in answer.text


def test_the_api_says_what_it_is_too(demo: Web, web: Web) -> None:
    assert demo.client.get("/api/v1/overview").get_json()["demo"] is True
    assert web.client.get("/api/v1/overview").get_json()["demo"] is False
    assert "Demonstration" not in web.text("/")


def test_a_scan_goes_on_where_the_past_ended(demo: Web) -> None:
    before = fleet(demo.store, None)
    for record in (host.record for host in before.hosts):
        scanner = demo.collector._scanner(record, 60_000)
        scanner.scan(everything=False, again=(), next_at_ms=lambda ok: None)
    after = fleet(demo.store, None)
    known = {one.key: one for one in before.domains if one.sample is not None}
    compared = 0
    for one in after.domains:
        old = known.get(one.key)
        if old is None or one.sample is None or old.sample is None or old.fact.id != one.fact.id:
            continue
        assert (one.sample.cpu_time_ns or 0) >= (old.sample.cpu_time_ns or 0)
        compared += 1
    assert compared > 15


def test_the_minutes_that_making_it_took_are_made_up_too(tmp_path: Path) -> None:
    plan = Plan(now_ms() - 4 * 60_000, hosts=1, domains=3, days=3)
    make_demo(tmp_path / "var", plan)
    made = demo_web(tmp_path / "var", plan)
    collector = made.collector
    assert isinstance(collector, DemoCollector)
    collector.catch_up()
    as_of = fleet(made.store, None).as_of_ms
    assert as_of is not None
    assert now_ms() - as_of < 2 * 60_000
    made.store.close()


def test_an_action_changes_the_made_up_fleet_alone(demo: Web) -> None:
    domain = next(d for d in fleet(demo.store, None).domains if d.fact.name == "app-01")
    address = f"/api/v1/hosts/{domain.host}/domains/{domain.key}/actions/suspend"
    token = demo.token()
    answer = demo.client.post(
        address, json={"expect_state": "running", "request_id": str(uuid4())},
        headers={"Origin": "http://localhost", "X-CSRF-Token": token},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["audit"]["outcome"] == "ok"
    stage = demo.collector._stage  # type: ignore[attr-defined]  # a DemoCollector's
    assert stage.host(domain.host).domains[domain.key].state == "paused"


def test_what_is_not_played_through_is_refused_in_a_sentence(demo: Web) -> None:
    domain = next(d for d in fleet(demo.store, None).domains if d.fact.name == "app-01")
    address = f"/api/v1/hosts/{domain.host}/domains/{domain.key}/actions/inject-nmi"
    assert any(action.name == "inject-nmi" for action in ACTIONS)
    answer = demo.client.post(
        address, json={"expect_state": "running", "request_id": str(uuid4())},
        headers={"Origin": "http://localhost", "X-CSRF-Token": demo.token()},
    )  # fmt: skip
    assert answer.status_code == 409
    assert "demonstration" in answer.get_json()["detail"]


def test_a_demonstration_opens_no_connection(demo: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Session:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(Session, "open", refuse)
    assert is_demonstration(demo.settings.data)
    for view in fleet(demo.store, None).hosts:
        with pytest.raises(NotFound, match="demonstration"):
            resolve(demo.store, demo.settings.data, view.record.connection)
        diagnosis = demo.collector.test_connection(view.record.connection)
        assert not diagnosis.ok
        with pytest.raises(Conflict, match="demonstration"):
            demo.collector.trust(view.record.connection, ["SHA256:x"])


def test_the_link_signs_in_and_another_does_not(demo: Web) -> None:
    demo.sign_out()
    assert demo.client.get("/").status_code == 303
    assert demo.client.get("/demo/guess").status_code == 404
    link = demonstration_link(demo.app, demo.settings)
    answer = demo.client.get(link.partition("8040")[2])
    assert answer.status_code == 303
    assert demo.client.get("/").status_code == 200


def test_an_ordinary_panel_has_no_such_link(web: Web) -> None:
    web.sign_out()
    assert web.client.get("/demo/guess").status_code in (303, 404)


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "npvirt.sqlite").write_bytes(b"precious")
    with pytest.raises(Conflict, match="leaves it alone"):
        ensure(tmp_path, small_plan(), lambda _: None, fresh=True)
    assert (tmp_path / "npvirt.sqlite").read_bytes() == b"precious"


def test_a_second_start_finds_it_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    plan = Plan(END_MS, hosts=1, domains=3, days=3)
    said: list[str] = []
    first = ensure(data, plan, said.append)
    assert said
    said.clear()
    made = (data / "npvirt.sqlite").stat().st_mtime_ns
    assert ensure(data, Plan(END_MS + DAY), said.append) == first
    assert not said
    assert (data / "npvirt.sqlite").stat().st_mtime_ns == made
    assert sqlite3.connect(data / "npvirt.sqlite").execute("PRAGMA quick_check").fetchone() == (
        "ok",
    )
    assert not list(tmp_path.glob(".demo.new*"))


def test_a_made_store_can_be_served_by_the_application(tmp_path: Path) -> None:
    plan = Plan(END_MS, hosts=1, domains=3, days=3)
    make_demo(tmp_path / "var", plan)
    made = demo_web(tmp_path / "var", plan)
    assert "Demonstration" in made.text("/")
    made.store.close()


def _npvirt(data: Path, **settings: str) -> dict[str, str]:
    return {**os.environ, "NPVIRT_DATA": str(data), "NPVIRT_BIND": "127.0.0.1:1", **settings}


def test_the_command_makes_it_serves_it_and_ends(tmp_path: Path) -> None:
    bind = f"127.0.0.1:{free_port()}"
    command = [*NPVIRT, "demo", "--days", "3", "--domains", "20", "--hosts", "2"]
    with subprocess.Popen(
        command, env=_npvirt(tmp_path / "var", NPVIRT_BIND=bind), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            link = next(line for line in process.stdout if "/demo/" in line).split()[-1]
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with opener.open(link, timeout=30) as answer:
                page = answer.read().decode()
            assert answer.url == f"http://{bind}/"
            assert "Demonstration: a made-up fleet" in page
            assert "kvm-02" in page
        finally:
            process.terminate()
    assert process.returncode == 0
    assert is_demonstration(tmp_path / "var" / "demo")
    assert not (tmp_path / "var" / "npvirt.sqlite").exists()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("NPVIRT_BIND", "0.0.0.0:8040", "on loopback alone"),
        ("NPVIRT_DATABASE_URL", "sqlite:////srv/npvirt.sqlite", "has its own"),
    ],
)
def test_the_command_refuses_what_would_mix_with_the_real_thing(
    tmp_path: Path, name: str, value: str, why: str
) -> None:
    environ = _npvirt(tmp_path, NPVIRT_INSECURE_HTTP="1", **{name: value})
    done = subprocess.run([*NPVIRT, "demo"], env=environ, capture_output=True, text=True)
    assert done.returncode == 2
    assert why in done.stderr
    assert not (tmp_path / "demo").exists()


def test_the_older_past_is_added_beside_and_may_be_broken_off(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    plan = Plan(END_MS, hosts=1, domains=3, days=60)
    ensure(data, plan, lambda _: None)

    def days() -> int:
        with sqlite3.connect(data / "npvirt.sqlite") as connection:
            return int(
                connection.execute("SELECT count(DISTINCT day) FROM daily_host").fetchone()[0]
            )

    recent = days()
    turns = iter((True, True, False))
    complete(data, lambda: next(turns))
    assert read_mark(data) is not None
    assert not read_mark(data).whole  # type: ignore[union-attr]  # it is there
    complete(data, lambda: True)
    assert read_mark(data).whole  # type: ignore[union-attr]
    assert days() > recent + 50
    store = open_store(data / "npvirt.sqlite")
    page = fleet(store, END_MS - 40 * 86_400_000)
    assert any(one.sample is not None and one.sample.memory_rss_bytes for one in page.domains)
    assert all(view.status.known for view in page.hosts)
    store.close()
