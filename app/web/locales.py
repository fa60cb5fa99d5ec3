"""How figures and dates are written for a locale such as de-CH: the decimal mark, and what comes
first in a date. What its words are is app/language's.

A locale holds for what a thread draws meanwhile; without one all is as everywhere in npvirt. The
facts are those of CLDR 49, for languages that are written with the digits 0 to 9.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Literal, NamedTuple

from app.errors import InvalidField
from app.language import N_, gettext, nearest

# What begins a date: "12 May 2026", "May 12, 2026" or "2026-05-12".
Order = Literal["day", "month", "year"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = (
    N_("Monday"), N_("Tuesday"), N_("Wednesday"), N_("Thursday"), N_("Friday"), N_("Saturday"),
    N_("Sunday"),
)  # fmt: skip
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_LOCALE = re.compile(r"([A-Za-z]{2,3})(?:-[A-Za-z]{4})?(?:-([A-Za-z]{2}|[0-9]{3}))?(?:-.*)?")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Languages with a decimal comma, and regions that have it otherwise than their language.
_COMMA = _words(
    "ady af agq ast az ba bas be bg blo br bs bua ca cs cv da de dsb dua dyo el eo es et eu ewo "
    "ff fi fo fr fy gl hr hsb ht hu hy ia id ie is it jgo jv ka kab kbd kea kgp kk kkj kl ksf ku "
    "ky lb lij lld ln lo lt lu lv mgh mk mua nb nl nmg nn nnh no nr pl pms pt rm rn ro ru rw sah "
    "sc scn se seh sg shi sk sl smn sq sr ss su sv tg tk tok tr ts tt tzm uk uz ve vec vi wo yav "
    "yrl zgh"
)
_OTHERWISE = _words(
    "ar-DZ ar-LY ar-MA ar-TN de-CH de-LI en-AT en-BE en-CZ en-DE en-DK en-EE en-ES en-FI en-FR "
    "en-GE en-HU en-ID en-IT en-LT en-LV en-NL en-NO en-PL en-PT en-RO en-SE en-SI en-SK en-UA "
    "en-ZA es-419 es-BR es-BZ es-CU es-DO es-GT es-HN es-MX es-NI es-PA es-PE es-PR es-SV es-US "
    "fr-RW it-CH ms-BN ms-ID qu-BO sw-CD"
)
# Languages and regions whose dates begin otherwise than with the day.
_YEAR_FIRST = _words("bo cv eu hu hy ja kk ko ky lt lv mn sah si tok tyv vo yue zh")
_MONTH_FIRST = _words(
    "blo cad ceb chr cic cop ee en-AS en-BI en-CA en-GU en-JP en-MH en-MP en-PH en-PR en-UM en-US "
    "en-VI es-PA es-PR fil gaa gv iu kn lkt mic mus om or osa smn ti xh zu"
)


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
    order: Order = "day"
    if language in _YEAR_FIRST:
        order = "year"
    elif language in _MONTH_FIRST or name in _MONTH_FIRST:
        order = "month"
    return Style("," if has_comma else ".", order)


def language_of(locale: str) -> str:
    """The language of what is drawn for a locale, as a `lang` attribute says it: that of its words,
    of the locale's own region where it is of that language.
    """
    spoken = nearest(locale)
    return locale if locale.partition("-")[0].lower() == spoken else spoken


def read_locale(tag: str) -> str:
    """The locale that an address asks for as `lang`; raises InvalidField."""
    if tag and not _TAG.fullmatch(tag):
        raise InvalidField("lang", "lang is a language such as de or en-US.")
    return tag


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
        if year:
            return f"{at:%Y-%m-%d}"
        return gettext("%(month)02d-%(day)02d", month=at.month, day=at.day)
    if order == "month":
        return f"{_MONTHS[at.month - 1]} {at.day}{f', {at.year}' if year else ''}"
    return f"{at.day} {_MONTHS[at.month - 1]}{f' {at.year}' if year else ''}"


def date_and_time(at: datetime, time: str) -> str:
    """A day with a time of it: "12 May 2026, 14:07"."""
    return gettext("%(date)s, %(time)s", date=date(at), time=time)


def with_weekday(at: datetime, text: str) -> str:
    """A text that begins with a day, with its day of the week: "Tuesday 12 May 2026"."""
    return gettext("%(weekday)s %(date)s", weekday=gettext(_WEEKDAYS[at.weekday()]), date=text)
