"""What an embed is asked for: its view's parameters, as far as the token leaves them open, and how
it is to look. Reads the query string; every value is checked against a closed list or shape.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import Forbidden

from app.errors import InvalidField
from app.language import gettext
from app.web.embed.views import SEVERAL, WHOLE, View
from app.web.locales import read_locale

WRAPPERS = ("fragment", "element", "frame")
THEMES = ("auto", "light", "dark")
# The colours that a frame can be given, each a custom property --npv-….
COLOURS = ("bg", "fg", "line", "accent", "ok", "warn", "bad")
FONTS: Mapping[str, str] = {
    "system": "system-ui, sans-serif",
    "sans": "Arial, Helvetica, 'Liberation Sans', sans-serif",
    "serif": "Georgia, 'Noto Serif', 'Liberation Serif', serif",
    "mono": "ui-monospace, 'Liberation Mono', monospace",
    "rounded": "ui-rounded, 'Hiragino Maru Gothic ProN', Quicksand, sans-serif",
}
LEAST_REFRESH_S, MOST_REFRESH_S, USUAL_REFRESH_S = 2, 3600, 30

_HEX = re.compile(r"(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")
_SECONDS = re.compile(r"[0-9]{1,4}")
_LOOK = frozenset(("as", "theme", "font", "refresh", "lang", *COLOURS))
_READ_ELSEWHERE = frozenset(("t", "at", "v"))


class Look(Struct, frozen=True):
    """How an embed is to look. `colours` (hexadecimal) and `font` are a frame's alone: other pages
    set the custom properties themselves. `locale` is in which language words are, and how figures
    and dates are written.
    """

    wrapper: str
    theme: str
    refresh_s: int
    font: str
    colours: tuple[tuple[str, str], ...]
    locale: str = ""


def read_look(given: MultiDict[str, str]) -> Look:
    """The look that the query string asks for; raises InvalidField."""
    return Look(
        _choice(given, "as", WRAPPERS),
        _choice(given, "theme", THEMES) if "theme" in given else "",
        _refresh(only(given, "refresh")),
        _choice(given, "font", tuple(FONTS)) if "font" in given else "",
        tuple((name, _colour(name, value)) for name in COLOURS if (value := only(given, name))),
        read_locale(only(given, "lang")),
    )


def locale_asked(given: MultiDict[str, str]) -> str:
    """The locale that the query string asks for; "" where what it asks for is none."""
    try:
        return read_locale(only(given, "lang"))
    except InvalidField:
        return ""


def read_filters(
    given: MultiDict[str, str], view: View, locked: Mapping[str, Sequence[str]]
) -> MultiDict[str, str]:
    """The view's parameters: those that are locked, and what the page chooses within them.

    Raises InvalidField for one that the view does not have, Forbidden for what is not the page's
    to choose.
    """
    found: MultiDict[str, str] = MultiDict(
        (name, value) for name, values in locked.items() for value in values
    )
    for name, values in given.lists():
        if name in _LOOK or name in _READ_ELSEWHERE:
            continue
        if name not in view.lockable:
            raise InvalidField(
                name[:40],
                gettext("This view takes no parameter “%(name)s”.", name=name[:40]),
            )
        chosen = [value for value in values if value]
        if chosen:
            _check_open(name, chosen, view, locked)
            found.setlist(name, chosen)
    for name in found:
        if name not in SEVERAL:
            only(found, name)
    return found


def _check_open(
    name: str, chosen: Collection[str], view: View, locked: Mapping[str, Sequence[str]]
) -> None:
    fixed = locked.get(name)
    if fixed is None:
        allowed = name in view.open
    elif name in WHOLE:
        allowed = set(chosen) == set(fixed)
    else:
        allowed = set(chosen) <= set(fixed)
    if not allowed:
        raise Forbidden(gettext("This token does not let a page choose “%(name)s”.", name=name))


def only(given: MultiDict[str, str], name: str) -> str:
    """The one value of a parameter, or "". Raises InvalidField for several."""
    values = [value for value in given.getlist(name) if value]
    if len(values) > 1:
        raise InvalidField(name, gettext("%(name)s can be given once only.", name=name))
    return values[0] if values else ""


def _choice(given: MultiDict[str, str], name: str, words: Sequence[str]) -> str:
    """One of `words`; the first of them where nothing is given."""
    word = only(given, name) or words[0]
    if word not in words:
        raise InvalidField(
            name, gettext("%(name)s is one of: %(words)s.", name=name, words=", ".join(words))
        )
    return word


def _refresh(text: str) -> int:
    if not text:
        return USUAL_REFRESH_S
    if not _SECONDS.fullmatch(text) or not LEAST_REFRESH_S <= int(text) <= MOST_REFRESH_S:
        raise InvalidField(
            "refresh",
            gettext(
                "refresh is %(least)s to %(most)s whole seconds.",
                least=LEAST_REFRESH_S,
                most=MOST_REFRESH_S,
            ),
        )
    return int(text)


def _colour(name: str, text: str) -> str:
    if not _HEX.fullmatch(text):
        raise InvalidField(
            name, gettext("%(name)s is a colour of 3, 6 or 8 hexadecimal digits.", name=name)
        )
    return text.lower()
