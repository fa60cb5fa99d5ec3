"""Which function makes the context of which view's template."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from app.web.drawing import Drawing
from app.web.embed.capacity_tables import (
    GROWTH,
    LOSSES,
    OUTLOOK,
    OVERCOMMIT,
    RECLAIM,
    RIGHTSIZING,
)
from app.web.embed.chart import build_chart
from app.web.embed.domain_tables import DISKS, GUEST_NICS, NICS, SNAPSHOTS
from app.web.embed.forecast import build_forecast
from app.web.embed.gauge import build_gauge
from app.web.embed.host_tables import ATTENTION, LEASES, MEMORY_DEVICES, NUMA, SCANS
from app.web.embed.lists import (
    build_changes,
    build_domains,
    build_hosts,
    build_interfaces,
    build_networks,
    build_overview,
    build_pools,
    build_volumes,
)
from app.web.embed.tables import Table, build_table

TABLES: Mapping[str, Table[Any]] = {
    "disks": DISKS,
    "nics": NICS,
    "guest-nics": GUEST_NICS,
    "snapshots": SNAPSHOTS,
    "attention": ATTENTION,
    "scans": SCANS,
    "numa": NUMA,
    "memory-devices": MEMORY_DEVICES,
    "leases": LEASES,
    "outlook": OUTLOOK,
    "overcommit": OVERCOMMIT,
    "reclaim": RECLAIM,
    "rightsizing": RIGHTSIZING,
    "growth": GROWTH,
    "losses": LOSSES,
}
BUILDERS: Mapping[str, Callable[[Drawing], Mapping[str, object]]] = {
    "overview": build_overview,
    "hosts": build_hosts,
    "domains": build_domains,
    "pools": build_pools,
    "volumes": build_volumes,
    "networks": build_networks,
    "interfaces": build_interfaces,
    "changes": build_changes,
    "chart": build_chart,
    "gauge": build_gauge,
    "forecast": build_forecast,
    **{name: partial(build_table, table) for name, table in TABLES.items()},
}
