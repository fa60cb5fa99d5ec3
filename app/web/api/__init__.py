"""The JSON interface under /api/v1, and what tells whether npvirt is well.

The same answers as the pages, from the same fleet; every list is CSV as well (`format=csv`).
No GET here waits on libvirt; of the others only the test of a connection and trusting a key do.
"""

from flask import Blueprint

blueprint = Blueprint("api", __name__)

# Registers the routes, which need the blueprint.
from app.web.api import (  # noqa: E402  # as said above
    accounts,
    capacity,
    capacity_reports,
    health,
    lists,
    matters,
    notifications,
    objects,
    registry,
    scans,
    series,
    together,
)

__all__ = (
    "accounts", "blueprint", "capacity", "capacity_reports", "health", "lists", "matters",
    "notifications", "objects", "registry", "scans", "series", "together",
)  # fmt: skip
