"""Which domains use a host, as curves: the greatest one by one, and all others as one.

Whose curves there are is known once the store was read, as on the panel's page of the host.
"""

from collections.abc import Sequence

from app.language import gettext
from app.services import services
from app.store.hosts import HostRecord
from app.store.together import OTHERS, stack
from app.store.views import Fleet
from app.web.charts import Chart, Line
from app.web.embed.plot import Values


def read_users(
    fleet: Fleet, host: HostRecord, chart: Chart, from_ms: int, to_ms: int, points: int
) -> tuple[Chart, Values]:
    """`chart` with a curve for each domain of which something was measured, and what that was.

    Raises StoreError.
    """
    found = stack(services().store, host.id, chart.name, from_ms, to_ms, points)
    names = {seen.key: seen.fact.name for seen in fleet.domains if seen.host == host.slug}
    lines: dict[str, Sequence[float | None]] = {
        part.key: part.values
        for part in found.parts
        if any(value is not None for value in part.values)
    }
    # One that is gone by now is known by its key alone.
    curves = tuple(
        Line(key, gettext("others"), "k-limit")
        if key == OTHERS
        else Line(key, names.get(key, key), f"k-{place}")
        for place, key in enumerate(lines, 1)
    )
    buckets = found.buckets
    starts = [buckets.from_ms + place * buckets.width_ms for place in range(buckets.count)]
    values = Values(
        from_ms, to_ms, buckets.width_ms, starts, lines, found.gaps, gettext("no scans")
    )
    return chart._replace(lines=curves), values
