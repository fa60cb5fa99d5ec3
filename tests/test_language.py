"""The words of what is drawn: who speaks which language, and that no catalogue lacks a word."""

import re
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from jinja2 import Environment

from app.language import (
    FOLDER,
    LANGUAGES,
    N_,
    gettext,
    language,
    nearest,
    ngettext,
    pgettext,
    speaking,
)
from app.web.wording import attach_words
from tests import words

_PLACE = re.compile(r"%\((\w+)\)[-+0-9.]*[a-z]")
_TAG = re.compile("<[^>]*>")


# --- what is spoken --------------------------------------------------------------------------


def test_english_is_spoken_where_nothing_else_is_asked_for() -> None:
    assert language() == "en"
    assert gettext(N_("history is too short")) == "history is too short"
    assert gettext("%(percent)s %% a month", percent="+1.2") == "+1.2 % a month"
    assert ngettext("in %(num)s day", "in %(num)s days", 1) == "in 1 day"
    assert ngettext("in %(num)s day", "in %(num)s days", 2) == "in 2 days"
    assert pgettext("some context", "full") == "full"


def test_chinese_is_spoken_inside_its_block_alone() -> None:
    with speaking("zh"):
        assert language() == "zh"
        assert gettext("history is too short") == "历史太短"
        assert gettext("%(percent)s %% a month", percent="+1.2") == "每月 +1.2 %"
        assert ngettext("in %(num)s day", "in %(num)s days", 2) == "2 天后"
        assert gettext("What nobody translated.") == "What nobody translated."
    assert gettext("history is too short") == "history is too short"


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_nothing_stays_nothing_in_every_language(spoken: str) -> None:
    with speaking(spoken):
        assert gettext("", days="2 days") == ""
        environment = Environment(autoescape=True)
        attach_words(environment)
        assert environment.from_string("{{ _(message) }}").render(message="") == ""


def test_what_one_thread_speaks_no_other_does() -> None:
    heard = []
    with speaking("zh"):
        thread = threading.Thread(target=lambda: heard.append(gettext("full")))
        thread.start()
        thread.join()
        assert gettext("full") == "已满"
    assert heard == ["full"]


@pytest.mark.parametrize(
    ("tag", "spoken"),
    [
        ("", "en"), ("en", "en"), ("en-GB", "en"), ("de", "en"), ("zh", "zh"), ("ZH-cn", "zh"),
        ("zh-Hans", "zh"), ("zh-Hans-SG", "zh"), ("zh-Hant", "en"), ("zh-TW", "en"),
        ("zh-hk", "en"), ("zhx", "en"), ("z", "en"), ("-zh", "en"),
    ],
)  # fmt: skip
def test_a_reader_is_told_in_the_nearest_language_there_is(tag: str, spoken: str) -> None:
    assert nearest(tag) == spoken


@pytest.mark.parametrize(
    ("template", "english", "chinese"),
    [
        ("{{ _('history is too short') }}", "history is too short", "历史太短"),
        ("{{ _('%(percent)s %% a month', percent=name) }}",
         "&lt;b&gt; % a month", "每月 &lt;b&gt; %"),
        ("{% trans host=name %}{{ host }}, memory{% endtrans %}",
         "&lt;b&gt;, memory", "&lt;b&gt;，内存"),
        ("{{ ngettext('in %(num)s day', 'in %(num)s days', 1) }}", "in 1 day", "1 天后"),
        ("{% trans num=2 %}in {{ num }} day{% pluralize %}in {{ num }} days{% endtrans %}",
         "in 2 days", "2 天后"),
        ("{{ pgettext('some context', 'full') }}", "full", "full"),
        ("{% trans %}All of 100 %{% endtrans %}", "All of 100 %", "All of 100 %"),
        ("{{ [name, 1] | join(_(', ')) }}", "&lt;b&gt;, 1", "&lt;b&gt;、1"),
    ],
)  # fmt: skip
def test_templates_say_it_in_the_language_and_values_stay_harmless(
    template: str, english: str, chinese: str
) -> None:
    environment = Environment(autoescape=True)
    attach_words(environment)
    made = environment.from_string(template)
    assert made.render(name="<b>") == english
    with speaking("zh"):
        assert made.render(name="<b>") == chinese
    assert made.render(name="<b>") == english


