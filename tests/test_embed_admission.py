"""Views on other people's pages: which token shows what, and what it never does."""

import re

from werkzeug.test import TestResponse

from app.store.embed_tokens import list_embed_tokens, revoke_embed_token
from app.store.users import set_disabled
from app.web.embed.parameters import WRAPPERS
from app.web.embed.views import VIEWS
from tests.clocks import steered
from tests.embed_support import (
    LOCKED,
    PAGE,
    a_maker,
    a_token,
    ask,
    sentence,
    tokens,
    web,
    web_of_module,
)
from tests.fleet_support import domain_uuid, filled_data
from tests.web_support import Web

__all__ = ["filled_data", "tokens", "web", "web_of_module"]


def test_a_token_is_for_its_view_alone(web: Web, tokens: dict[str, str]) -> None:
    for own, token in tokens.items():
        for view in VIEWS:
            answer = ask(web, view, token)
            assert answer.status_code == (200 if view == own else 403), (own, view)
    assert sentence(ask(web, "hosts", tokens["pools"])) == "This token is for another view."


def test_a_token_opens_nothing_but_embeds(web: Web, tokens: dict[str, str]) -> None:
    asked, token = 0, tokens["domains"]
    for rule in web.app.url_map.iter_rules():
        if rule.arguments or rule.rule.startswith(("/embed/", "/static/")):
            continue
        for method in set(rule.methods or ()) & {"GET", "POST", "DELETE"}:
            headers = {"Authorization": f"Bearer {token}", "X-Npvirt-Token": token}
            answer = web.client.open(f"{rule.rule}?t={token}", method=method, headers=headers)
            is_open = rule.rule in ("/login", "/login/oidc", "/login/oidc/callback",
                                    "/healthz", "/readyz")  # fmt: skip
            refused = answer.status_code in (401, 403) or (
                answer.status_code == 303 and answer.headers["Location"].startswith("/login")
            )
            assert refused or is_open, (method, rule.rule, answer.status_code)
            asked += 1
    assert asked > 50


def test_what_is_locked_can_be_narrowed_and_not_left(web: Web) -> None:
    locked = {"host": ["kvm-01", "kvm-02"], "flag": ["running", "autostart"]}
    token, _ = a_token(web.store, "domains", locked)
    assert ask(web, "domains", token, host="kvm-01").status_code == 200
    assert ask(web, "domains", token, host="kvm-06").status_code == 403
    # Fewer flags would show more.
    assert ask(web, "domains", token, flag="running").status_code == 403
    for name, value in (("q", "a"), ("domain", domain_uuid(0, 0))):
        answer = ask(web, "domains", token, **{name: value})
        assert answer.status_code == 403
        assert sentence(answer) == f"This token does not let a page choose “{name}”."
    assert ask(web, "domains", token, nonsense="1").status_code == 422
    answer = web.client.get(f"/embed/v1/domains?t={token}&host=kvm-01&host=kvm-06")
    assert answer.status_code == 403


def test_a_session_counts_for_nothing_and_none_is_made(web: Web, tokens: dict[str, str]) -> None:
    few, _ = a_token(web.store, "domains", {"host": ["kvm-02"]})
    web.sign_in()
    cookie = web.client.get_cookie("npvirt")
    assert cookie is not None
    assert web.client.get("/embed/v1/domains").status_code == 401
    for address in ("/embed/v1/domains", f"/embed/v1/domains?t={few}", "/embed/v1/nothing",
                    f"/embed/v1/domains?t={few}&as=frame", "/embed/npvirt.js", "/embed/none",
                    "/embed/v1/domains?t=npe_wrong&as=frame"):  # fmt: skip
        for method in ("GET", "OPTIONS", "POST"):
            answer = web.client.open(address, method=method, headers={"Origin": PAGE})
            assert "Set-Cookie" not in answer.headers, address
            assert "Cookie" not in answer.headers.get("Vary", ""), address
            assert "Access-Control-Allow-Credentials" not in answer.headers, address
    assert web.client.get(f"/embed/v1/domains?t={few}&host=kvm-01").status_code == 403
    signed_in = ask(web, "domains", few).text
    web.sign_out()
    assert ask(web, "domains", few).text == signed_in
    assert "kvm-01" not in signed_in


