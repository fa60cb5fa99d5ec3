"""Charts: which there are of each kind of thing, and the stretch of time that they show.

Pure: from query parameters and facts to what a template says. The browser draws the curves from
`/api/v1/series`; how a value is named and which curves share a chart is decided here alone.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from app.clock import DAY_MS, rfc3339
from app.errors import InvalidField
from app.language import N_, bare_gettext, gettext
from app.metrics import Unit
from app.web.locales import date
from app.web.moment import Moment, moment, typed_moment
from app.web.when import Zone

# lines: each for itself; stack: on top of one another, each a part of the whole; shares: so, too,
# but one that is unknown while others are not took nothing (a VM that was off).
Form = Literal["lines", "stack", "shares"]
# What stands big beside the title: the first curve's value, or that of all together.
Big = Literal["first", "sum"]

PARAMETERS = frozenset(("range", "from", "to"))
_MOST_S = 20 * 366 * 86_400
_LEAST_S = 60
# Five digits at least: fewer could be the hours of a time or a year.
_EPOCH = re.compile(r"\d{5,11}(\.\d{1,3})?")


class Line(NamedTuple):
    """One curve: its metric, its short name, the class of its colour, and how it is drawn:
    "" filled where it is the first, "dashed" the second of a pair, "limit" what bounds the others,
    "thin" what is only noted beside them.
    """

    metric: str
    label: str
    css: str
    look: str = ""


class Chart(NamedTuple):
    """One chart: its name in addresses, title, unit and curves."""

    name: str
    title: str
    unit: Unit
    lines: tuple[Line, ...]
    form: Form = "lines"
    big: Big = "first"


class Range(NamedTuple):
    """A stretch of time up to now; `last` is what it is called with that. `points` makes its steps
    even ones: 5 min, 30 min, 2 h, 1 d.
    """

    name: str
    label: str
    last: str
    seconds: int
    points: int


RANGES: Mapping[str, Range] = {
    one.name: one
    for one in (
        Range("1h", "hour", N_("last hour"), 3_600, 60),
        Range("6h", "6 hours", N_("last 6 hours"), 21_600, 360),
        Range("24h", "24 hours", N_("last 24 hours"), 86_400, 288),
        Range("7d", "7 days", N_("last 7 days"), 604_800, 336),
        Range("30d", "30 days", N_("last 30 days"), 2_592_000, 360),
        Range("1y", "year", N_("last year"), 31_536_000, 365),
    )
}
DEFAULT_RANGE = "24h"


class Stretch(NamedTuple):
    """What charts show. `range` is None for a free one. Both times are None where it ends now,
    so that the page of the present stays the same while time goes by.
    """

    range: Range | None
    seconds: int
    from_ms: int | None
    to_ms: int | None
    points: int

    def window(self, now_ms: int) -> tuple[int, int]:
        """From when to when, in milliseconds, `now_ms` being the present."""
        if self.from_ms is None or self.to_ms is None:
            return now_ms - self.seconds * 1000, now_ms
        return self.from_ms, self.to_ms

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query parameters that say it; none for the usual one."""
        if self.range is None:
            return [("from", rfc3339(self.from_ms or 0)), ("to", rfc3339(self.to_ms or 0))]
        return [] if self.range.name == DEFAULT_RANGE else [("range", self.range.name)]


def read_stretch(arguments: Mapping[str, str], at: Moment, zone: Zone, now_ms: int) -> Stretch:
    """What `range`, or `from` and `to`, ask for; a past moment is where it ends at the latest.

    Raises InvalidField naming the parameter.
    """
    last_ms = now_ms if at.at_ms is None else at.at_ms
    if "from" in arguments or "to" in arguments:
        if "range" in arguments:
            raise InvalidField("range", gettext("Give either a range or from and to, not both."))
        return _free(arguments, last_ms, zone, now_ms)
    name = arguments.get("range", DEFAULT_RANGE)
    found = RANGES.get(name)
    if found is None:
        raise InvalidField(
            "range", gettext("The range is one of: %(words)s.", words=", ".join(RANGES))
        )
    if at.at_ms is None:
        return Stretch(found, found.seconds, None, None, found.points)
    from_ms = at.at_ms - found.seconds * 1000
    return Stretch(found, found.seconds, from_ms, at.at_ms, found.points)


def _free(arguments: Mapping[str, str], last_ms: int, zone: Zone, now_ms: int) -> Stretch:
    from_ms = _time(arguments, "from", zone, now_ms)
    to_ms = min(_time(arguments, "to", zone, now_ms), last_ms)
    seconds = (to_ms - from_ms) // 1000
    if seconds < _LEAST_S:
        raise InvalidField(
            "from", gettext("The range must begin at least a minute before it ends.")
        )
    if seconds > _MOST_S:
        raise InvalidField("from", gettext("The range can be 20 years long at most."))
    return Stretch(None, seconds, from_ms, to_ms, 300)


