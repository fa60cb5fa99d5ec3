"""What one scan came to, small enough to print or to send to another process."""

from collections.abc import Mapping, Sized

from msgspec import Struct

from app.inventory import Missing, Scan


class Summary(Struct, frozen=True):
    """One scan of one host. `ok`: the host answered and no part is missing. A count is None
    where that part was not read.
    """

    host: str
    ok: bool
    took_ms: int
    counts: Mapping[str, int | None]
    missing: tuple[Missing, ...]
    sentence: str | None = None


def summarise(slug: str, scan: Scan) -> Summary:
    """The summary of `scan`, a scan of host `slug`."""
    volumes = None if scan.pools is None else sum(len(found) for found in scan.volumes.values())
    counts = {
        "domains": _count(scan.domains),
        "pools": _count(scan.pools),
        "volumes": volumes,
        "networks": _count(scan.networks),
        "interfaces": _count(scan.interfaces),
    }
    ok = scan.ok and not scan.missing
    return Summary(slug, ok, scan.took_ms, counts, scan.missing, scan.sentence)


def _count(found: Sized | None) -> int | None:
    return None if found is None else len(found)
