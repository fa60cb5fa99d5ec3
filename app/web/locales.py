"""How figures and dates are written for a locale such as de-CH: the decimal mark, and what comes
first in a date. The words are English whatever is asked for, so that months keep their names.

A locale holds for what a thread draws meanwhile; without one all is as everywhere in npvirt. The
facts are those of CLDR 49, for languages that are written with the digits 0 to 9.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Literal, NamedTuple

# What begins a date: "12 May 2026", "May 12, 2026" or "2026-05-12".
Order = Literal["day", "month", "year"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LOCALE = re.compile(r"([A-Za-z]{2,3})(?:-[A-Za-z]{4})?(?:-([A-Za-z]{2}|[0-9]{3}))?(?:-.*)?")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Languages with a decimal comma, and regions that have it otherwise than their language.
_COMMA = _words(
    "af az be bg br bs ca cs da de el es et eu fi fo fr fy gl hr hu hy id is it ka kk ky lb lo lt "
    "lv mk nb nl nn no pl pt rm ro ru sc sk sl sq sr su sv tg tk tr tt uk uz vi wo"
)
_OTHERWISE = _words(
    "de-CH de-LI en-AT en-BE en-CZ en-DE en-DK en-EE en-ES en-FI en-FR en-GE en-HU en-ID en-IT "
    "en-LT en-LV en-NL en-NO en-PL en-PT en-RO en-SE en-SI en-SK en-UA en-ZA es-419 es-BR es-BZ "
    "es-CU es-DO es-GT es-HN es-MX es-NI es-PA es-PE es-PR es-SV es-US fr-RW it-CH ms-BN "
    "ms-ID"
)
_YEAR_FIRST = _words("eu hu ja ko lt mn si zh")
_MONTH_FIRST = _words("en-AS en-BI en-CA en-GU en-JP en-MH en-MP en-PH en-PR en-UM en-US en-VI")


class Style(NamedTuple):
    """How a locale writes."""

    decimal_mark: str = "."
    order: Order = "day"


_OWN = Style()
_style: ContextVar[Style] = ContextVar("npvirt_style", default=_OWN)


def style_of(locale: str) -> Style:
    """The style of a locale; npvirt's own for one of which nothing is known, and for "en"."""
    found = _LOCALE.fullmatch(locale)
    if found is None:
        return _OWN
    language, region = found[1].lower(), (found[2] or "").upper()
    name = f"{language}-{region}"
    has_comma = (language in _COMMA) != (name in _OTHERWISE)
    order: Order = "year" if language in _YEAR_FIRST else "month" if name in _MONTH_FIRST else "day"
    return Style("," if has_comma else ".", order)


def language_of(locale: str) -> str:
    """The language of what is drawn for a locale: English, of its region where it is English."""
    return locale if re.fullmatch("(?i)en(-.*)?", locale) else "en"


@contextmanager
def written_for(locale: str) -> Iterator[None]:
    """Write figures and dates as `locale` does for as long as the block lasts, in this thread."""
    token = _style.set(style_of(locale))
    try:
        yield
    finally:
        _style.reset(token)


def style() -> Style:
    """How this thread writes now; whoever keeps what is written keeps it by this as well."""
    return _style.get()


def figure(text: str) -> str:
    """A figure made with a decimal point, with the mark that is used."""
    return text.replace(".", _style.get().decimal_mark)


def date(at: datetime, *, year: bool = True) -> str:
    """A day: "12 May 2026", or without its year "12 May"."""
    order = _style.get().order
    if order == "year":
        return f"{at:%Y-%m-%d}" if year else f"{at:%m-%d}"
    if order == "month":
        return f"{_MONTHS[at.month - 1]} {at.day}{f', {at.year}' if year else ''}"
    return f"{at.day} {_MONTHS[at.month - 1]}{f' {at.year}' if year else ''}"
