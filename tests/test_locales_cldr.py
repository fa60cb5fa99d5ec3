"""What npvirt holds of how locales write is what CLDR has, as Babel tells it."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from babel import Locale
from babel.dates import format_skeleton
from babel.localedata import locale_identifiers

from app.web.languages import drawn_in
from app.web.locales import Order, Style, date, style_of, with_weekday

_ORDERS: Mapping[str, Order] = {"d": "day", "M": "month", "y": "year"}


def _locales() -> Iterator[Locale]:
    """Those that are written with the digits 0 to 9, each in its language's usual script."""
    for name in locale_identifiers():
        locale = Locale.parse(name)
        if locale.script is None and locale.default_numbering_system == "latn":
            yield locale


def _pattern(locale: Locale) -> str:
    """How a date is written of which the month is a word or short for one."""
    return str(locale.date_formats["medium"].pattern)


def _style(locale: Locale) -> Style:
    first = re.search("[dMy]", re.sub("'[^']*'", "", _pattern(locale)))
    assert first is not None
    return Style(locale.number_symbols["latn"]["decimal"], _ORDERS[first[0]])


def test_every_locale_is_written_as_cldr_has_it() -> None:
    # What CLDR gives for a language of whose dates it knows nothing.
    unknown = _pattern(Locale.parse("root"))
    compared, wrong = 0, {}
    for locale in _locales():
        asked = str(locale).replace("_", "-")
        ours, told = style_of(asked), _style(locale)
        # English of no region is the panel's own.
        if asked == "en" or _pattern(locale) == unknown:
            told = told._replace(order=ours.order)
        if ours != told:
            wrong[asked] = (ours, told)
        compared += 1
    assert wrong == {}
    assert compared > 600


def test_dates_are_chinese_as_cldr_has_it() -> None:
    chinese = Locale.parse("zh")
    day = datetime(2026, 5, 12, 14, 7, tzinfo=UTC)
    with drawn_in("zh"):
        assert date(day, year=False) == format_skeleton("MMMd", day, locale=chinese) == "5月12日"
        for number, name in chinese.days["format"]["wide"].items():
            named = with_weekday(day + timedelta(days=number - day.weekday()), "")
            assert named.strip() == name
