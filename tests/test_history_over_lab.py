"""What real hosts went through, as the history tells it: a stopped host, a crashed guest, a resized
one, and npvirt itself away for a while.

It takes some two minutes; `STORY_MINUTES=60 make test ARGS=tests/test_history_over_lab.py` tells
the same story over an hour.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.lab.story import CRASHED, RESIZED, Story, told
from tests.panel import Panel

pytestmark = pytest.mark.xdist_group("lab-history")

_MINUTES = float(os.environ.get("STORY_MINUTES", "0"))
SCAN_S = 10.0 if _MINUTES else 2.0
# Between two events; the story has six such pauses. A gap is what is longer than three scans.
_PAUSE_S = _MINUTES * 60 / 6 if _MINUTES else 5 * SCAN_S
# A change is told by the scan after it, and a look may take its time on a busy machine.
SOON_S = 30.0


@dataclass(frozen=True)
class Told:
    """The panel after the story, and the story."""

    panel: Panel
    story: Story

    def changes(self, **narrow: str) -> list[Any]:
        """Changes since the story began, the oldest first."""
        query = "&".join(f"{name}={value}" for name, value in narrow.items())
        address = f"/api/v1/changes?from={self.at('begun'):.0f}&per_page=1000&{query}"
        return list(reversed(self.panel.get(address)["items"]))

    def at(self, mark: str) -> float:
        """When something happened, in epoch seconds."""
        return self.story.marks[mark]

    def moment(self, mark: str, later_s: float = 0.0) -> str:
        """A moment as `at` takes it."""
        return f"{self.at(mark) + later_s:.3f}"

    def domain(self, host: int, name: str, at: str) -> Any:
        """A domain as it was."""
        slug, uuid = self.story.members[host].host.name, self.story.uuid(host, name)
        return self.panel.get(f"/api/v1/hosts/{slug}/domains/{uuid}?at={at}")

    def series(self, host: int, query: str) -> Any:
        """What was measured from the beginning to the end."""
        slug = self.story.members[host].host.name
        stretch = f"from={self.at('begun'):.0f}&to={self.at('ended'):.0f}&points=2000"
        return self.panel.get(f"/api/v1/series?host={slug}&{query}&{stretch}")


@pytest.fixture(scope="module")
def history(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    data = tmp_path_factory.mktemp("history") / "var"
    with told(data, pause_s=_PAUSE_S, scan_s=SCAN_S) as (story, panel):
        yield Told(panel, story)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_the_crash_is_told_as_one_and_where_from(history: Told) -> None:
    uuid = history.story.uuid(0, CRASHED)
    (crash,) = history.changes(key=uuid)
    assert crash["what"] == "crashed"
    assert (crash["kind"], crash["name"], crash["host"]) == ("domain", CRASHED, "kvm-01")
    assert 0 <= _seconds(crash["at"]) - history.at("crashed") < SOON_S
    assert _seconds(crash["after"]) <= history.at("crashed") + SCAN_S
    assert crash["by"] == "scan"


def test_the_resize_is_told_with_both_sizes_and_as_done_elsewhere(history: Told) -> None:
    found = history.changes(key=history.story.uuid(0, RESIZED))
    by_what = {change["what"]: change for change in found}
    assert {"stopped", "started", "vcpus", "memory"} <= by_what.keys(), found
    assert (by_what["vcpus"]["old"], by_what["vcpus"]["new"]) == ("1", "2")
    assert (by_what["memory"]["old"], by_what["memory"]["new"]) == (str(16 << 20), str(32 << 20))
    assert by_what["vcpus"]["by"] == "outside"
    assert any(change["xml_url"] for change in found), found


def test_the_host_that_was_stopped_is_told_to_be_gone_and_back(history: Told) -> None:
    found = [one for one in history.changes(host="kvm-02") if one["kind"] == "host"]
    assert [one["what"] for one in found][:2] == ["unreachable", "back"], found
    gone, back = found[:2]
    # A look is named by its beginning, and may have been under way already, however long it takes.
    assert abs(_seconds(gone["at"]) - history.at("host stopped")) < SOON_S
    assert abs(_seconds(back["at"]) - history.at("host started")) < SOON_S


def test_nobody_is_told_to_be_deleted_or_created(history: Told) -> None:
    words = {change["what"] for change in history.changes()}
    assert not words & {"deleted", "created", "moved"}, words


def test_npvirt_says_of_itself_that_it_was_away(history: Told) -> None:
    (away,) = history.changes(kind="npvirt")
    assert away["what"] == "no-scans"
    assert abs(_seconds(away["after"]) - history.at("npvirt stopped")) < SOON_S
    assert abs(_seconds(away["at"]) - history.at("npvirt started")) < SOON_S


def test_the_past_is_as_it_was(history: Told) -> None:
    before = history.moment("crashed", -0.5)
    assert history.domain(0, CRASHED, before)["state"] == "running"
    assert history.domain(0, RESIZED, before)["vcpus"] == 1
    later = history.moment("npvirt stopped", -0.5)
    assert history.domain(0, CRASHED, later)["state"] == "shutoff"
    assert history.domain(0, RESIZED, later)["vcpus"] == 2
    silent = history.moment("host started", -0.5)
    slug = history.story.members[1].host.name
    items = history.panel.get(f"/api/v1/domains?host={slug}&at={silent}")["items"]
    assert items
    assert {item["state"] for item in items} == {None}
    assert all(item["unknown_since"] and item["last"]["state"] for item in items)


def test_charts_break_where_nobody_saw_and_nowhere_spike(history: Told) -> None:
    stopped = history.series(1, "kind=host&metric=running_domains")
    away = (history.at("npvirt stopped"), history.at("npvirt started"))
    silent = (history.at("host stopped"), history.at("host started"))
    for begin, end in (silent, away):
        assert any(
            gap[0] < end and gap[1] > begin and gap[1] - gap[0] >= 0.5 * (end - begin)
            for gap in stopped["gaps"]
        ), (stopped["gaps"], begin, end)
    inside = [
        value
        for at, value in zip(stopped["t"], stopped["avg"], strict=True)
        if away[0] + 2 * SCAN_S < at < away[1]
    ]
    assert set(inside) <= {None}
    for name in (CRASHED, RESIZED):
        cpu = history.series(0, f"domain={history.story.uuid(0, name)}&metric=cpu")
        known = [value for value in cpu["avg"] if value is not None]
        assert known
        assert min(known) >= 0
        # A guest of one CPU, and QEMU's own work beside it.
        assert max(known) < 4
    after = [
        value
        for at, value in zip(cpu["t"], cpu["avg"], strict=True)
        if history.at("npvirt started") < at
    ]
    assert any(value is not None for value in after)


def test_a_crashed_guest_has_no_figures_after_it(history: Told) -> None:
    told_of = history.series(0, f"domain={history.story.uuid(0, CRASHED)}&metric=memory_bytes")
    later = [
        value
        for at, value in zip(told_of["t"], told_of["avg"], strict=True)
        if at > history.at("crashed") + SCAN_S
    ]
    assert set(later) <= {None}
    assert any(told_of["avg"])
