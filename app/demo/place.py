"""Where a demonstration lives: a data directory of its own, marked, built once and then kept.

Never writes into a directory that is not marked as a demonstration's, unless that is empty.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from app import clock
from app.clock import DAY_MS
from app.demo.build import Say, build_older, build_recent
from app.demo.plan import Plan
from app.demo.spans import Keep
from app.errors import Conflict
from app.settings import load
from app.store.demonstration import Mark, read_mark, write_mark
from app.store.engine import Store, store_path

# What a year's chart or a day's needs, in half the time that the settings' lengths would take.
KEEP = Keep(raw_days=1, minute_days=4, ten_days=35)


def plan_of(mark: Mark) -> Plan:
    """The plan from which a demonstration was made."""
    return Plan(mark.end_ms, mark.hosts, mark.domains, mark.days, mark.seed)


def ensure(directory: Path, plan: Plan, say: Say, *, fresh: bool = False) -> Mark:
    """The demonstration in `directory`, made there from `plan` if there is none (or if `fresh`).

    Raises Conflict for a directory that holds something else, StoreError.
    """
    mark = read_mark(directory)
    if mark is not None and not fresh:
        return mark
    if mark is None and directory.exists() and any(directory.iterdir()):
        raise Conflict(
            f"{directory} is not empty and not a demonstration’s; npvirt demo leaves it alone. "
            "Name another directory with --data."
        )
    mark = Mark(plan.end_ms, plan.hosts, plan.domains, plan.days, plan.seed)
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = directory.with_name(f".{directory.name}.new-{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    try:
        _fill(building, plan, say)
        write_mark(building, mark)
        if directory.exists():
            shutil.rmtree(directory)
        building.rename(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return mark


def _fill(directory: Path, plan: Plan, say: Say) -> None:
    store = _open(directory)
    try:
        build_recent(store, plan, KEEP, say)
    finally:
        store.close()


def complete(directory: Path, going_on: Callable[[], bool]) -> None:
    """Add what `ensure` left for later, beside a server, as long as `going_on`; what is not done
    then is done another time. Raises StoreError.
    """
    mark = read_mark(directory)
    if mark is None or mark.whole:
        return
    store = _open(directory)
    try:
        if build_older(store, plan_of(mark), KEEP, going_on):
            write_mark(directory, replace(mark, whole=True))
    finally:
        store.close()


def _open(directory: Path) -> Store:
    return Store.open(store_path(load({"NPVIRT_DATA": str(directory)})))


def age_days(mark: Mark) -> int:
    """How many days ago a demonstration's past ended."""
    return (clock.now_ms() - mark.end_ms) // DAY_MS
