"""Putting a view onto another page: who is offered it, what the dialog says, makes and refuses."""

import gzip
import html
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from app.access import Principal
from app.clock import now_ms, rfc3339
from app.store.audit import Wanted, records
from app.store.embed_tokens import create_embed_token, list_embed_tokens
from app.web.embed.views import VIEWS
from app.web.embed_words import trouble, warnings
from tests.fleet_support import filled_data, fleet_web
from tests.web_support import HOSTILE, Web, web

__all__ = ["filled_data", "fleet_web", "web"]

_ADA = Principal("user", "ada", "admin")
_POOL = "00000001-0000-4000-9000-000000000001"
_VM = "00000001-0000-4000-8000-000000000002"
# What each page offers to embed.
_OFFERS = {
    "/": {"overview", "chart"},
    "/hosts": {"hosts"},
    "/hosts/kvm-01": {"domains", "chart", "gauge"},
    "/domains": {"domains"},
    f"/hosts/kvm-01/domains/{_VM}": {"chart"},
    "/pools": {"pools"},
    f"/hosts/kvm-01/pools/{_POOL}": {"volumes", "chart", "gauge"},
    "/networks": {"networks"},
    "/changes": {"changes"},
}
_FORM = {"days": "30", "refresh": "10", "theme": "", "frame": "yes"}
_ORIGIN = "https://intranet.example.net"
_EMBED = Path(__file__).parents[1] / "app" / "static" / "embed"


def _offered(page: str) -> list[str]:
    """The addresses of the dialogs that a page offers."""
    return [html.unescape(found) for found in re.findall(r'href="(/embed-tokens/new[^"]*)"', page)]


def _snippets(page: str) -> dict[str, str]:
    """The lines to paste, by the way that they go."""
    found = re.findall(r'<pre [^>]*id="snippet-(\w+)"[^>]*>(.*?)</pre>', page, re.DOTALL)
    return {name: html.unescape(text) for name, text in found}


@pytest.mark.parametrize("address", list(_OFFERS))
def test_every_table_and_chart_can_be_put_elsewhere(web: Web, address: str) -> None:
    offered = _offered(web.text(address))
    assert {one.partition("view=")[2].partition("&")[0] for one in offered} == _OFFERS[address]
    for one in offered:
        assert "It shows" in web.text(one)
        preview = web.text(one.replace("/embed-tokens/new", "/ui/embed-tokens/preview"))
        assert 'class="npv' in preview, (one, preview[:300])
        assert "npv-error" not in preview, (one, preview)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_it_is_offered_to_admins_alone(web: Web, role: str) -> None:
    web.sign_in(f"the-{role}", role)
    for address in _OFFERS:
        assert not _offered(web.text(address))
    assert "/embed-tokens" not in web.text("/")


def test_filters_and_the_moment_go_along(web: Web) -> None:
    (offered,) = _offered(web.text("/domains?host=kvm-01&state=shutoff&q=vm"))
    page = web.text(offered)
    assert re.search(r'name="filter-host" value="kvm-01"', page)
    assert re.search(r'name="filter-state" value="shutoff"', page)
    assert re.search(r'name="filter-q" value="vm"', page)
    at = rfc3339(now_ms() - 30_000)
    (past,) = _offered(web.text(f"/domains?at={at}"))
    assert quote(at) in past
    assert f'name="at" value="{at}"' in web.text(past)


def test_the_preview_shows_what_the_filters_leave(web: Web) -> None:
    shown = web.text("/ui/embed-tokens/preview?view=domains&filter-host=kvm-02&theme=dark")
    assert "vm-2-2" in shown
    assert "vm-1-2" not in shown
    assert 'data-theme="dark"' in shown


def test_who_has_some_hosts_shows_those_alone(web: Web) -> None:
    web.sign_in("limited", "admin", ["kvm-02"])
    shown = web.text("/ui/embed-tokens/preview?view=domains")
    assert "vm-2-2" in shown
    assert "vm-1-2" not in shown
    assert "Of your hosts alone" in web.text("/embed-tokens/new?view=domains")


def test_a_made_embed_is_shown_once_with_lines_to_paste(web: Web) -> None:
    answer = web.post(
        "/embed-tokens",
        {
            **_FORM,
            "view": "domains",
            "filter-host": "kvm-01",
            "origins": f" {_ORIGIN}\n",
            "note": "x",
        },
    )
    assert answer.status_code == 200, answer.text
    snippets = _snippets(answer.text)
    assert snippets.keys() == {"element", "htmx4", "htmx2", "frame"}
    (secret,) = set(re.findall(r"npe_[a-z0-9]{32}", answer.text))
    assert all(secret in text for text in snippets.values())
    assert '<npvirt-view view="domains"' in snippets["element"]
    assert '"mode":"cors"' in snippets["htmx4"]
    assert '"selfRequestsOnly":false' in snippets["htmx2"]
    assert "as=frame" in snippets["frame"]
    listed = web.text("/embed-tokens")
    assert secret not in listed
    assert _ORIGIN in listed
    assert f"npe_…{secret[-4:]}" in listed
    (token,) = list_embed_tokens(web.store, _ADA)
    assert token.filters == {"host": ("kvm-01",)}
    shown = web.client.get(f"/embed/v1/domains?t={secret}", headers={"Origin": _ORIGIN})
    assert shown.status_code == 200
    assert "vm-1-2" in shown.text


