"""The JSON interface under /api/v1, and what tells whether npvirt is well.

The same answers as the pages, from the same fleet; every list is CSV as well (`format=csv`).
Nothing here waits on libvirt: the one POST asks for a scan and says so at once.
"""

from flask import Blueprint

blueprint = Blueprint("api", __name__)

# Registers the routes, which need the blueprint.
from app.web.api import accounts, health, lists, matters, objects, series, together  # noqa: E402  # as said above

__all__ = (
    "accounts", "blueprint", "health", "lists", "matters", "objects", "series", "together",
)  # fmt: skip
