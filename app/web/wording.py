"""Marked messages in templates: `_`, `{% trans %}` and their like, from app/language's catalogues.

Jinja's own way to call these costs several times as much for each; a page says some hundred.
"""

from functools import lru_cache

from jinja2 import Environment
from jinja2.ext import InternationalizationExtension
from markupsafe import Markup

from app import language

# A message is as safe as the template that it stands in; what is put into it is escaped.
_KEPT = 4096


def attach_words(environment: Environment) -> None:
    """Let templates mark what they say."""
    environment.add_extension(InternationalizationExtension)
    # Values are put in by what is called, and not by the template.
    environment.newstyle_gettext = True  # type: ignore[attr-defined]  # the extension's
    environment.globals.update(_=_gettext, gettext=_gettext, ngettext=_ngettext, pgettext=_pgettext)


def _gettext(message: str, **values: object) -> Markup:
    spoken = language.language()
    return _text(spoken, message) % values if values else _whole(spoken, message)


def _ngettext(singular: str, plural: str, num: int, **values: object) -> Markup:
    text = Markup(language.bare_ngettext(singular, plural, num))  # noqa: S704 (see above)
    return text % {"num": num, **values}


def _pgettext(context: str, message: str, **values: object) -> Markup:
    return Markup(language.bare_pgettext(context, message)) % values  # noqa: S704 (see above)


@lru_cache(_KEPT)
def _text(spoken: str, message: str) -> Markup:
    return Markup(language.bare_gettext(message))  # noqa: S704 (see above)


@lru_cache(_KEPT)
def _whole(spoken: str, message: str) -> Markup:
    """A text into which no value is put."""
    return _text(spoken, message) % {}