def test_a_refused_form_keeps_what_was_typed(web: Web) -> None:
    answer = web.post(
        "/embed-tokens",
        {**_FORM, "view": "domains", "filter-q": "vm", "origins": "intranet", "note": HOSTILE},
        htmx=True,
    )
    assert answer.status_code == 422
    assert 'id="embed-origins-wrong"' in answer.text
    assert ">intranet</textarea>" in answer.text
    assert html.escape(HOSTILE[:8], quote=False) in answer.text
    assert 'name="filter-q" value="vm"' in answer.text
    assert not list_embed_tokens(web.store, _ADA)


@pytest.mark.parametrize(
    ("field", "value"),
    [("days", "999"), ("days", ""), ("refresh", "0"), ("theme", "pink"), ("note", "x" * 201),
     ("view", "nothing"), ("filter-host", "kvm-77"), ("filter-nothing", "x")],
)  # fmt: skip
def test_what_is_not_offered_is_refused_in_words(web: Web, field: str, value: str) -> None:
    form = {**_FORM, "view": "domains", "origins": _ORIGIN, field: value}
    answer = web.post("/embed-tokens", form)
    assert answer.status_code == 422, answer.text
    assert not list_embed_tokens(web.store, _ADA)


def test_a_revoked_embed_is_over_and_in_the_audit(web: Web) -> None:
    secret, token = create_embed_token(
        web.store, _ADA, "domains", {}, [_ORIGIN], now_ms() + 86_400_000, HOSTILE
    )
    assert "<script>alert" not in web.text("/embed-tokens")
    answer = web.post(f"/embed-tokens/{token.id}/revoke")
    assert answer.status_code == 303
    assert web.client.get(f"/embed/v1/domains?t={secret}").status_code == 401
    assert "revoked" in web.text("/embed-tokens")
    found, _ = records(web.store, Wanted(text="embed"), limit=10)
    assert [one.outcome for one in found] == ["ok"]
    assert web.post(f"/embed-tokens/{token.id}/revoke").status_code == 404


def test_every_view_can_be_asked_about(web: Web) -> None:
    for view in VIEWS:
        assert "It shows" in web.text(f"/embed-tokens/new?view={view}")
    assert web.client.get("/embed-tokens/new?view=nothing").status_code == 422
    assert web.client.get("/embed-tokens/new").status_code == 422


@pytest.mark.parametrize(
    ("base", "origins", "is_set", "said"),
    [
        ("https://npvirt.test", ["https://a.test", "http://b.test"], True, []),
        ("http://npvirt.test", ["http://a.test"], True, []),
        ("http://npvirt.test", ["http://a.test", "https://b.test"], True, ["mixed content"]),
        ("http://npvirt.test", ["http://a.test"], False, ["NPVIRT_PUBLIC_URL is not set"]),
        ("http://127.0.0.1:8040", ["https://a.test"], False, ["this machine alone"]),
        ("http://[::1]:8040", ["https://a.test"], True, ["this machine alone"]),
    ],
)
def test_it_is_said_which_will_not_work(
    base: str, origins: Sequence[str], is_set: bool, said: Sequence[str]
) -> None:
    found = warnings(base, origins, is_set=is_set)
    assert len(found) == len(said)
    assert all(words in sentence for words, sentence in zip(said, found, strict=True))


def test_it_is_said_which_ways_are_not_open() -> None:
    assert trouble(["https://a.test"], frame=True) == ("", "")
    assert trouble(["https://a.test"], frame=False).frame
    assert all(trouble([], frame=True))


def test_the_element_with_fifty_vms_is_small(fleet_web: Web) -> None:
    secret, _ = create_embed_token(
        fleet_web.store, _ADA, "domains", {"per_page": ["50"]}, [_ORIGIN], now_ms() + 86_400_000
    )
    shown = fleet_web.client.get(f"/embed/v1/domains?t={secret}&as=element")
    assert shown.text.count("<tr part=") == 50
    parts = [(_EMBED / name).read_bytes() for name in ("npvirt.js", "npvirt.css")]
    sizes = [len(gzip.compress(part, 6)) for part in (*parts, shown.data)]
    assert sum(sizes) <= 12_000, sizes
