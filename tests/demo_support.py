"""A small made-up fleet with a past, made once per run: for tests that need history."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.clock import DAY_MS, HOUR_MS, now_ms
from app.demo.build import build
from app.demo.collector import DemoCollector
from app.demo.live import Stage
from app.demo.performer import DemoPerformer
from app.demo.plan import Plan
from app.demo.spans import Keep
from app.settings import load
from app.store.demonstration import Mark, write_mark
from app.store.engine import store_path
from app.store.hosts import list_hosts
from tests.made_once import make_app, open_store
from tests.web_support import Web

KEEP = Keep(raw_days=1, minute_days=3, ten_days=10)


def small_plan(end_ms: int | None = None) -> Plan:
    """Three hosts, thirty domains, twenty-four days."""
    return Plan(now_ms() if end_ms is None else end_ms, hosts=3, domains=30, days=24)


def make_demo(data: Path, plan: Plan, keep: Keep = KEEP) -> None:
    """A marked data directory with the fleet of `plan` in it."""
    data.mkdir(parents=True, exist_ok=True)
    store = open_store(store_path(load({"NPVIRT_DATA": str(data)})))
    build(store, plan, keep)
    store.close()
    write_mark(data, Mark(plan.end_ms, plan.hosts, plan.domains, plan.days, plan.seed))


def demo_web(data: Path, plan: Plan, **settings: str) -> Web:
    """The application over a made-up fleet, as `npvirt demo` makes it; nothing scans by itself."""
    loaded = load({"NPVIRT_DATA": str(data), "NPVIRT_TIMEZONE": "UTC", **settings})
    store = open_store(store_path(loaded))
    stage = Stage(store, plan)
    collector = DemoCollector(loaded, store, stage)
    performer = DemoPerformer(loaded, store, collector, stage)
    app = make_app(loaded, store, collector, performer)
    web = Web(app, app.test_client(), store, loaded, collector)
    web.sign_in()
    return web


def look_now(web: Web) -> None:
    """Look at every host once: its past may have been made up minutes ago, and it would count as
    one that does not answer. So it does not for an hour.
    """
    for record in list_hosts(web.store):
        scanner = web.collector._scanner(record, 60_000)
        scanner.scan(everything=True, again=(), next_at_ms=lambda ok: now_ms() + HOUR_MS)


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """A data directory with the small fleet, and its plan; for copying."""
    data = tmp_path_factory.mktemp("demo") / "var"
    plan = small_plan()
    make_demo(data, plan)
    return data, plan


# A past that is just long enough for what takes thirty days, and ends soon after April 2026.
APRIL = Plan(20_574 * DAY_MS + 20 * 60_000, hosts=5, domains=26, days=33)


@pytest.fixture(scope="session")
def april_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the fleet of `APRIL`, in which all planted facts are; for reading and
    copying.
    """
    data = tmp_path_factory.mktemp("april") / "var"
    make_demo(data, APRIL, Keep(raw_days=0, minute_days=1, ten_days=2))
    return data


@pytest.fixture
def demo(demo_data: tuple[Path, Plan], tmp_path: Path) -> Iterator[Web]:
    """The web over a copy of the small fleet."""
    data, plan = demo_data
    made = demo_web(shutil.copytree(data, tmp_path / "demo"), plan)
    yield made
    made.store.close()
