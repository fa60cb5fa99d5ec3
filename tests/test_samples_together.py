"""What is read and put together for many objects at once is what each of them gives alone."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.clock import DAY_MS
from app.errors import StoreError
from app.inventory import Domain, DomainSample, Scan
from app.store import schema, tiers
from app.store.engine import Store
from app.store.fill import Filling, Tick
from app.store.raw import Object, facts_of_many, samples_between, samples_of_many
from app.store.record import Recorder
from app.store.rollup import readings
from app.store.sampled import Since
from tests.made_once import open_store
from tests.storing import a_host, compacted, finished

DAY = 20_575
INTERVAL = 5 * 60_000
START = DAY * DAY_MS
TICKS = DAY_MS // INTERVAL
NAMES = [f"vm-{number}" for number in range(6)]


def samples(tick: int, absent: str, luck: random.Random) -> dict[str, DomainSample]:
    """What is measured at a scan: of `absent` nothing; drops of one domain at one scan alone."""
    found = {}
    for number, name in enumerate(NAMES):
        if name == absent:
            continue
        found[name] = DomainSample(
            cpu_time_ns=tick * 10**9 * (number + 1) + luck.randint(0, 10**8),
            memory_bytes=2**31,
            memory_usable_bytes=2**30 + 4096 * luck.randint(0, 999) if number != 2 else None,
            memory_unused_bytes=2**29 + tick if number == 2 else None,
            disk_read_bytes=(tick % 100) * 4096,
            net_rx_drops=7 if (tick, number) == (50, 4) else None,
        )
    return found


@pytest.fixture(params=["all alike", "one not always"])
def a_day(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, int]]:
    """A day of a host with six domains, and its id."""
    store = open_store(tmp_path / "npvirt.sqlite")
    luck = random.Random(3)
    record = a_host(store, "kvm-01")
    recorder = Recorder(store, record, INTERVAL)
    for tick in range(-1, TICKS):
        gone = request.param != "all alike" and 40 <= tick < 90
        measured = samples(tick + 1, "vm-3" if gone else "", luck)
        domains = {
            name: Domain(name, name, "running" if name in measured else "shutoff",
                         id=number + 1 if name in measured else None, vcpus=2)
            for number, name in enumerate(NAMES)
        }  # fmt: skip
        at_ms = START + tick * INTERVAL + luck.randint(0, 99)
        recorder.record(Scan(at_ms, 9, ok=True, domains=domains, domain_samples=measured))
    yield store, record.id
    store.close()


def listed(values: Any) -> list[list[int | None]]:
    """The values of each object at each scan."""
    found = readings(values)
    rows = found.values.reshape(len(found.values), -1)
    known = rows == rows if found.known is None else found.known.reshape(rows.shape)
    return np.where(known, rows.astype(object), np.array(None)).tolist()  # type: ignore[no-any-return]  # of whole numbers and None


def test_objects_read_together_are_what_each_is_alone(a_day: tuple[Store, int]) -> None:
    store, host_id = a_day
    table = schema.entity
    with store.reading() as connection:
        query = sa.select(table.c.id).where(table.c.kind == "domain")
        ids = connection.execute(query).scalars().all()
        facts = facts_of_many(connection, "domain", ids, START, START + DAY_MS)
        work = samples_of_many(store, host_id, "domain", facts, START, START + DAY_MS)
        found = list(finished(work))
        places = [(together, n) for together in found for n in range(len(together.entity_ids))]
        assert sorted(together.entity_ids[n] for together, n in places) == ids
        seen: set[str] = set()
        for together, place in places:
            entity_id, mine = together.entity_ids[place], together.samples
            wanted = Object(entity_id, host_id, "domain")
            alone = samples_between(connection, wanted, START, START + DAY_MS, facts[entity_id])
            told = {name: listed(values) for name, (_, values) in alone.series.items()}
            told = {
                name: values for name, values in told.items() if any(v != [None] for v in values)
            }
            assert list(mine.times_ms) == list(alone.times_ms)
            assert list(mine.elapsed_ms) == list(alone.elapsed_ms)
            assert {
                name: [row[place] for row in listed(values)]
                for name, (_, values) in mine.series.items()
            } == {name: [row[0] for row in values] for name, values in told.items()}
            assert mine.skip == alone.skip == 1
            seen |= mine.series.keys()
            alone.series = {name: alone.series[name] for name in told}
            many = compacted("domain", DAY, together, facts)
            one = tiers.compact(wanted, DAY, alone, facts[entity_id])
            assert many is not None
            assert one is not None
            assert many.chunks[place] == one.chunks[0]
            assert many.days[place] == one.days[0]
            assert many.hours.of(place) == one.hours.of(0)
    # Neither what one domain has at one scan, nor what follows from others, is lost.
    assert {"net_rx_drops", "memory_used_bytes", "memory_unused_bytes"} <= seen


# --- rows as SQLite has them -------------------------------------------------------------------

_VALUES = st.one_of(
    st.none(), st.integers(0, 9), st.sampled_from([2**63 - 1, 2**53 + 1, -(2**63) + 1, -1, 0])
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_are_read_as_they_are_in_pieces_of_any_size(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    objects, ticks = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 12))
    columns = ("cpu_time_ns", "memory_rss_bytes", "net_tx_errors")
    store = open_store(tmp_path_factory.mktemp("store") / "npvirt.sqlite")
    hosts = [a_host(store, slug).id for slug in ("kvm-01", "kvm-02")]
    cells: dict[int, dict[int, list[int | None]]] = {}
    with store.writing() as connection:
        table = schema.entity
        for number in range(2 * objects):
            # Those of another host stand between.
            row = {"host_id": hosts[number % 2], "kind": "domain", "key": f"vm-{number}"}
            connection.execute(sa.insert(table).values(row | {"first_seen_ms": 0}))
        every = connection.scalars(sa.select(table.c.id).order_by(table.c.id)).all()
        ids = every[::2]
        for host_id in hosts:
            scans = [Tick(START + n * INTERVAL, 9) for n in range(ticks)]
            Filling(store, connection).ticks(host_id, scans, INTERVAL)
        for tick in range(ticks):
            at_ms = START + tick * INTERVAL
            for entity_id in every:
                if not data.draw(st.sampled_from([True, True, True, False])):
                    continue
                values = [data.draw(_VALUES) for _ in columns]
                named = dict(zip(columns, values, strict=True))
                connection.execute(
                    sa.insert(schema.samples["domain"]).values(ts=at_ms, entity=entity_id, **named)
                )
                if entity_id in ids:
                    cells.setdefault(entity_id, {})[at_ms] = values
    facts = {entity_id: [Since(0, Domain("u", "vm", "running", id=1))] for entity_id in ids}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.store.raw._PIECE", data.draw(st.integers(1, 3 * objects)))
        work = samples_of_many(store, hosts[0], "domain", facts, START, START + DAY_MS)
        found = list(finished(work))
    told: dict[int, dict[int, list[int | None]]] = {}
    for together in found:
        series = together.samples.series
        for place, entity_id in enumerate(together.entity_ids):
            rows = [listed(series[name][1]) if name in series else None for name in columns]
            told[entity_id] = {
                at_ms: [None if row is None else row[n][place] for row in rows]
                for n, at_ms in enumerate(together.samples.times_ms)
            }
    assert told == cells
    store.close()


def test_samples_that_are_no_numbers_are_damage(tmp_path: Path) -> None:
    store = open_store(tmp_path / "npvirt.sqlite")
    host_id = a_host(store, "kvm-01").id
    names = ", ".join(column.name for column in schema.samples["domain"].c)
    with store.writing() as connection:
        Filling(store, connection).ticks(host_id, [Tick(START, 9)], INTERVAL)
        connection.exec_driver_sql("DROP TABLE sample_domain")
        connection.exec_driver_sql(f"CREATE TABLE sample_domain ({names})")
        connection.exec_driver_sql(
            "INSERT INTO sample_domain (ts, entity, cpu_time_ns) VALUES (?, 1, 'a lot')", (START,)
        )
    facts = {1: [Since(0, Domain("u", "vm", "running", id=1))]}
    with pytest.raises(StoreError, match="Samples of the store are damaged"):
        finished(samples_of_many(store, host_id, "domain", facts, START, START + DAY_MS))
    store.close()
