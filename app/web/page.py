"""How a page is drawn: from one fleet, as a part that refreshes itself inside a frame.

A page at `/x` and its part at `/ui/x` are one view: the page holds, byte for byte, what the part's
address returns. Both are kept as bytes for as long as the store's fleet stays the very same
object, so an unchanged page costs no more than sending it. What belongs to one session (the CSRF
token, messages after a redirect) is put into the frame per request and is never in a part.
Asks libvirt nothing.
"""

import hashlib
import secrets
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlencode

from flask import (
    Flask,
    Response,
    current_app,
    get_flashed_messages,
    render_template,
    request,
    session,
)
from flask_wtf.csrf import generate_csrf
from markupsafe import escape

from app import clock
from app.errors import InvalidField
from app.language import ENGLISH
from app.services import services
from app.store.history import Fleet
from app.web.drawing import (
    Build,
    Drawing,
    Since,
    View,
    address_of,
    page_address,
    part_address,
    query_of,
    read_drawing,
)
from app.web.identity import may, maybe_principal, principal
from app.web.kept import Kept, Rendered
from app.web.languages import asked_language, drawn_in
from app.web.moment import LIVE, Moment
from app.web.ribbon import SPANS, Asked, draw_ribbon
from app.web.scope import reader, seen_fleet
from app.web.trouble import banners_html
from app.web.when import Zone

__all__ = ["Build", "Drawing", "Since", "View", "page_address", "part_address"]

_KEY = "npvirt-pages"


class Pages:
    """What this process needs to draw: the renderings that it keeps, the reader's zone, and the
    texts that stand for the slots of a frame (random, so that no name from a host can be one).
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.kept = Kept()
        self.kept_tokens = Kept(entries=256)
        (
            self.csrf_slot, self.user_slot, self.ribbon_slot, self.trouble_slot, self.body_slot,
            self.toast_slot,
        ) = (f"slot-{secrets.token_hex(16)}" for _ in range(6))  # fmt: skip
        # In the ribbon: the address of the page around it, and that to append a parameter to.
        self.bare_slot, self.here_slot = (f"slot-{secrets.token_hex(16)}" for _ in range(2))


def attach_pages(app: Flask) -> None:
    """Give `app` its renderings; `pages()` finds them."""
    app.extensions[_KEY] = Pages(Zone(app.extensions["npvirt"].settings.timezone))


def pages() -> Pages:
    """The renderings of the current application."""
    return cast(Pages, current_app.extensions[_KEY])


def draw(view: View, build: Build, since: Since | None = None) -> Response:
    """Answer with the page, or with its part under `/ui`: 204 when the part's reader already has
    it (`have=`); under `/ui/since` with what became of it since. Raises InvalidField for a bad or
    unknown parameter.
    """
    drawing = read_drawing(view, pages().zone)
    address = page_address(request.path)
    here = address_of(address, drawing.arguments)
    if request.path.startswith("/ui/since/"):
        told = _since("travel/since.html", since, drawing, here)
        return Response(told, mimetype="text/html")
    query = query_of(drawing.arguments, drawing.moment)
    language = asked_language(drawing.arguments)

    def make() -> Rendered:
        with drawn_in(language):
            return _part(view, build, drawing, address, query, since is not None)

    part = pages().kept.get((address, query, reader()), drawing.fleet, make)
    if request.path.startswith("/ui/"):
        return part_response(part)
    frame = _frame(view.nav, part.title, drawing.moment, language)
    return _frame_response(frame, part, drawing, here, _plain_since(since, drawing, here))


def _plain_since(since: Since | None, drawing: Drawing, here: str) -> bytes:
    """For readers without script: what became of it, or (it takes its time) a link that tells."""
    if since is None or drawing.live:
        return b""
    if "since" in request.args:
        return _since("travel/plain_since.html", since, drawing, here)
    link = f"{drawing.moment.of(here)}&since=1"
    return render_template("travel/since_link.html", link=link).encode()


def _since(template: str, since: Since | None, drawing: Drawing, here: str) -> bytes:
    """What became of what the page shows; kept for as long as the present stays the same."""
    if drawing.live:
        raise InvalidField("at", "What became of it can be told of a past moment alone.")
    if since is None:
        return b""
    joined = f"{here}{'&' if '?' in here else '?'}"

    def make() -> Rendered:
        context = {"moment": drawing.moment, "here": joined, **since(drawing)}
        return Rendered(render_template(template, **context).encode(), "")

    key = (template, here, drawing.moment.text, reader())
    return pages().kept.get(key, seen_fleet(None), make).body


def form_page(
    template: str,
    nav: str,
    title: str,
    *,
    status: int = 200,
    at: Moment = LIVE,
    address: str = "/",
    language: str = ENGLISH,
    **context: object,
) -> Response:
    """A page that is drawn for this one request (forms): not kept, not refreshing itself. What
    has a past gives its moment and the address at which its present is.
    """
    with drawn_in(language):
        html = render_template(
            template, moment=at, csrf=generate_csrf(), title=title, may=may, **context
        )
    return framed(html, nav, title, status=status, at=at, address=address, language=language)


def framed(
    html: str,
    nav: str,
    title: str,
    *,
    status: int = 200,
    ribbon: bool = True,
    at: Moment = LIVE,
    address: str = "/",
    language: str = ENGLISH,
) -> Response:
    """`html`, rendered by a template in `language`, inside the frame of every page."""
    band = b""
    if ribbon and maybe_principal() is not None:
        band = placed_ribbon(ribbon_part(at), address)
    return Response(
        _filled(_frame(nav, title, at, language), band, html.encode(), at),
        status,
        mimetype="text/html",
    )


def ribbon_part(at: Moment, seen: Fleet | None = None) -> Rendered:
    """The band under the header, drawn for `at`, with slots for the page's address."""
    basis = seen_fleet(at.at_ms) if seen is None else seen
    now_ms = clock.now_ms()
    scope = principal().host_ids
    span = SPANS.get(request.args.get("span", ""))
    # Of the past it shows what came after, so it is drawn anew as time goes by.
    fresh = now_ms // (15_000 if at.past else 600_000)
    kept = pages()

    def make() -> Rendered:
        interval_ms = round(services().settings.scan_seconds * 1000)
        asked = Asked(at, span, now_ms, interval_ms)
        context = draw_ribbon(services().store, basis, asked, kept.zone, scope)
        html = render_template(
            "ribbon.html", moment=at, here=kept.here_slot, bare=kept.bare_slot, **context
        )
        return _with_digest(html)

    return kept.kept.get(("ribbon", at.at_ms, fresh, span, scope), basis, make)


