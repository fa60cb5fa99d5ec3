"""Which function makes the context of which view's template."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from app.web.drawing import Drawing
from app.web.embed.chart import build_chart
from app.web.embed.domain_tables import DISKS, GUEST_NICS, NICS, SNAPSHOTS
from app.web.embed.gauge import build_gauge
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
    **{name: partial(build_table, table) for name, table in TABLES.items()},
}
