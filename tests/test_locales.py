"""How figures and dates are written for a locale."""

import threading
from datetime import datetime

import pytest

from app.web.figures import size
from app.web.format import megabytes
from app.web.locales import Style, date, figure, language_of, style_of, written_for
from app.web.when import Zone

_DAY = datetime(2026, 5, 2, 9, 30)  # noqa: DTZ001 (as a clock shows it)
_DAY_MS = 1_777_714_200_000


@pytest.mark.parametrize(
    ("locale", "mark", "order"),
    [
        ("", ".", "day"), ("en", ".", "day"), ("en-GB", ".", "day"), ("en-US", ".", "month"),
        ("EN-us", ".", "month"), ("en-ZA", ",", "day"), ("de", ",", "day"), ("de-CH", ".", "day"),
        ("de-CH-1996", ".", "day"), ("fr", ",", "day"), ("es", ",", "day"), ("es-MX", ".", "day"),
        ("es-419", ".", "day"), ("sr-Latn", ",", "day"), ("zh-Hant-TW", ".", "year"),
        ("hu", ",", "year"), ("tlh", ".", "day"), ("not a locale", ".", "day"),
    ],
)  # fmt: skip
def test_the_decimal_mark_and_what_begins_a_date_are_the_locales(
    locale: str, mark: str, order: str
) -> None:
    assert style_of(locale) == Style(mark, order)  # type: ignore[arg-type]  # any word here


def test_all_figures_and_dates_are_written_so_within_the_block_and_nowhere_else() -> None:
    zone = Zone("UTC")
    before = (size(1_600_000_000), megabytes(2_340_000), zone.date_and_time(_DAY_MS))
    assert before == ("1.49 GiB", "2.3", "2 May 2026, 09:30")
    elsewhere: list[str] = []
    with written_for("hu"):
        assert size(1_600_000_000) == "1,49 GiB"
        assert megabytes(10) == "<0,1"
        assert zone.date_and_time(_DAY_MS) == "2026-05-02, 09:30"
        thread = threading.Thread(target=lambda: elsewhere.append(figure("1.5")))
        thread.start()
        thread.join()
    assert elsewhere == ["1.5"]
    assert (size(1_600_000_000), megabytes(2_340_000), zone.date_and_time(_DAY_MS)) == before


def test_a_day_is_written_with_and_without_its_year() -> None:
    assert (date(_DAY), date(_DAY, year=False)) == ("2 May 2026", "2 May")
    with written_for("en-US"):
        assert (date(_DAY), date(_DAY, year=False)) == ("May 2, 2026", "May 2")
    with written_for("ja"):
        assert (date(_DAY), date(_DAY, year=False)) == ("2026-05-02", "05-02")


def test_an_error_within_the_block_ends_it() -> None:
    with pytest.raises(ValueError, match="x"), written_for("de"):
        raise ValueError("x")
    assert figure("1.5") == "1.5"


@pytest.mark.parametrize(
    ("locale", "language"),
    [("", "en"), ("de", "en"), ("en", "en"), ("en-US", "en-US"), ("eng", "en"), ("enm-x", "en")],
)
def test_words_are_said_to_be_english(locale: str, language: str) -> None:
    assert language_of(locale) == language
