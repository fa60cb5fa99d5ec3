"""The capacity review on other people's pages: its tables and forecasts, and what looking costs."""

import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from app.clock import now_ms, rfc3339
from app.demo.plan import Plan
from app.store.dismissals import Dismissal, dismiss
from app.store.hosts import get_host
from app.web.capacity_review import Asked, Told, review
from app.web.embed import reviewed
from app.web.embed.parameters import WRAPPERS
from app.web.embed.views import VIEWS
from tests.demo_support import demo_data, demo_web, look_now
from tests.embed_support import a_maker, a_token, ask, row_names, sentence
from tests.waiting import until
from tests.web_support import Web

__all__ = ["demo_data"]

_VIEWS = [view.name for view in VIEWS.values() if view.path == "/capacity"]


@pytest.fixture(scope="module")
def made(demo_data: tuple[Path, Plan], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A small fleet with a past of twenty-four days, for all tests of this file."""
    source, plan = demo_data
    web = demo_web(shutil.copytree(source, tmp_path_factory.mktemp("capacity") / "var"), plan)
    look_now(web)
    yield web
    web.store.close()


@pytest.fixture
def web(made: Web) -> Web:
    made.sign_out()
    # No review of another test is kept.
    reviewed.attach_reviews(made.app)
    return made


@pytest.fixture
def reviews(monkeypatch: pytest.MonkeyPatch) -> list[Told]:
    """The reviews that are made."""
    found: list[Told] = []

    def counted(asked: Asked) -> Told:
        found.append(review(asked))
        return found[-1]

    monkeypatch.setattr(reviewed, "review", counted)
    return found


def _shown(web: Web, view: str, **locked: list[str]) -> str:
    answer = ask(web, view, a_token(web.store, view, locked)[0])
    assert answer.status_code == 200, answer.text
    return answer.text


def test_every_table_of_the_review_tells_what_the_review_does(web: Web) -> None:
    told = {view: _shown(web, view) for view in _VIEWS}
    by_host = _shown(web, "growth", by=["host"])
    web.sign_in()
    page = web.text("/capacity")
    for view in ("outlook", "overcommit", "reclaim", "growth", "losses"):
        names = row_names(told[view])
        assert names, view
        assert [name for name in names if name not in page] == [], view
    hosts = row_names(told["overcommit"])
    assert len(hosts) == 3
    assert sorted(row_names(told["losses"])) == sorted(hosts)
    assert all(f"<bdi>{host}" in by_host for host in hosts)
    assert 'href="http://localhost/capacity"' in told["outlook"]


def test_a_forecast_is_drawn_by_the_server_with_its_bands(web: Web) -> None:
    whole = _shown(web, "forecast")
    assert "<bdi>All pools</bdi>, forecast" in whole
    assert re.search(r'aria-label="All pools: .* of .*; forecast for .* 80 percent range', whole)
    assert re.search(r'class="npv-ln npv-k-mem npv-dashed"', whole)
    # What was measured, and the two bands.
    assert whole.count('class="npv-ar ') == 3
    assert "a day · full: " in whole
    host = row_names(_shown(web, "overcommit"))[0]
    assert f"<bdi>{host}, CPU</bdi>" in _shown(web, "forecast", what=["cpu"], host=[host])
    for wrong in ({"id": ["00000000-0000-4000-8000-000000000000"]}, {"what": ["memory"]}):
        answer = ask(web, "forecast", a_token(web.store, "forecast", wrong)[0])
        assert answer.status_code == 404


def test_which_of_them_is_locked_and_chosen_within_that(web: Web) -> None:
    token, _ = a_token(web.store, "outlook", {"what": ["memory", "cpu"]})
    both, one = ask(web, "outlook", token).text, ask(web, "outlook", token, what="cpu").text
    assert {name.rpartition(", ")[2] for name in row_names(both)} == {"memory", "CPU"}
    assert {name.rpartition(", ")[2] for name in row_names(one)} == {"CPU"}
    assert ask(web, "outlook", token, what="storage").status_code == 403
    assert len(row_names(_shown(web, "reclaim", kind=["unused-volume"]))) > 0
    kinds = ask(web, "reclaim", a_token(web.store, "reclaim")[0], kind="larger-than-needed")
    assert kinds.status_code == 422
    assert sentence(kinds).startswith("kind is one of: idle-domain")


@pytest.mark.parametrize("view", _VIEWS)
def test_of_one_host_nothing_of_the_others_is_told(web: Web, view: str) -> None:
    hosts = row_names(_shown(web, "overcommit"))
    for host in hosts:
        text = _shown(web, view, host=[host])
        assert not [other for other in hosts if other != host and other in text]
        limited = a_token(web.store, view, {}, maker=a_maker(web.store, f"of-{host}", [host]))[0]
        assert ask(web, view, limited).text == text


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute of the server's is as long as a busy machine takes for what is to be in one."""
    monkeypatch.setattr(reviewed, "_HOLD_S", 3_600.0)
    monkeypatch.setattr("app.web.embed.budget._WINDOW_S", 3_600.0)


@pytest.mark.usefixtures("unhurried")
def test_one_review_a_minute_serves_all_who_look(web: Web, reviews: list[Told]) -> None:
    tokens = [(view, a_token(web.store, view)[0]) for view in ("forecast", "outlook", "losses")]
    for _ in range(3):
        for view, token in tokens:
            for wrapper in WRAPPERS:
                for theme in ("light", "dark"):
                    answer = ask(web, view, token, as_=wrapper, theme=theme)
                    assert answer.status_code == 200
        # Whatever is stored meanwhile.
        look_now(web)
    assert len(reviews) == 1


@pytest.mark.usefixtures("unhurried")
def test_reviews_of_moments_that_a_page_chooses_have_an_end(web: Web, reviews: list[Told]) -> None:
    token, now = a_token(web.store, "losses")[0], now_ms()
    moments = [rfc3339(now - hours * 3_600_000) for hours in range(1, 16)]
    answers = [ask(web, "losses", token, at=at) for at in moments]
    assert [answer.status_code for answer in answers] == [200] * 12 + [429] * 3
    assert len(reviews) == 12
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert sentence(answers[-1]).startswith("So many capacity reviews")


@pytest.mark.usefixtures("unhurried")
def test_nobody_waits_for_another_s_review_where_theirs_is_kept(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, now = a_token(web.store, "losses")[0], now_ms()
    kept = ask(web, "losses", token).text
    begun, answered = threading.Event(), threading.Event()

    def slow(asked: Asked) -> Told:
        begun.set()
        answered.wait(60)
        return review(asked)

    monkeypatch.setattr(reviewed, "review", slow)
    parameters = {"t": token, "at": rfc3339(now - 3_600_000)}
    with ThreadPoolExecutor(2) as pool:
        another = pool.submit(
            web.app.test_client().get, "/embed/v1/losses", query_string=parameters
        )
        try:
            assert begun.wait(60)
            mine = pool.submit(
                web.app.test_client().get,
                "/embed/v1/losses",
                query_string={"t": token, "theme": "dark"},
            ).result(30)
        finally:
            answered.set()
        assert another.result(60).status_code == 200
    assert row_names(mine.text) == row_names(kept)


def test_only_a_few_different_reviews_are_waited_for_at_once(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [a_token(web.store, "losses")[0] for _ in range(2)]
    now, answered = now_ms(), threading.Event()

    def slow(asked: Asked) -> Told:
        answered.wait(60)
        return review(asked)

    def look(number: int, hours: int) -> TestResponse:
        parameters = {"t": tokens[number % 2], "at": rfc3339(now - hours * 3_600_000)}
        return web.app.test_client().get("/embed/v1/losses", query_string=parameters)

    monkeypatch.setattr(reviewed, "review", slow)
    kept = web.app.extensions[reviewed._KEY]
    with ThreadPoolExecutor(8) as pool:
        # Two pages of each of four moments: who waits for the same takes no further place.
        waiting = [pool.submit(look, number, 1 + number // 2) for number in range(8)]
        try:
            until(lambda: kept._wanted.total() == 8)
            refused = look(0, 9)
        finally:
            answered.set()
        assert [one.result(60).status_code for one in waiting] == [200] * 8
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert not kept._wanted
    assert look(0, 9).status_code == 200


def test_what_somebody_dismissed_is_not_shown_and_nor_is_who(web: Web, reviews: list[Told]) -> None:
    before = row_names(_shown(web, "reclaim"))
    finding, _ = reviews[0].findings[0]
    assert finding.subject in before
    record = get_host(web.store, finding.host)
    dismissal = Dismissal(
        finding.host,
        finding.kind,
        finding.key,
        finding.facts_digest,
        "Kept for the auditors",
        "grace",
        now_ms(),
    )
    dismiss(web.store, record.id, dismissal)
    reviewed.attach_reviews(web.app)
    after = _shown(web, "reclaim")
    assert sorted([*row_names(after), finding.subject]) == sorted(before)
    assert "auditors" not in after
    assert "grace" not in after
