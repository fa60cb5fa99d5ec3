"""Embeds: views of npvirt on other people's pages, each by a token of its own.

Read-only, drawn from the store as every page is. Nothing under /embed/ reads or makes a session:
who asks is who holds the token. One renderer makes a fragment; a page of htmx, the element of
npvirt.js and a frame get it in a wrapper each.
"""

from flask import Blueprint, Flask

blueprint: Blueprint = Blueprint("embed", __name__)

# Registers the routes, which need the blueprint.
from app.web.embed import files, routes  # noqa: E402  # as said above
from app.web.embed.asking import attach_askers  # noqa: E402  # as said above
from app.web.embed.drawing import attach_drawings  # noqa: E402  # as said above
from app.web.embed.icons import icons  # noqa: E402  # as said above
from app.web.embed.reviewed import attach_reviews  # noqa: E402  # as said above

__all__ = ("attach_embeds", "blueprint", "files", "icons", "routes")


def attach_embeds(app: Flask) -> None:
    """Give `app` what embeds are drawn and asked for with."""
    attach_askers(app)
    attach_drawings(app)
    attach_reviews(app)
