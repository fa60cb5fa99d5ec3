"""What became of a thing, and what differs, in the few words of a cell."""

from typing import Any

import pytest
from msgspec.structs import replace

from app.inventory import Disk, Domain
from app.store.became import Told
from app.store.differences import Difference, differences
from app.store.history import Seen
from app.web.comparing import Fate
from app.web.fates import in_words, since, values
from app.web.when import Zone

ZONE = Zone("UTC")
HOUR_MS = 3_600_000
NOW_MS = 20_000 * 24 * HOUR_MS + 12 * HOUR_MS
VM = Domain(uuid="u", name="web", state="running", state_reason="booted", id=3)


def became(told: dict[str, Told], **changed: Any) -> str:
    """What is said of a domain that is otherwise now."""
    then, now = (
        Seen(
            host="kvm-01",
            key="u",
            fact=fact,
            sample=None,
            at_ms=NOW_MS,
            known=True,
            entity_id=1,
            valid_from_ms=NOW_MS,
        )
        for fact in (VM, replace(VM, **changed))
    )
    fate = Fate("domain", "changed", then, now, tuple(differences("domain", VM, now.fact)))
    return since(fate, told, ZONE, NOW_MS).text


@pytest.mark.parametrize(
    "words",
    [
        {"restarted": Told(1, NOW_MS - HOUR_MS)},
        {"stopped": Told(1, NOW_MS - 2 * HOUR_MS), "started": Told(1, NOW_MS - HOUR_MS)},
        {"restarted": Told(2, NOW_MS - 3 * HOUR_MS), "started": Told(1, NOW_MS - HOUR_MS)},
        {"restarted": Told(2, NOW_MS - HOUR_MS), "started": Told(1, NOW_MS - 3 * HOUR_MS)},
    ],
)
def test_a_restart_has_the_time_of_its_last_start_however_it_was_told(
    words: dict[str, Told],
) -> None:
    assert became(words, id=9) == "Restarted 11:00"


def test_a_state_has_the_time_of_the_turn_that_led_to_it() -> None:
    """A domain that crashed, started and was shut off was told to stop; one that was seen to run
    and then crashed in its sleep has no turn of the same word.
    """
    stopped = {"crashed": Told(1, NOW_MS - 2 * HOUR_MS), "stopped": Told(1, NOW_MS - HOUR_MS)}
    assert became(stopped, state="shutoff", state_reason="shutdown", id=None) == "Shut off 11:00"
    slept = {"asleep": Told(1, NOW_MS - 2 * HOUR_MS), "woken": Told(1, NOW_MS - HOUR_MS)}
    assert became(slept, state="paused", state_reason="user") == "Paused by user, 11:00"
    assert became({}, state="paused", state_reason="user") == "Paused by user"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"id": 9}, ("Restarted", "", "")),
        ({"memory_bytes": 2 << 30}, ("Memory 1 → 2 GiB", "", "")),
        ({"state": "shutoff", "id": None}, ("Shut off", "", "")),
        ({"disks": (Disk(target="vda", source="/a"),)}, ("Disk vda added", "", "/a")),
        ({"title": "Shop"}, ("Title changed", "none", "Shop")),
        ({"autostart": True}, ("Autostart on", "", "")),
    ],
)
def test_a_difference_is_said_and_its_values_stand_beside_where_they_say_more(
    changed: dict[str, Any], told: tuple[str, str, str]
) -> None:
    before = replace(VM, memory_bytes=1 << 30, autostart=False)
    (one,) = differences("domain", before, replace(before, **changed))
    assert (in_words(one), *values(one)) == told


def test_a_device_that_changed_shows_what_it_was_and_is() -> None:
    one = Difference("disk-changed", "disks", "sda", None, "/iso/debian.iso")
    assert (in_words(one), *values(one)) == ("Disk sda changed", "none", "/iso/debian.iso")