# --- the catalogues --------------------------------------------------------------------------


def _messages() -> Iterator[tuple[str, Message]]:
    """Every translated message, with its language."""
    for file in words.files():
        for message in words.read(file):
            if message.id:
                yield file.parts[-3], message


def _texts(of: object) -> tuple[str, ...]:
    """The text, or all of its plural forms."""
    return (of,) if isinstance(of, str) else tuple(of)  # type: ignore[arg-type]  # a tuple of str


def _names(text: str) -> set[str]:
    """Those of the values that stand in it."""
    return set(_PLACE.findall(text))


def test_every_language_has_a_catalogue() -> None:
    assert {file.parts[-3] for file in words.files()} == set(LANGUAGES) - {"en"}


@pytest.mark.parametrize("file", words.files(), ids=lambda file: file.parts[-3])
def test_a_catalogue_has_words_for_all_that_is_marked_and_nothing_else(file: Path) -> None:
    marked = {(one.context, one.id) for one in words.marked() if one.id}
    catalogue = words.read(file)
    held = {(one.context, one.id): one for one in catalogue if one.id}
    assert marked - held.keys() == set(), "make words"
    assert held.keys() - marked == set(), "make words"
    assert [key for key, one in held.items() if not all(_texts(one.string))] == []
    assert [key for key, one in held.items() if one.fuzzy] == []
    assert not catalogue.obsolete
    assert len(held) > 30


@pytest.mark.parametrize("file", words.files(), ids=lambda file: file.parts[-3])
def test_what_is_compiled_is_what_is_written(file: Path) -> None:
    assert file.with_suffix(".mo").read_bytes() == words.compiled(words.read(file)), "make words"


def test_translations_have_the_values_and_marks_of_their_messages() -> None:
    for spoken, message in _messages():
        ids = _texts(message.id)
        for text in _texts(message.string):
            # The last form: another may leave out what is counted, as "a day" does.
            assert _names(text) == _names(ids[-1]), (spoken, text)
            assert _TAG.findall(text) == _TAG.findall(ids[-1]), (spoken, text)
            # They stand in attributes as well.
            assert ('"' in _TAG.sub("", text)) is ('"' in _TAG.sub("", ids[-1])), (spoken, text)
            assert text.strip() == text, (spoken, text)


def test_every_message_can_have_its_values_put_in() -> None:
    for _, message in _messages():
        for text in (*_texts(message.id), *_texts(message.string)):
            assert isinstance(text % dict.fromkeys(_names(text), 1), str)


def test_chinese_is_written_with_its_own_punctuation() -> None:
    narrow = re.compile(r"[一-鿿][,;:?!()]|[,;:?!()][一-鿿]|[一-鿿]\.(?!\d)")
    for spoken, message in _messages():
        if spoken == "zh":
            for text in _texts(message.string):
                assert not narrow.search(_TAG.sub("", text)), text


def test_an_installed_npvirt_has_the_catalogues() -> None:
    project = Path(__file__).parents[1] / "pyproject.toml"
    patterns = tomllib.loads(project.read_text(encoding="utf-8"))
    packed = {
        path
        for pattern in patterns["tool"]["setuptools"]["package-data"]["app"]
        for path in FOLDER.parent.glob(pattern)
    }
    assert {file.with_suffix(".mo") for file in words.files()} <= packed


def test_templates_say_only_what_is_written_in_them() -> None:
    # What is said counts as safe HTML, so it may not come from elsewhere.
    templates = sorted((FOLDER.parent / "templates").rglob("*.html"))
    assert templates
    for template in templates:
        said = re.findall(r"(?<![\w.])(?:_|n?gettext|pgettext)\(\s*(.)", template.read_text())
        assert set(said) <= {'"', "'"}, template
