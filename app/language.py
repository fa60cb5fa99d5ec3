"""The language of what is drawn: which there are, and the words of the one that is spoken now.

A language holds for what a thread draws meanwhile (`speaking`); without one it is English, of which
the marked texts are the words themselves. Values stand in a text as `%(name)s`, and a percent sign
as `%%`, here as in templates. The catalogues are app/translations/…/npvirt.po, compiled beside
these; docs/translating.md tells how words get there. Imports nothing of ours.
"""

import gettext as catalogues
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

ENGLISH = "en"
# By tag what a language calls itself. Chinese is written in simplified characters.
LANGUAGES: Mapping[str, str] = {ENGLISH: "English", "zh": "中文"}
FOLDER = Path(__file__).parent / "translations"

# What is Chinese, but of the other script.
_TRADITIONAL = re.compile("(?i)zh-(hant|tw|hk|mo)(-.*)?")
_language: ContextVar[str] = ContextVar("npvirt_language", default=ENGLISH)


def nearest(tag: str) -> str:
    """The language in which a reader of `tag` (BCP 47: "zh-CN") is told things: English where
    there are no words of that one.
    """
    base = tag.partition("-")[0].lower()
    return base if base in LANGUAGES and not _TRADITIONAL.fullmatch(tag) else ENGLISH


def language() -> str:
    """The language that this thread speaks now; whoever keeps words keeps them by this as well."""
    return _language.get()


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak one of LANGUAGES for as long as the block lasts, in this thread."""
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


def gettext(message: str, **values: object) -> str:
    """The text of a marked message in the language that is spoken."""
    return bare_gettext(message) % values


def ngettext(singular: str, plural: str, num: int, **values: object) -> str:
    """The text of a marked message that speaks of `num` things, which may stand in it."""
    text = _catalogue(_language.get()).ngettext(singular, plural, num)
    return text % {"num": num, **values}


def pgettext(context: str, message: str, **values: object) -> str:
    """The text of a message that means something else elsewhere."""
    return _catalogue(_language.get()).pgettext(context, message) % values


def N_(message: str) -> str:  # noqa: N802 (the name by which it is known with gettext)
    """Mark a message that is said later, by `gettext`; as it is."""
    return message


def bare_gettext(message: str) -> str:
    """The text before its values are put in, for templates, which do that themselves."""
    # A catalogue has what tells of itself under the empty message.
    return _catalogue(_language.get()).gettext(message) if message else ""


def bare_ngettext(singular: str, plural: str, num: int) -> str:
    """The same of one that speaks of `num` things."""
    return _catalogue(_language.get()).ngettext(singular, plural, num)


def bare_pgettext(context: str, message: str) -> str:
    """The same of one that means something else elsewhere."""
    return _catalogue(_language.get()).pgettext(context, message)


@cache
def _catalogue(language: str) -> catalogues.NullTranslations:
    if language == ENGLISH:
        return catalogues.NullTranslations()
    return catalogues.translation("npvirt", str(FOLDER), [language])