def placed_ribbon(band: Rendered, address: str) -> bytes:
    """The ribbon on the page whose present is at `address`."""
    kept = pages()
    here = f"{address}{'&' if '?' in address else '?'}"
    return band.body.replace(kept.here_slot.encode(), str(escape(here)).encode()).replace(
        kept.bare_slot.encode(), str(escape(address)).encode()
    )


def render_part(template: str, **context: object) -> str:
    """A fragment for one request that belongs to no view (the answer to a form)."""
    return render_template(template, moment=LIVE, may=may, **context)


_HAVE = "have-0000000000000000"


def _part(
    view: View, build: Build, drawing: Drawing, address: str, query: str, has_since: bool
) -> Rendered:
    source = f"{part_address(address)}?{query}{'&' if query else ''}have={_HAVE}"
    poll = source if drawing.live else ""
    context = build(drawing)
    html = render_template(
        view.part,
        moment=drawing.moment,
        live=drawing.live,
        may=drawing.may,
        poll=poll,
        query=query,
        **(_of_the_past(drawing, address, query, has_since) if drawing.moment.past else {}),
        **context,
    )
    return _with_digest(html, str(context.get("title", "")))


def _of_the_past(
    drawing: Drawing, address: str, query: str, has_since: bool
) -> Mapping[str, object]:
    """What travel/note.html shows, of the past alone."""
    at_ms = drawing.moment.at_ms or 0
    left = [(k, v) for k, v in drawing.arguments.items(multi=True) if k != "differs"]
    differs = drawing.differs
    now_ms = at_ms if differs is None or differs.at_ms is None else differs.at_ms
    return {
        "as_of_text": drawing.zone.date_and_time(at_ms),
        "since_address": f"/ui/since{part_address(address)[3:]}?{query}" if has_since else "",
        "since_id": _digest(query.encode()),
        "differs_text": "" if differs is None else drawing.zone.date_and_time(now_ms),
        "all_address": f"{address}?{urlencode([*left, ('at', drawing.moment.text)])}",
    }


def _with_digest(html: str, title: str = "") -> Rendered:
    """The part with the digest of its own bytes where it says what its reader has."""
    body = html.encode()
    digest = _digest(body)
    # Once: the address in the root element comes first, and names from hosts come after it.
    return Rendered(body.replace(_HAVE.encode(), digest.encode(), 1), digest, title)


