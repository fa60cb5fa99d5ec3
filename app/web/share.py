"""Putting a view onto another page: the dialog with its preview, the lines to paste, the list of
what is shown elsewhere, and revoking. For admins; whoever has some hosts shows those alone.

Tokens are made and refused by app/web/embed; here is only what people see of it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlencode

from flask import Blueprint, Response, flash, redirect, render_template, request
from flask_wtf.csrf import generate_csrf
from msgspec import Struct
from msgspec.structs import replace

from app import clock
from app.access import EMBED_MAKER
from app.errors import InvalidField
from app.language import ENGLISH, LANGUAGES, gettext, speaking
from app.services import services
from app.store.embed_tokens import EmbedToken
from app.web.charts import DEFAULT_RANGE, RANGES, read_stretch, title
from app.web.embed.drawing import base_address, preview
from app.web.embed.making import expiry_ms, make_token, revoke_token
from app.web.embed.views import VIEWS
from app.web.embed_tokens import EMBED_TOKENS, embed_token_rows
from app.web.embed_words import trouble, warnings
from app.web.identity import principal
from app.web.moment import LIVE, Moment, moment
from app.web.page import form_page, framed, pages
from app.web.permission import needs
from app.web.row_page import Head, list_rows

blueprint = Blueprint("share", __name__)

_HEADS = (
    Head("Shows", sort="view"), Head("Pages", "p2"), Head("Ends", sort="expires"),
    Head("Last used", "p2", "used", largest_first=True),
    Head("Made", "p3", "created", largest_first=True),
)  # fmt: skip
_EXPIRIES = (("30", "30 days"), ("90", "90 days"), ("365", "a year"))
_REFRESHES = (("5", "5 seconds"), ("10", "10 seconds"), ("30", "30 seconds"), ("60", "a minute"))
_THEMES = (
    ("", "light or dark, as the page"), ("auto", "as the reader’s system"), ("light", "light"),
    ("dark", "dark"),
)  # fmt: skip
_LANGUAGES = tuple(("" if tag == ENGLISH else tag, name) for tag, name in LANGUAGES.items())
# About as high as what a frame shows, until it tells by itself.
_HEIGHTS = {"chart": 250, "forecast": 250, "gauge": 170, "overview": 220}
_HEIGHT = 420
_PREFIX = "filter-"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EXAMPLE = "https://intranet.example.net"


class Asked(Struct, frozen=True):
    """What is to be shown: a view, its filters as (name, value), and of when."""

    view: str
    filters: tuple[tuple[str, str], ...]
    moment: Moment = LIVE

    @property
    def title(self) -> str:
        """What the view shows, in a word or two."""
        return VIEWS[self.view].title

    @property
    def shown(self) -> list[tuple[str, str]]:
        """The filters as people read them, apart from the stretch that they choose."""
        chosen = ("from", "to") if self.ranges else ()
        return _shown_filters((n, v) for n, v in self.filters if n not in chosen)

    @property
    def at(self) -> str:
        """The moment as addresses have it; "" for now."""
        return self.moment.text

    @property
    def at_text(self) -> str:
        """The moment in words."""
        at_ms = self.moment.at_ms
        return "" if at_ms is None else pages().zone.date_and_time(at_ms)

    @property
    def ranges(self) -> list[tuple[str, str]]:
        """The stretches of time to choose from; none where the view shows one moment."""
        if self.view != "chart":
            return []
        moving = [(one.name, one.label) for one in RANGES.values()]
        if not self._free:
            return moving
        zone = pages().zone
        stretch = read_stretch(self._free, self.moment, zone, clock.now_ms())
        return [("", title(stretch, self.moment, zone)), *moving]

    @property
    def range(self) -> str:
        """The stretch that is chosen; "" for one from when to when."""
        return dict(self.filters).get("range", "" if self._free else DEFAULT_RANGE)

    @property
    def _free(self) -> dict[str, str]:
        """From when to when, of what stays where it is."""
        return {name: value for name, value in self.filters if name in ("from", "to")}

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """What the form carries along unseen."""
        return [(n, v) for n, v in self.filters if not (n == "range" and self.ranges)]

    @property
    def locked(self) -> dict[str, list[str]]:
        """The filters as a token has them."""
        found: dict[str, list[str]] = {}
        for name, value in self.filters:
            if not (self.range and self._free and name in ("from", "to")):
                found.setdefault(name, []).append(value)
        return found


@blueprint.get("/embed-tokens")
@needs(EMBED_MAKER)
def tokens() -> Response:
    """The tokens that one may revoke, those that ended among them."""
    zone, now_ms = pages().zone, clock.now_ms()
    found, listed = list_rows("/embed-tokens", embed_token_rows(), EMBED_TOKENS)
    rows = [
        {
            "token": one,
            "title": VIEWS[one.view].title if one.view in VIEWS else one.view,
            "shown": _shown_filters(
                (name, value) for name, values in one.filters.items() for value in values
            ),
            "ended": _ended(one, now_ms),
            "created": zone.when(one.created_at_ms, now_ms),
            "expires": zone.when(one.expires_at_ms, now_ms),
            "used": zone.maybe(one.used_at_ms, now_ms),
        }
        for one in found
    ]
    return form_page(
        "embed_tokens/list.html", "", "Embeds", rows=rows, listed=listed,
        columns=listed.columns(_HEADS),
    )  # fmt: skip


@blueprint.get("/embed-tokens/new")
@blueprint.get("/ui/embed-tokens/new")
@needs(EMBED_MAKER)
def asking() -> Response:
    """What a token for a view needs to know; makes nothing."""
    asked = _asked(request.args.to_dict(flat=False))
    # What narrows the page but no view is left out; the dialog tells what is left and shows it.
    lockable = VIEWS[asked.view].lockable
    filters = tuple((name, value) for name, value in asked.filters if name in lockable)
    return _ask(replace(asked, filters=filters), {}, {})


@blueprint.get("/ui/embed-tokens/preview")
@needs(EMBED_MAKER)
def previewed() -> Response:
    """The view as the other page will show it, for the one who asks."""
    given = {
        name.removeprefix(_PREFIX): values
        for name, values in request.args.to_dict(flat=False).items()
        if name not in ("theme", "lang")
    }
    asked = _asked(given)
    theme = _chosen(request.args, "theme", _THEMES)
    language = _chosen(request.args, "lang", _LANGUAGES)
    html = preview(VIEWS[asked.view], asked.locked, asked.moment, theme, language)
    return Response(html, mimetype="text/html")


@blueprint.post("/embed-tokens")
@needs(EMBED_MAKER)
def made() -> Response:
    """Make a token, and show the lines that carry it, once."""
    form = request.form
    asked = _asked(
        {
            name.removeprefix(_PREFIX): form.getlist(name)
            for name in form
            if name in ("view", "at") or name.startswith(_PREFIX)
        }
    )
    given = form.to_dict() | {"frame": form.get("frame", "no")}
    try:
        days, refresh, theme, language = (
            _chosen(form, name, options)
            for name, options in (
                ("days", _EXPIRIES),
                ("refresh", _REFRESHES),
                ("theme", _THEMES),
                ("lang", _LANGUAGES),
            )
        )
        secret, token = make_token(
            principal(), asked.view, asked.locked, form.get("origins", "").split(),
            expiry_ms(int(days)), form.get("note", "").strip(), frame=form.get("frame") == "yes",
        )  # fmt: skip
    except InvalidField as error:
        return _ask(asked, given, {error.field: error.sentence}, 422)
    return _made(asked, secret, token, refresh, theme, language)


@blueprint.post("/embed-tokens/<int:token_id>/revoke")
@needs(EMBED_MAKER)
def revoked(token_id: int) -> Response:
    """Have a token work no more."""
    revoke_token(principal(), token_id)
    flash("The embed shows nothing any more.")
    return redirect("/embed-tokens", 303)  # type: ignore[return-value]  # werkzeug's own class


def _asked(given: Mapping[str, Sequence[str]]) -> Asked:
    """Raises InvalidField for a view that there is not."""
    view = "".join(given.get("view", ())[:1])
    if view not in VIEWS:
        raise InvalidField("view", f"A view is one of: {', '.join(VIEWS)}.")
    at = (
        moment({"at": "".join(given.get("at", ())[:1])}, clock.now_ms())
        if given.get("at")
        else LIVE
    )
    filters = tuple(
        (name, value)
        for name, values in given.items()
        if name not in ("view", "at")
        for value in values
        if value
    )
    return Asked(view, filters, at)


def _shown_filters(filters: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Filters as people read them: a UUID by its beginning, nothing of the order."""
    return [
        (name, f"{value[:8]}…" if _UUID.fullmatch(value) else value)
        for name, value in filters
        if name not in ("sort", "page", "per_page")
    ]


