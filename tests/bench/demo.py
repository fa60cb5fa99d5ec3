"""What a demonstration costs: time until it can be shown, until it is whole, and its size."""

import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from app.clock import now_ms
from app.demo.place import complete, ensure
from app.demo.plan import Plan

_MB = 1e6


def run() -> Iterator[str]:
    """The whole one, as `npvirt demo` makes it."""
    with tempfile.TemporaryDirectory() as text:
        data = Path(text, "demo")
        plan = Plan(now_ms())
        started_s, before = time.monotonic(), _cpu_s()
        ensure(data, plan, lambda _: None)
        took_s, cpu_s = time.monotonic() - started_s, _cpu_s() - before
        what = f"{plan.hosts} hosts, {plan.domains} domains, {plan.days} days"
        yield f"{what}: can be shown after {took_s:.0f} s ({cpu_s:.0f} s of CPU, at most 60)"
        started_s, before = time.monotonic(), _cpu_s()
        complete(data, lambda: True)
        took_s, cpu_s = time.monotonic() - started_s, _cpu_s() - before
        yield f"its older past beside it: {took_s:.0f} s more ({cpu_s:.0f} s of CPU)"
        store = data / "npvirt.sqlite"
        parts = ", ".join(f"{name} {size / _MB:.0f}" for name, size in _largest(store))
        yield f"on disk: {store.stat().st_size / _MB:.0f} MB ({parts})"
        started_s = time.monotonic()
        ensure(data, plan, lambda _: None)
        yield f"second start: {1000 * (time.monotonic() - started_s):.1f} ms"


def _cpu_s() -> float:
    """CPU time of this process and of its children that ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _largest(path: Path) -> list[tuple[str, int]]:
    """The tables that take most, in bytes."""
    query = "SELECT name, sum(pgsize) AS size FROM dbstat GROUP BY name ORDER BY size DESC LIMIT 5"
    connection = sqlite3.connect(path)
    try:
        return list(connection.execute(query))
    finally:
        connection.close()
