"""Views on other people's pages: which sites may read and frame them."""

from tests.embed_support import (
    OTHER,
    PAGE,
    a_token,
    ask,
    sentence,
    tokens,
    web,
    web_of_module,
)
from tests.fleet_support import filled_data
from tests.web_support import Web

__all__ = ["filled_data", "tokens", "web", "web_of_module"]


def test_pages_of_the_tokens_origins_may_read_and_others_may_not(
    web: Web, tokens: dict[str, str]
) -> None:
    a_token(web.store, "hosts", origins=[OTHER])
    mine = ask(web, "domains", tokens["domains"])
    assert mine.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Origin" in mine.headers["Vary"]
    # It is named by another token: that page is told why, and nothing else.
    other = ask(web, "domains", tokens["domains"], OTHER)
    assert other.status_code == 403
    assert other.headers["Access-Control-Allow-Origin"] == OTHER
    assert sentence(other) == "This token is not for pages of this site."
    for origin in ("https://never.example", "null", "https://intranet.example.evil.test",
                   "http://intranet.example", "https://intranet.example:8443"):  # fmt: skip
        answer = ask(web, "domains", tokens["domains"], origin)
        assert answer.status_code == 403, origin
        assert "Access-Control-Allow-Origin" not in answer.headers, origin
        assert "app-01" not in answer.text
    nobody = ask(web, "domains", tokens["domains"], None)
    assert nobody.status_code == 200
    assert "Access-Control-Allow-Origin" not in nobody.headers
    assert ask(web, "domains", tokens["domains"], "http://localhost").status_code == 200


def test_a_browser_may_ask_beforehand_with_what_both_htmx_send(web: Web) -> None:
    a_token(web.store, "domains")
    for view in ("domains", "nothing"):
        wanted = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
        answer = web.client.options(f"/embed/v1/{view}", headers=wanted)
        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        allowed = answer.headers["Access-Control-Allow-Headers"].lower()
        for name in ("hx-request", "hx-current-url", "hx-target", "hx-trigger", "hx-trigger-name",
                     "hx-source", "hx-request-type", "hx-boosted", "authorization",
                     "x-npvirt-token", "if-none-match"):  # fmt: skip
            assert name in allowed.split(", "), name
    stranger = web.client.options("/embed/v1/domains", headers={"Origin": "https://never.example"})
    assert not [name for name, _ in stranger.headers if name.startswith("Access-Control")]


def test_frames_are_for_the_tokens_origins_and_fragments_for_none(
    web: Web, tokens: dict[str, str]
) -> None:
    frame = ask(web, "domains", tokens["domains"], None, as_="frame")
    policy = frame.headers["Content-Security-Policy"]
    assert f"frame-ancestors 'self' {PAGE}" in policy
    assert "unsafe" not in policy
    assert "X-Frame-Options" not in frame.headers
    assert frame.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    for answer in (ask(web, "domains", tokens["domains"]),
                   ask(web, "domains", tokens["domains"], as_="element")):  # fmt: skip
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    bare, _ = a_token(web.store, "domains", origins=[])
    assert (
        ask(web, "domains", bare, None, as_="frame")
        .headers["Content-Security-Policy"]
        .endswith("frame-ancestors 'self'")
    )
    assert ask(web, "domains", bare).status_code == 403
    without, _ = a_token(web.store, "domains", frame=False)
    refused = ask(web, "domains", without, None, as_="frame")
    assert refused.status_code == 403
    assert sentence(refused) == "This token is not for frames."
    wrong = ask(web, "domains", "npe_wrong", None, as_="frame")
    assert PAGE in wrong.headers["Content-Security-Policy"]
    assert "DENY" in web.client.get("/login").headers["X-Frame-Options"]
