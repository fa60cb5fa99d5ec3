"""Draws a view of an embed: one fragment, in the wrapper that is asked for.

A page that many look at costs one drawing: see kept.py. Asks libvirt nothing.
"""

from typing import cast
from urllib.parse import urlencode

from flask import Flask, current_app, render_template, request

from app import clock
from app.services import services
from app.store.embed_tokens import Held
from app.store.hosts import host_ids_named
from app.web.drawing import Drawing
from app.web.embed.asking import look_as
from app.web.embed.builders import BUILDERS
from app.web.embed.files import asset_address
from app.web.embed.kept import Drawings
from app.web.embed.parameters import Look, read_filters, read_look
from app.web.embed.sending import Drawn, pack
from app.web.embed.views import View
from app.web.moment import moment
from app.web.page import pages
from app.web.scope import seen_fleet

_KEY = "npvirt-embeds-drawn"


def attach_drawings(app: Flask) -> None:
    """Give `app` its memory of what was drawn."""
    app.extensions[_KEY] = Drawings()


def base_address() -> str:
    """Where npvirt is, as other pages' addresses begin that lead here."""
    return services().settings.public_url or request.host_url.removesuffix("/")


def drawn(view: View, found: Held) -> Drawn:
    """The view as this request asks for it. Raises InvalidField, NotFound, StoreError, and
    Forbidden for what is not the page's to choose.
    """
    token = found.token
    look = read_look(request.args)
    filters = read_filters(request.args, view, token.filters)
    at = moment(request.args, clock.now_ms())
    base = base_address()
    key = (
        token.id, found.host_ids, view.name, tuple(filters.items(multi=True)), at.at_ms, look, base,
        _source() if look.wrapper == "frame" else "",
    )  # fmt: skip

    def make() -> Drawn:
        look_as(token.id, scope(found, token.filters.get("host")))
        drawing = Drawing(seen_fleet(at.at_ms), at, filters, pages().zone, "viewer")
        return pack(_wrapped(view, drawing, look, base).encode())

    return cast(Drawings, current_app.extensions[_KEY]).get(key, services().store.version(), make)


def scope(found: Held, slugs: tuple[str, ...] | None) -> frozenset[int] | None:
    """The hosts that a token shows: those that it names, as far as its maker may see them."""
    if not slugs:
        return found.host_ids
    store = services().store
    named = frozenset[int]().union(*(host_ids_named(store, slug) for slug in slugs))
    return named if found.host_ids is None else named & found.host_ids


def _wrapped(view: View, drawing: Drawing, look: Look, base: str) -> str:
    fragment = fragment_of(view, drawing, look.theme, base)
    sheet = base + asset_address("npvirt.css")
    if look.wrapper == "element":
        return f"{render_template('embed/sheet.html', sheet=sheet)}{fragment}"
    if look.wrapper == "fragment":
        return fragment
    return framed(view.title, fragment, look, base, live=drawing.live)


def framed(title: str, fragment: str, look: Look, base: str, *, live: bool) -> str:
    """`fragment` as a document of its own, which asks for itself anew; without script, too."""
    wanted = [*look.colours, *([("font", look.font)] if look.font else [])]
    return render_template(
        "embed/frame.html",
        title=title,
        fragment=fragment,
        theme=look.theme,
        sheet=base + asset_address("npvirt.css"),
        script=base + asset_address("frame.js"),
        colours=f"{base}/embed/theme.css?{urlencode(wanted)}" if wanted else "",
        # The past stays as it is.
        refresh_s=look.refresh_s if live else 0,
        source=_source(),
    )


def fragment_of(view: View, drawing: Drawing, theme: str, base: str) -> str:
    """The view itself, for any wrapper."""
    fleet, zone, at = drawing.fleet, drawing.zone, drawing.moment
    context = BUILDERS[view.name](drawing)
    return render_template(
        view.template,
        view=view,
        theme=theme,
        base=base,
        moment=at,
        as_of=zone.maybe(fleet.as_of_ms, None),
        as_of_text=zone.date_and_time(at.at_ms) if at.at_ms is not None else "",
        zone_name=zone.name(at.at_ms or fleet.as_of_ms or clock.now_ms()),
        silent=_silent(drawing),
        page=f"{base}{context.get('page', view.path)}{at.query}",
        **{name: value for name, value in context.items() if name != "page"},
    )


def _silent(drawing: Drawing) -> list[tuple[str, str]]:
    """The hosts that do not answer though they should, and since when."""
    fleet, zone = drawing.fleet, drawing.zone
    return [
        (
            view.slug,
            when.short
            if (when := zone.maybe(view.status.unknown_since_ms, fleet.as_of_ms))
            else "",
        )
        for view in fleet.hosts
        if not view.status.known and view.record.enabled and view.status.last_try_at_ms is not None
    ]


def _source() -> str:
    """The address of the fragment that this frame shows, for its script."""
    pairs = [(k, v) for k, v in request.args.items(multi=True) if k != "as"]
    return f"{request.path}?{urlencode([*pairs, ('as', 'fragment')])}"
