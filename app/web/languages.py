"""In which language a page is drawn: as its address asks for with `lang`, else in English.

A page that takes `lang` keeps it in its links. Around it, what every page has stays English.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from flask import g

from app.language import ENGLISH, LANGUAGES, nearest, speaking
from app.web.locales import read_locale, written_for


class Choice(NamedTuple):
    """A language that a page can be drawn in: its tag, its name, and where it is drawn so."""

    tag: str
    name: str
    href: str
    chosen: bool


def asked_language(arguments: Mapping[str, str]) -> str:
    """The language that the query string asks for, in which errors are said, too; raises
    InvalidField.
    """
    language = nearest(read_locale(arguments.get("lang", "")))
    g.npvirt_language = language
    return language


def language_of_errors() -> str:
    """The language in which it is said what went wrong with this request."""
    return str(g.get("npvirt_language", ENGLISH))


def in_language(page: str, language: str) -> str:
    """The address of a page that takes `lang`, in that language."""
    if language == ENGLISH:
        return page
    return f"{page}{'&' if '?' in page else '?'}lang={language}"


@contextmanager
def drawn_in(locale: str) -> Iterator[None]:
    """Write words, figures and dates for a locale, or a language, for as long as the block lasts,
    in this thread.
    """
    with speaking(nearest(locale)), written_for(locale):
        yield


def choices(language: str, href: Callable[[str], str]) -> list[Choice]:
    """What a reader may choose from: `href` is the page with that `lang`, "" for none."""
    return [
        Choice(tag, name, href("" if tag == ENGLISH else tag), tag == language)
        for tag, name in LANGUAGES.items()
    ]