def test_a_token_may_come_in_a_header(web: Web, tokens: dict[str, str]) -> None:
    wanted = ask(web, "hosts", tokens["hosts"]).text
    for headers in ({"Authorization": f"Bearer {tokens['hosts']}"},
                    {"X-Npvirt-Token": tokens["hosts"]}):  # fmt: skip
        assert web.client.get("/embed/v1/hosts", headers=headers).text == wanted
    twice = web.client.get(f"/embed/v1/hosts?t={tokens['hosts']}&t={tokens['pools']}")
    assert twice.status_code == 422


def test_a_revoked_token_says_so_in_a_box_of_the_same_look(web: Web) -> None:
    text, token = a_token(web.store, "domains")
    assert ask(web, "domains", text).status_code == 200
    revoke_embed_token(web.store, token.id, a_maker(web.store))
    for wrapper in WRAPPERS:
        answer = ask(web, "domains", text, as_=wrapper)
        assert answer.status_code == 401
        assert sentence(answer) == "This embed was revoked."
        # Its page may read that.
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert ("<html" in answer.text) == (wrapper == "frame")
        assert "no-store" in answer.headers["Cache-Control"]
    assert f"frame-ancestors 'self' {PAGE}" in ask(
        web, "domains", text, as_="frame"
    ).headers["Content-Security-Policy"]  # fmt: skip


def test_a_token_is_over_with_its_time_and_with_who_made_it(web: Web) -> None:
    text, _ = a_token(web.store, "domains")
    with steered() as hands:
        hands.step(25 * 3600)
        assert sentence(ask(web, "domains", text)) == "The time of this embed is over."
    a_maker(web.store)
    gone, _ = a_token(web.store, "domains", maker=a_maker(web.store, "leaving"))
    assert ask(web, "domains", gone).status_code == 200
    set_disabled(web.store, "leaving", True)
    assert ask(web, "domains", gone).status_code == 401


def test_a_token_shows_no_more_than_its_maker_may_see(web: Web) -> None:
    maker = a_maker(web.store, "of-two", ["kvm-02"])
    for view in (view for view, locked in LOCKED.items() if not locked):
        text, _ = a_token(web.store, view, {}, maker=maker)
        answer = ask(web, view, text)
        assert answer.status_code == 200
        assert not re.search("kvm-0[16]", answer.text), view
        if view not in ("overview", "changes"):
            assert ask(web, view, text, host="kvm-01").status_code in (403, 404, 422), view
    rows = ask(web, "domains", a_token(web.store, "domains", {}, maker=maker)[0]).text
    assert rows.count("<tr") == 1 + 24
    for view in (view for view, locked in LOCKED.items() if locked):
        text, _ = a_token(web.store, view, maker=maker)
        assert ask(web, view, text).status_code == 404


def test_wrong_tokens_are_slowed_down_and_right_ones_never(
    web: Web, tokens: dict[str, str]
) -> None:
    peer = {"REMOTE_ADDR": "192.0.2.7"}

    def guess(place: int) -> TestResponse:
        return web.client.get(f"/embed/v1/domains?t=npe_{place}", environ_overrides=peer)

    wrong = guess(0)
    assert wrong.status_code == 401
    assert sentence(wrong) == "npvirt does not know this token."
    # A busy machine may be slow enough by itself, but not for long: each pause is twice as long.
    slowed = next(answer for place in range(1, 20) if (answer := guess(place)).status_code != 401)
    assert slowed.status_code == 429
    assert int(slowed.headers["Retry-After"]) >= 1
    right = web.client.get(f"/embed/v1/domains?t={tokens['domains']}", environ_overrides=peer)
    assert right.status_code == 200
    elsewhere = web.client.get(
        "/embed/v1/domains?t=npe_1", environ_overrides={"REMOTE_ADDR": "192.0.2.8"}
    )
    assert elsewhere.status_code == 401


def test_that_a_token_is_used_is_noted_once_a_minute_after_the_answer(web: Web) -> None:
    text, token = a_token(web.store, "hosts")

    def used_ms() -> int | None:
        found = {one.id: one.used_at_ms for one in list_embed_tokens(web.store, a_maker(web.store))}
        return found[token.id]

    with steered() as hands:
        hands.step(120)
        answer = ask(web, "hosts", text)
        assert used_ms() is None
        answer.close()
        first = used_ms()
        assert first is not None
        version = web.store.version()
        hands.step(30)
        ask(web, "hosts", text).close()
        assert web.store.version() == version
        hands.step(40)
        ask(web, "hosts", text).close()
        later = used_ms()
        assert later is not None
        assert later - first >= 60_000