def _chosen(form: Mapping[str, str], name: str, options: Sequence[tuple[str, str]]) -> str:
    value = form.get(name, "")
    if value not in {one for one, _ in options}:
        raise InvalidField(name, f"Choose one of: {', '.join(text for _, text in options)}.")
    return value


def _ask(
    asked: Asked, given: Mapping[str, str], errors: Mapping[str, str], status: int = 200
) -> Response:
    return _shown(
        "embed_tokens/new.html", asked, status, given=given, errors=errors, expiries=_EXPIRIES,
        refreshes=_REFRESHES, themes=_THEMES, languages=_LANGUAGES, example=_EXAMPLE,
        limited=principal().host_ids is not None,
    )  # fmt: skip


def _made(
    asked: Asked, secret: str, token: EmbedToken, refresh: str, theme: str, language: str
) -> Response:
    base = base_address()
    given = (("at", asked.at), ("theme", theme), ("lang", language))
    more = [(name, text) for name, text in given if text]
    again = [] if asked.at else [("refresh", refresh)]
    source = f"{base}/embed/v1/{asked.view}?"
    with speaking(language or ENGLISH):
        title = gettext(VIEWS[asked.view].title)
    return _shown(
        "embed_tokens/made.html", asked, secret=secret, base=base, refresh=refresh, theme=theme,
        language=language, frame_title=title,
        fragment=source + urlencode([("t", secret), *more]),
        framed=source + urlencode([("t", secret), ("as", "frame"), *again, *more]),
        height=_HEIGHTS.get(asked.view, _HEIGHT),
        expires=pages().zone.date_and_time(token.expires_at_ms),
        trouble=trouble(token.origins, frame=token.frame),
        warnings=warnings(base, token.origins, is_set=bool(services().settings.public_url)),
    )  # fmt: skip


def _shown(template: str, asked: Asked, status: int = 200, **context: object) -> Response:
    """In the dialog of the page, or as a page of its own."""
    html = render_template(
        template, asked=asked, csrf=generate_csrf(), moment=LIVE, dialog=_in_dialog(), **context
    )
    if _in_dialog():
        return Response(html, status, mimetype="text/html")
    return framed(html, "", "Embed", status=status)


def _in_dialog() -> bool:
    return request.headers.get("HX-Request") == "true"


def _ended(token: EmbedToken, now_ms: int) -> str:
    """Why a token works no more; "" while it does."""
    if token.revoked_at_ms is not None:
        return "revoked"
    return "expired" if token.expires_at_ms <= now_ms else ""
