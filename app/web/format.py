"""Values as people read them, beyond sizes (see figures.py): rates, reasons, ports, switches.

Pure. Unknown is "–" and never 0.
"""

from collections.abc import Mapping, Sequence

from app.inventory import Graphics
from app.language import N_, gettext
from app.web.locales import figure

UNKNOWN = "–"
_LENGTHS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))

# Why a domain is in its state, where it is worth a word; what is normal stays quiet.
_REASONS: Mapping[tuple[str, str], str] = {
    ("shutoff", "shutdown"): N_("by its guest"),
    ("shutoff", "destroyed"): N_("forced off"),
    ("shutoff", "crashed"): N_("after a crash"),
    ("shutoff", "migrated"): N_("migrated away"),
    ("shutoff", "saved"): N_("after save"),
    ("shutoff", "failed"): N_("failed to start"),
    ("shutoff", "from-snapshot"): N_("from a snapshot"),
    ("shutoff", "daemon"): N_("by libvirt"),
    ("paused", "user"): N_("by user"),
    ("paused", "io-error"): N_("I/O error"),
    ("paused", "starting-up"): N_("starting up"),
    ("paused", "post-copy"): N_("post-copy migration"),
    ("paused", "post-copy-failed"): N_("post-copy migration failed"),
    ("paused", "api-error"): N_("API error"),
    ("shutdown", "user"): N_("on request"),
    ("crashed", "panicked"): N_("guest panicked"),
    ("paused", "migration"): N_("migration"),
    ("paused", "save"): N_("save"),
    ("paused", "dump"): N_("dump"),
    ("paused", "watchdog"): N_("watchdog"),
    ("paused", "from-snapshot"): N_("from snapshot"),
    ("paused", "shutting-down"): N_("shutting down"),
    ("paused", "snapshot"): N_("snapshot"),
    ("paused", "crashed"): N_("crashed"),
    ("paused", "unknown"): N_("unknown"),
    ("shutdown", "unknown"): N_("unknown"),
    ("shutoff", "unknown"): N_("unknown"),
    ("crashed", "unknown"): N_("unknown"),
    ("pmsuspended", "unknown"): N_("unknown"),
    ("nostate", "unknown"): N_("unknown"),
}


def reason(state: str, word: str | None) -> str:
    """Why a domain is in `state`, in words; empty where libvirt does not tell."""
    if word is None:
        return ""
    told = _REASONS.get((state, word))
    return gettext(told) if told is not None else word.replace("-", " ")


def quiet_reason(state: str, word: str | None) -> str:
    """The reason as a list shows it: nothing for what runs as it should."""
    return "" if state in ("running", "blocked") else reason(state, word)


def number(value: int | None) -> str:
    """A count."""
    return UNKNOWN if value is None else str(value)


def switch(value: bool | None) -> str:
    """Something that is on, off or not known."""
    return UNKNOWN if value is None else gettext("on") if value else gettext("off")


def yes_no(value: bool | None) -> str:
    """Something that is so, is not, or is not known."""
    return UNKNOWN if value is None else gettext("yes") if value else gettext("no")


def share(value: float | None) -> str:
    """A share 0..1 in whole percent."""
    return UNKNOWN if value is None else f"{round(100 * value)} %"


def megabytes(per_second: float | None) -> str:
    """Bytes per second in MB/s, without the unit: "2.3", "0", "118"."""
    if per_second is None:
        return UNKNOWN
    value = per_second / 1e6
    if value < 0.05:
        return "0" if per_second == 0 else figure("<0.1")
    return figure(f"{value:.1f}") if value < 100 else f"{value:.0f}"


def both_ways(first: float | None, second: float | None) -> str:
    """Two rates side by side in MB/s: "2.3 / 5.9"; one dash where neither is known."""
    if first is None and second is None:
        return UNKNOWN
    return f"{megabytes(first)} / {megabytes(second)}"


def duration(seconds: float | None) -> str:
    """A length of time in its two greatest units: "85 ms", "4.2 s", "3 min 5 s", "2 h 7 min",
    "4 d 3 h".
    """
    if seconds is None:
        return UNKNOWN
    if seconds < 1:
        return f"{round(1000 * seconds)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, small in _LENGTHS:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def port(graphics: Sequence[Graphics]) -> tuple[str, str]:
    """Where the first graphics server with a port answers: ":5900", and in full."""
    for server in graphics:
        number = server.port if server.port is not None else server.tls_port
        if number is not None and number > 0:
            return f":{number}", f"{server.type.upper()} {endpoint(server)}"
    return "", ""


def endpoint(server: Graphics) -> str:
    """Address and ports of a graphics server; empty while it has none."""
    host = server.listen or ""
    host = f"[{host}]" if ":" in host and not host.startswith("/") else host
    parts = []
    if server.port is not None and server.port > 0:
        parts.append(f"{host}:{server.port}")
    if server.tls_port is not None and server.tls_port > 0:
        parts.append(f"{host}:{server.tls_port} (TLS)")
    return " · ".join(parts) or host


def plural(count: int, word: str) -> str:
    """A count with its word: "1 VM", "3 VMs"."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def listed(words: Sequence[str], most: int = 3) -> str:
    """A few names, and how many there are besides: "a, b, c and 4 more"."""
    shown = gettext(", ").join(words[:most])
    left = len(words) - most
    return gettext("%(names)s and %(count)s more", names=shown, count=left) if left > 0 else shown
