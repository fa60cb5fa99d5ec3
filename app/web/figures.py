"""Figures of hosts and the geometry of bars: pure, from values to numbers and texts.

Unknown stays None all the way; nobody here replaces it by 0.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app import sizes
from app.inventory import Host, HostSample
from app.language import gettext
from app.store.views import Seen
from app.web.locales import figure


class Part(NamedTuple):
    """One share of a bar: its class, where it begins and how wide it is, in percent."""

    css: str
    x: str
    width: str


def cpu_share(sample: HostSample | None, previous: HostSample | None) -> float | None:
    """The share 0..1 of the host's CPU time that was not idle between two samples; None where
    a counter is unknown, went back, or stood still.
    """
    if sample is None or previous is None:
        return None
    before, after = _cpu_times(previous), _cpu_times(sample)
    if before is None or after is None:
        return None
    busy, idle = after[0] - before[0], after[1] - before[1]
    if busy < 0 or idle < 0 or busy + idle == 0:
        return None
    return busy / (busy + idle)


def host_cpu_share(seen: Seen[Host, HostSample] | None) -> float | None:
    """The same of a host as it was seen; of a time of which no samples are kept, of its hour."""
    if seen is None:
        return None
    if seen.rates is None:
        return cpu_share(seen.sample, seen.previous)
    user, system, idle = (seen.rates.get(f"cpu_{name}_ns") for name in ("user", "system", "idle"))
    if user is None or system is None or idle is None:
        return None
    whole = user + system + idle + seen.rates.get("cpu_iowait_ns", 0)
    return (user + system) / whole if whole else None


def _cpu_times(sample: HostSample) -> tuple[int, int] | None:
    """Busy and idle nanoseconds; waiting for I/O counts as idle."""
    if sample.cpu_user_ns is None or sample.cpu_system_ns is None or sample.cpu_idle_ns is None:
        return None
    return (
        sample.cpu_user_ns + sample.cpu_system_ns,
        sample.cpu_idle_ns + (sample.cpu_iowait_ns or 0),
    )


def percent(part: float | None, whole: float | None) -> int | None:
    """`part` of `whole` in whole percent; None where either is unknown or there is no whole."""
    if part is None or not whole:
        return None
    return round(100 * part / whole)


def size(count: int | None, whole: int | None = None) -> str:
    """Bytes with their unit ("512 GiB"), in the unit that `whole` would have; "–" if unknown."""
    if count is None:
        return "–"
    return figure(sizes.size(count, whole))


def size_of(part: int | None, whole: int | None) -> str:
    """Both in the unit of the whole: "388 / 512 GiB"."""
    if whole is None:
        return size(part)
    if part is None:
        return f"– / {size(whole)}"
    value = part / 1024 ** sizes.power_of(whole)
    # Less than a hundredth of the unit would read as nothing.
    known = _number(value) if value >= 0.01 or part == 0 else size(part)
    return f"{known} / {size(whole)}"


def number_and_unit(count: int, whole: int) -> tuple[str, str]:
    """`count` and its whole apart: ("1.84", "of 2.56 TiB"); where it is small beside the whole,
    with a unit of its own: ("92.3 GiB", "of 1.5 TiB").
    """
    value = count / 1024 ** sizes.power_of(whole)
    of = gettext("of %(size)s", size=size(whole))
    return (_number(value) if value >= 1 or count == 0 else size(count)), of


def _number(value: float) -> str:
    return figure(sizes.number(value))


def shares(parts: Iterable[tuple[str, float]]) -> list[Part]:
    """The parts of a bar side by side with a small gap; what is zero takes no place, and what
    is not stays visible.
    """
    wanted = [(css, value) for css, value in parts if value > 0]
    whole = sum(value for _, value in wanted)
    gap = 0.8
    room = 100 - gap * max(0, len(wanted) - 1)
    widths = _at_least([room * value / whole for _, value in wanted], 1.2, room)
    made = []
    x = 0.0
    for (css, _), width in zip(wanted, widths, strict=True):
        made.append(Part(css, _short(x), _short(width)))
        x += width + gap
    return made


def _at_least(widths: Sequence[float], least: float, room: float) -> list[float]:
    raised = [max(width, least) for width in widths]
    return [width * room / sum(raised) for width in raised]


def capacity(used: int | None, whole: int | None, promised: int | None) -> dict[str, object]:
    """The arguments of the capacity bar: everything in percent of what is largest."""
    longest = max(value for value in (used or 0, whole or 0, promised or 0, 1))
    if used is None or whole is None:
        return {"used": None, "size": "100", "promised": None}
    return {
        "used": _short(100 * used / longest),
        "size": _short(100 * whole / longest),
        # What is already allocated hides a smaller promise.
        "promised": None if not promised or promised <= used else _short(100 * promised / longest),
    }


def warning(filled: float | None) -> str:
    """The class of a bar that is `filled` percent full: warns from 85, is bad from 92."""
    if filled is None or filled < 85:
        return ""
    return "bad" if filled >= 92 else "warn"


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