def bare_page(template: str, title: str, *, status: int = 200, **context: object) -> Response:
    """A page of its own without navigation: signing in and setting up."""
    html = render_template(
        template, moment=LIVE, csrf=generate_csrf(), title=title, toasts="", **context
    )
    return Response(html, status, mimetype="text/html")


def part_response(part: Rendered) -> Response:
    """A part on its own, or 204 when its reader says that it already has this one."""
    if request.args.get("have") == part.digest:
        return Response(status=204)
    response = Response(part.body, mimetype="text/html")
    response.set_etag(part.digest)
    return cast(Response, response.make_conditional(request))


def _frame_response(
    frame: Rendered, part: Rendered, drawing: Drawing, here: str, more: bytes
) -> Response:
    at = drawing.moment
    band = ribbon_part(at, drawing.fleet)
    etag = f"{part.digest}{band.digest}{frame.digest}{_session_mark()}{_digest(more + _trouble())}"
    if "_flashes" not in session and request.if_none_match.contains(etag):
        response = Response(status=304)
    else:
        ribbon = placed_ribbon(band, here)
        response = Response(_filled(frame, ribbon, part.body + more, at), mimetype="text/html")
    response.set_etag(etag)
    return response


def _session_mark() -> str:
    """What tells one session's page from another's, without giving the CSRF seed away."""
    seed = str(session.get("csrf_token", "")) + principal().who
    return (
        hashlib.blake2b(seed.encode(), digest_size=4).hexdigest() if seed else secrets.token_hex(4)
    )


def _frame(nav: str, title: str, at: Moment, language: str) -> Rendered:
    """The frame around a part, cut at its slots; drawn once for each title and moment."""

    def make() -> Rendered:
        with drawn_in(language):
            return _draw_frame(nav, title, at, language)

    kept = pages()
    return kept.kept.get(("frame", nav, title, at.at_ms, language), kept, make)


def _draw_frame(nav: str, title: str, at: Moment, language: str) -> Rendered:
    kept = pages()
    html = render_template(
        "base.html",
        body=kept.body_slot,
        user=kept.user_slot,
        ribbon=kept.ribbon_slot,
        trouble=kept.trouble_slot,
        nav=nav,
        title=title,
        language=language,
        moment=at,
        csrf=kept.csrf_slot,
        toasts=kept.toast_slot,
    )
    slots = (
        kept.csrf_slot, kept.user_slot, kept.ribbon_slot, kept.trouble_slot, kept.body_slot,
        kept.csrf_slot, kept.toast_slot,
    )  # fmt: skip
    pieces = []
    for slot in slots:
        piece, html = html.split(slot, 1)
        pieces.append(piece.encode())
    pieces.append(html.encode())
    return Rendered(b"", _digest(b"".join(pieces)), title, tuple(pieces))


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def _filled(frame: Rendered, ribbon: bytes, body: bytes, at: Moment) -> bytes:
    head, to_user, to_ribbon, to_trouble, to_body, to_form, to_toasts, end = frame.pieces
    token = _token()
    return b"".join(
        (head, token, to_user, _user_menu(at), to_ribbon, ribbon, to_trouble, _trouble(), to_body,
         body, to_form, token, to_toasts, _messages(), end)
    )  # fmt: skip


def _trouble() -> bytes:
    """What is wrong with the store, for whoever is signed in."""
    if maybe_principal() is None:
        return b""
    return banners_html(services().store, pages().zone).encode()


def _user_menu(at: Moment) -> bytes:
    """Who is signed in, with what is theirs to open; nothing for nobody."""
    who = maybe_principal()
    if who is None:
        return b""
    all_hosts = who.host_ids is None
    key = ("user", who.kind, who.name, who.role, all_hosts, who.session_id is None, at.at_ms)
    kept = pages()

    def make() -> Rendered:
        html = render_template(
            "user_menu.html", who=who, may=who.may, all_hosts=all_hosts, moment=at
        )
        return Rendered(html.encode(), "")

    return kept.kept.get(key, kept, make).body


def _token() -> bytes:
    """The CSRF token of this session. Signing it anew for every page would cost as much as the
    rest of an unchanged page; it has no time limit, so one signature serves the session.
    """
    seed = session.get("csrf_token")
    if seed is None:
        return str(generate_csrf()).encode()
    made = pages().kept_tokens.get(seed, None, lambda: Rendered(str(generate_csrf()).encode(), ""))
    return made.body


def _messages() -> bytes:
    if "_flashes" not in session:
        return b""
    messages = get_flashed_messages(with_categories=True)
    return render_template("toasts.html", messages=messages).encode()
