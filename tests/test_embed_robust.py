"""Views on other people's pages: whatever is sent, the answer is a sentence and no error."""

from typing import Any

import pytest

from app.web.embed import asking
from app.web.embed.parameters import WRAPPERS
from app.web.embed.views import VIEWS
from tests.embed_support import (
    LOCKED,
    a_token,
    ask,
    tokens,
    web,
    web_of_module,
)
from tests.fleet_support import domain_uuid, filled_data
from tests.web_support import HOSTILE, Web

__all__ = ["filled_data", "tokens", "web", "web_of_module"]


def test_what_is_not_there_is_said_in_a_box(web: Web) -> None:
    for address in ("/embed/v1/nothing", "/embed/v1/", "/embed/", "/embed/other.js",
                    "/embed/v1/domains/x", "/embed/../login"):  # fmt: skip
        answer = web.client.get(address)
        assert answer.status_code in (404, 308) or address.endswith("login"), address
        if answer.status_code == 404:
            assert "npv-error" in answer.text
            assert "<html" not in answer.text
    assert web.client.post("/embed/v1/domains").status_code == 405


_JUNK: tuple[Any, ...] = (
    "", "-1", "9" * 400, "NaN", "kvm-01", "../..", "\x00", HOSTILE, "-name", "running", "x" * 5000,
    "\ud7ff", domain_uuid(0, 0).upper(), "cpu", "🦊",
)  # fmt: skip


@pytest.mark.parametrize("view", list(VIEWS))
def test_nothing_that_is_sent_is_an_error_of_npvirts(
    web: Web, tokens: dict[str, str], view: str
) -> None:
    names = ("as", "at", "t", "bg", "from", *VIEWS[view].lockable)
    statuses = set()
    for name in names:
        for place, junk in enumerate(_JUNK):
            query = {"t": tokens[view], name: junk}
            peer = {"REMOTE_ADDR": f"198.51.100.{place}"}
            answer = web.client.get(f"/embed/v1/{view}", query_string=query, environ_overrides=peer)
            assert answer.status_code in (200, 401, 403, 404, 422, 429), (name, junk, answer.text)
            assert "<script>alert" not in answer.text
            statuses.add(answer.status_code)
    closed = set(VIEWS[view].lockable) - set(VIEWS[view].open)
    assert {200, 422, *([403] if closed else [])} <= statuses


@pytest.mark.parametrize("view", list(VIEWS))
def test_no_locked_filter_is_an_error_of_npvirts_either(web: Web, view: str) -> None:
    """What was fine when a token was made may be gone when it is used."""
    for name in VIEWS[view].lockable:
        for junk in ("nothing", "-1"):
            filters = {**LOCKED[view], name: [junk]}
            answer = ask(web, view, a_token(web.store, view, filters)[0])
            assert answer.status_code in (200, 404, 422), (name, junk)


def test_a_store_that_cannot_be_read_is_said_in_the_box(
    web: Web, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.errors import StoreError

    def broken(*_: Any) -> Any:
        raise StoreError("The store cannot be read.", problem="io")

    monkeypatch.setattr(asking, "held", broken)
    monkeypatch.setattr(asking, "known_origins", broken)
    with web.store.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")
    for wrapper in WRAPPERS:
        answer = ask(web, "domains", tokens["domains"], as_=wrapper)
        assert answer.status_code == 503
        assert "npv-error" in answer.text