def _time(arguments: Mapping[str, str], name: str, zone: Zone, now_ms: int) -> int:
    text = arguments.get(name, "").strip()
    if not text:
        raise InvalidField(name, gettext("A free range needs both from and to."))
    try:
        if _EPOCH.fullmatch(text):
            at = moment({"at": text}, now_ms)
        else:
            at = typed_moment(text, zone, now_ms)
    except InvalidField as error:
        raise InvalidField(name, error.sentence) from None
    return at.at_ms or 0


def title(stretch: Stretch, at: Moment, zone: Zone) -> str:
    """What a panel is headed with: "Last 24 hours", or from when to when."""
    if stretch.from_ms is None or stretch.to_ms is None:
        return f"Last {stretch.range.label}" if stretch.range else ""
    end = zone.local(stretch.to_ms)
    if stretch.range is not None:
        article = "" if stretch.range.label[0].isdigit() else "The "
        return f"{article}{stretch.range.label} until {_day(end)}, {end:%H:%M}"
    begin = zone.local(stretch.from_ms)
    day = "" if begin.date() == end.date() else f"{_day(end)}, "
    return f"{_day(begin)}, {begin:%H:%M} – {day}{end:%H:%M}"


def _day(at: datetime) -> str:
    return date(at)


def offsets(stretch: Stretch, now_ms: int, zone: Zone) -> str:
    """The zone's offsets from UTC for the browser's axis, so that its own zone has no part in it:
    "0:60 1774746000:120", seconds since 1970 from which so many minutes hold.
    """
    from_ms, to_ms = stretch.window(now_ms)
    first = from_ms // DAY_MS * DAY_MS
    told: list[str] = []
    before: int | None = None
    for at_ms in range(first, to_ms + DAY_MS, DAY_MS):
        minutes = _offset(zone, at_ms)
        if before is None:
            told.append(f"0:{minutes}")
        elif minutes != before:
            told.append(f"{_turn(zone, at_ms - DAY_MS, at_ms) // 1000}:{minutes}")
        before = minutes
    return " ".join(told)


def _offset(zone: Zone, at_ms: int) -> int:
    offset = zone.local(at_ms).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() / 60)


def _turn(zone: Zone, low_ms: int, high_ms: int) -> int:
    """The minute between two times at which the offset became another."""
    after = _offset(zone, high_ms)
    while high_ms - low_ms > 60_000:
        middle_ms = (low_ms + high_ms) // 120_000 * 60_000
        if _offset(zone, middle_ms) == after:
            high_ms = middle_ms
        else:
            low_ms = middle_ms
    return high_ms


def _pair(name: str, title: str, unit: Unit, first: Line, second: Line) -> Chart:
    return Chart(name, title, unit, (first, second._replace(look="dashed")), big="sum")


_READ, _WRITE, _RX, _TX = "k-a", "k-b", "k-rx", "k-tx"

DISK_BYTES = _pair(
    "disk", N_("Disk"), "bytes/s",
    Line("disk_read_bytes", N_("read"), _READ), Line("disk_write_bytes", N_("write"), _WRITE),
)  # fmt: skip
DISK_OPERATIONS = _pair(
    "operations", N_("Disk operations"), "1/s",
    Line("disk_read_requests", N_("reads"), _READ),
    Line("disk_write_requests", N_("writes"), _WRITE),
)  # fmt: skip
NET_BYTES = _pair(
    "network", N_("Network"), "bytes/s",
    Line("net_rx_bytes", N_("rx"), _RX), Line("net_tx_bytes", N_("tx"), _TX),
)  # fmt: skip
NET_PACKETS = _pair(
    "packets", N_("Packets"), "1/s",
    Line("net_rx_packets", N_("rx"), _RX), Line("net_tx_packets", N_("tx"), _TX),
)  # fmt: skip
NET_DROPS = _pair(
    "drops", N_("Packets dropped"), "1/s",
    Line("net_rx_drops", N_("rx"), _RX), Line("net_tx_drops", N_("tx"), _TX),
)  # fmt: skip
NET_ERRORS = _pair(
    "errors", N_("Network errors"), "1/s",
    Line("net_rx_errors", N_("rx"), _RX), Line("net_tx_errors", N_("tx"), _TX),
)  # fmt: skip


def domain_charts(vcpus: int | None) -> tuple[Chart, ...]:
    """The charts of a domain that matter at first sight."""
    of = gettext("busy") if vcpus is None else gettext("of %(count)s vCPU", count=vcpus)
    return (
        Chart("cpu", N_("CPU"), "ratio", (Line("cpu", of, "k-cpu"),)),
        Chart("memory", N_("Memory"), "bytes", (
            Line("memory_used_bytes", N_("used"), "k-mem"),
            Line("memory_usable_bytes", N_("usable"), "k-rx", "thin"),
            Line("memory_unused_bytes", N_("unused"), "k-a", "thin"),
            Line("memory_rss_bytes", N_("RSS"), "k-tx", "dashed"),
            Line("memory_bytes", N_("assigned"), "k-limit", "limit"),
        )),
        DISK_BYTES,
        NET_BYTES,
    )  # fmt: skip


