"""Views on other people's pages: what is kept, sent again and compressed; the files."""

import gzip

import pytest

from app.store.embed_tokens import revoke_embed_token
from app.web.embed import kept
from tests.embed_support import (
    PAGE,
    a_maker,
    a_token,
    ask,
    tokens,
    web,
    web_of_module,
)
from tests.fleet_support import filled_data, scan_again
from tests.web_support import Web

__all__ = ["filled_data", "tokens", "web", "web_of_module"]


def test_what_has_not_changed_is_not_sent_again(web: Web, tokens: dict[str, str]) -> None:
    for view, token in tokens.items():
        first = ask(web, view, token)
        etag = first.headers["ETag"]
        again = web.client.get(
            f"/embed/v1/{view}", query_string={"t": token},
            headers={"Origin": PAGE, "If-None-Match": etag},
        )  # fmt: skip
        assert again.status_code == 304, view
        assert again.data == b""
        assert again.headers["Access-Control-Allow-Origin"] == PAGE
        head = "".join(f"{name}: {value}\r\n" for name, value in again.headers)
        assert len(head) + len("HTTP/1.1 304 NOT MODIFIED\r\n\r\n") <= 1000
        assert "private, no-cache" in again.headers["Cache-Control"]


def test_what_has_changed_is_sent_again(
    web: Web, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "HOLD_S", 0.0)
    etag = ask(web, "domains", tokens["domains"]).headers["ETag"]
    scan_again(web, 1, 900)
    again = web.client.get(
        f"/embed/v1/domains?t={tokens['domains']}", headers={"If-None-Match": etag}
    )
    assert again.status_code == 200
    assert again.headers["ETag"] != etag


def test_one_drawing_serves_all_who_look_meanwhile(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "HOLD_S", 3600.0)
    text, token = a_token(web.store, "hosts")
    first = ask(web, "hosts", text)
    scan_again(web, 1, 960)
    assert ask(web, "hosts", text).headers["ETag"] == first.headers["ETag"]
    # But never to one whose token is over.
    revoke_embed_token(web.store, token.id, a_maker(web.store))
    assert ask(web, "hosts", text).status_code == 401


def test_it_is_compressed_for_whom_takes_that(web: Web, tokens: dict[str, str]) -> None:
    plain = ask(web, "domains", tokens["domains"])
    packed = web.client.get(
        f"/embed/v1/domains?t={tokens['domains']}", headers={"Accept-Encoding": "gzip, br"}
    )
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert len(packed.data) < 6_000


@pytest.mark.parametrize("name", ["npvirt.js", "npvirt.css", "frame.js"])
def test_the_files_are_for_every_page(web: Web, name: str) -> None:
    answer = web.client.get(f"/embed/{name}", headers={"Origin": "https://any.example"})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "max-age=3600" in answer.headers["Cache-Control"]
    etag = answer.headers["ETag"]
    again = web.client.get(f"/embed/{name}", headers={"If-None-Match": etag})
    assert again.status_code == 304
    digest = etag.removeprefix('W/"')[:10]
    assert "immutable" in web.client.get(f"/embed/{name}?v={digest}").headers["Cache-Control"]
    assert "immutable" not in web.client.get(f"/embed/{name}?v=old").headers["Cache-Control"]
