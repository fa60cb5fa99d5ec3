"""Draws a view of an embed: one fragment, in the wrapper that is asked for.

A page that many look at costs one drawing: see kept.py. Asks libvirt nothing.
"""

from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import urlencode

from flask import Flask, current_app, render_template, request
from markupsafe import Markup
from werkzeug.datastructures import MultiDict

from app import clock
from app.language import gettext
from app.services import services
from app.store.embed_tokens import Held
from app.store.hosts import host_ids_named
from app.web.drawing import Drawing
from app.web.embed.asking import look_as, spend_past_moment
from app.web.embed.builders import BUILDERS
from app.web.embed.files import asset_address
from app.web.embed.kept import Drawings
from app.web.embed.parameters import Look, read_filters, read_look
from app.web.embed.sending import Drawn, pack
from app.web.embed.views import VIEWS, View
from app.web.identity import principal
from app.web.languages import drawn_in
from app.web.locales import language_of
from app.web.moment import Moment, moment
from app.web.page import pages
from app.web.scope import seen_fleet

_KEY = "npvirt-embeds-drawn"
# The parameters of all views, and what every view takes.
_TOLD = ("at", "lang", *sorted({name for view in VIEWS.values() for name in view.lockable}))


def attach_drawings(app: Flask) -> None:
    """Give `app` its memory of what was drawn."""
    app.extensions[_KEY] = Drawings()


def base_address() -> str:
    """Where npvirt is, as other pages' addresses begin that lead here."""
    return services().settings.public_url or request.host_url.removesuffix("/")


def drawn(view: View, found: Held) -> Drawn:
    """The view as this request asks for it, in the language that is spoken, which is that of its
    locale. Raises InvalidField, NotFound, StoreError, and Forbidden for what is not the page's to
    choose.
    """
    token = found.token
    look = read_look(request.args)
    filters = read_filters(request.args, view, token.filters)
    at = moment(request.args, clock.now_ms())
    base = base_address()
    key = (
        token.id, found.host_ids, view.name, tuple(filters.items(multi=True)), at.at_ms, look, base,
        # A frame holds the token that it asks with itself.
        request.args.get("t", "") if look.wrapper == "frame" else "",
    )  # fmt: skip

    def make() -> Drawn:
        if at.past:
            spend_past_moment(token.id)
        look_as(token.id, scope(found.host_ids, filters.getlist("host")))
        drawing = Drawing(seen_fleet(at.at_ms), at, filters, pages().zone, "viewer")
        return pack(_wrapped(view, drawing, look, base).encode())

    return cast(Drawings, current_app.extensions[_KEY]).get(key, services().store.version(), make)


def preview(
    view: View, filters: Mapping[str, Sequence[str]], at: Moment, theme: str, locale: str
) -> str:
    """The view as a token of the one who asks would show it. Raises InvalidField, NotFound."""
    look_as(0, scope(principal().host_ids, filters.get("host")))
    arguments: MultiDict[str, str] = MultiDict(
        (name, value) for name, values in filters.items() for value in values
    )
    drawing = Drawing(seen_fleet(at.at_ms), at, arguments, pages().zone, "viewer")
    with drawn_in(locale):
        return fragment_of(view, drawing, theme, base_address(), language_of(locale))


def scope(host_ids: frozenset[int] | None, slugs: Sequence[str] | None) -> frozenset[int] | None:
    """The hosts that a token shows: those that it names, as far as its maker may see them."""
    if not slugs:
        return host_ids
    store = services().store
    named = frozenset[int]().union(*(host_ids_named(store, slug) for slug in slugs))
    return named if host_ids is None else named & host_ids


def _wrapped(view: View, drawing: Drawing, look: Look, base: str) -> str:
    fragment = fragment_of(view, drawing, look.theme, base, language_of(look.locale))
    if look.wrapper != "frame":
        return fragment
    return framed(gettext(view.title), fragment, look, live=drawing.live)


def framed(title: str, fragment: str, look: Look, *, live: bool) -> str:
    """`fragment` as a document of its own: with script the element shows it and asks anew, as on
    any page; without, the document does. All that it loads is from where it is.
    """
    wanted = [*look.colours, *([("font", look.font)] if look.font else [])]
    return render_template(
        "embed/frame.html",
        title=title,
        # Made by a template.
        fragment=Markup(fragment),  # noqa: S704 (see above)
        attributes=_attributes(look),
        theme=look.theme,
        language=language_of(look.locale),
        file=asset_address,
        colours=f"/embed/theme.css?{urlencode(wanted)}" if wanted else "",
        # The past stays as it is.
        refresh_s=look.refresh_s if live else 0,
    )


def _attributes(look: Look) -> list[tuple[str, str]]:
    """What the element in a frame is told, so that it asks for what this request asks for."""
    told = [
        ("view", str((request.view_args or {}).get("view", ""))),
        ("token", request.args.get("t", "")),
        ("refresh", str(look.refresh_s)),
        ("theme", look.theme),
        *((name, " ".join(request.args.getlist(name))) for name in _TOLD),
    ]
    return [(name, value) for name, value in told if value]


def fragment_of(view: View, drawing: Drawing, theme: str, base: str, language: str = "en") -> str:
    """The view itself, for any wrapper, whose words are of that language."""
    fleet, zone, at = drawing.fleet, drawing.zone, drawing.moment
    context = BUILDERS[view.name](drawing)
    return render_template(
        view.template,
        view=view,
        theme=theme,
        language=language,
        base=base,
        moment=at,
        as_of=zone.maybe(fleet.as_of_ms, None),
        as_of_text=zone.date_and_time(at.at_ms) if at.at_ms is not None else "",
        zone_name=zone.name(at.at_ms or fleet.as_of_ms or clock.now_ms()),
        silent=_silent(drawing),
        page=f"{base}{at.of(str(context.get('page', view.path)))}",
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