DOMAIN_MORE = (DISK_OPERATIONS, NET_PACKETS, NET_DROPS, NET_ERRORS)
DISK_CHARTS = (DISK_BYTES, DISK_OPERATIONS)
NIC_CHARTS = (NET_BYTES, NET_PACKETS, NET_DROPS, NET_ERRORS)

HOST_CHARTS = (
    Chart("cpu", N_("CPU"), "ratio", (
        Line("cpu_user", N_("user"), "k-cpu"),
        Line("cpu_system", N_("system"), "k-mem"),
        Line("cpu_iowait", N_("iowait"), "k-a"),
    ), "stack", "sum"),
    Chart("memory", N_("Memory"), "bytes", (
        Line("memory_used_bytes", N_("used"), "k-mem"),
        Line("memory_buffers_bytes", N_("buffers"), "k-a"),
        Line("memory_cached_bytes", N_("cached"), "k-tx"),
        Line("memory_free_bytes", N_("free"), "k-free"),
    ), "stack"),
    Chart("vms", N_("VMs"), "count", (
        Line("running_domains", N_("running"), "k-rx"),
        Line("defined_domains", N_("defined"), "k-limit", "limit"),
    )),
    Chart("assigned", N_("Memory assigned"), "bytes", (
        Line("assigned_memory_bytes", N_("to running VMs"), "k-mem"),
        Line("memory_total_bytes", N_("the host has"), "k-limit", "limit"),
    )),
)  # fmt: skip
HOST_MORE = (
    Chart("vcpus", N_("vCPUs assigned"), "count", (
        Line("assigned_vcpus", N_("to running VMs"), "k-cpu"),
    )),
)  # fmt: skip

# What of a domain is a part of which resource of its host: metric, title, unit.
USES: Mapping[str, tuple[str, tuple[tuple[str, str, Unit], ...]]] = {
    "cpu": (N_("CPU"), (("cpu", N_("CPUs busy"), "count"),)),
    "memory": (N_("Memory"), (
        ("memory_rss_bytes", N_("Memory of the host that they hold"), "bytes"),
    )),
    "disk": (N_("Disk"), (
        ("disk_read_bytes", N_("Disk read"), "bytes/s"),
        ("disk_write_bytes", N_("Disk written"), "bytes/s"),
    )),
    "network": (N_("Network"), (
        ("net_rx_bytes", N_("Network received"), "bytes/s"),
        ("net_tx_bytes", N_("Network sent"), "bytes/s"),
    )),
}  # fmt: skip


def user_charts() -> tuple[Chart, ...]:
    """The charts of what domains take of their host, by metric. Whose curves there are is known
    from what was measured alone.
    """
    return tuple(
        Chart(metric, title, unit, (Line(metric, title, ""),), "shares", "sum")
        for _, charts in USES.values()
        for metric, title, unit in charts
    )


def read_use(arguments: Mapping[str, str]) -> str:
    """Of which resource it is shown who uses it; raises InvalidField."""
    use = arguments.get("use", "cpu")
    if use not in USES:
        raise InvalidField("use", f"The resource is one of: {', '.join(USES)}.")
    return use


# Of all hosts that the reader may see.
FLEET_CHARTS = (
    Chart("cpu", N_("CPU"), "ratio", (Line("cpu", N_("of all threads"), "k-cpu"),)),
    Chart("memory", N_("Memory"), "bytes", (
        Line("memory_used_bytes", N_("used"), "k-mem"),
        Line("memory_total_bytes", N_("all hosts have"), "k-limit", "limit"),
    )),
    Chart("space", N_("Storage"), "bytes", (
        Line("allocation_bytes", N_("allocated"), "k-a"),
        Line("capacity_bytes", N_("all pools have"), "k-limit", "limit"),
    )),
    Chart("vms", N_("VMs"), "count", (
        Line("running_domains", N_("running"), "k-rx"),
        Line("defined_domains", N_("defined"), "k-limit", "limit"),
    )),
)  # fmt: skip

POOL_CHARTS = (
    Chart("space", N_("Space"), "bytes", (
        Line("allocation_bytes", N_("allocated"), "k-mem"),
        Line("available_bytes", N_("available"), "k-rx", "thin"),
        Line("volumes_capacity_bytes", N_("promised"), "k-tx", "dashed"),
        Line("capacity_bytes", N_("capacity"), "k-limit", "limit"),
    )),
)  # fmt: skip


def spoken_chart(chart: Chart) -> Chart:
    """A chart with its words in the language that is spoken."""
    lines = tuple(line._replace(label=bare_gettext(line.label)) for line in chart.lines)
    return chart._replace(title=gettext(chart.title), lines=lines)
