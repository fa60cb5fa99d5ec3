"""Putting a view onto another page: who is offered it, what the dialog says, makes and refuses."""

import gzip
import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from app.access import Principal
from app.clock import now_ms, rfc3339
from app.store.audit import Wanted, records
from app.store.embed_tokens import create_embed_token, list_embed_tokens
from app.web.charts import USES
from app.web.embed.views import VIEWS
from app.web.embed_words import trouble, warnings
from tests.embed_support import AWAY_HTMX_2, AWAY_HTMX_4
from tests.fleet_support import domain_uuid, filled_data, fleet_web, pool_uuid
from tests.web_support import HOSTILE, Web, web

__all__ = ["filled_data", "fleet_web", "web"]

_ADA = Principal("user", "ada", "admin")
_POOL, _VM = pool_uuid(0, 0), domain_uuid(0, 0)
# Pages of one thing each; all others are found by their routes.
_OF_ONE = (
    "/hosts/kvm-01", *(f"/hosts/kvm-01?use={use}" for use in USES),
    f"/hosts/kvm-01/domains/{_VM}", f"/hosts/kvm-01/domains/{_VM}/devices/disk:vda",
    f"/hosts/kvm-01/domains/{_VM}/devices/nic:52:54:00:00:00:00", f"/hosts/kvm-01/pools/{_POOL}",
)  # fmt: skip
# What a page offers to embed besides its charts; a page that is not here offers none.
_TABLES = {
    "/": ["attention", "overview"],
    "/hosts": ["hosts"],
    "/hosts/<slug>": ["domains", "gauge", "memory-devices", "numa"],
    "/domains": ["domains"],
    "/hosts/<slug>/domains/<uuid>": ["disks", "guest-nics", "nics", "snapshots"],
    "/pools": ["pools"],
    "/hosts/<slug>/pools/<uuid>": ["gauge", "volumes"],
    "/networks": ["interfaces", "leases", "networks"],
    "/health": ["scans"],
    "/changes": ["changes"],
    "/capacity": [
        "forecast", "growth", "losses", "outlook", "outlook", "overcommit", "reclaim",
        "rightsizing",
    ],
}  # fmt: skip
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


def _pages(web: Web) -> Iterator[tuple[str, str, str]]:
    """All pages that there are: route, address and text."""
    rules = web.app.url_map.iter_rules()
    plain = {rule.rule for rule in rules if "GET" in (rule.methods or ()) and not rule.arguments}
    apart = ("/api/", "/ui/", "/embed", "/login", "/logout", "/events")
    addresses = sorted(one for one in plain if not one.startswith(apart))
    urls = web.app.url_map.bind("localhost")
    for address in (*addresses, *_OF_ONE):
        answer = web.client.get(address)
        if answer.status_code == 200 and answer.mimetype == "text/html":
            rule, _ = urls.match(address.partition("?")[0], "GET", return_rule=True)
            yield rule.rule, address, answer.text


def _view(offered: str) -> str:
    return offered.partition("view=")[2].partition("&")[0]


def test_every_table_and_chart_that_can_be_has_a_button_to_put_it_elsewhere(
    fleet_web: Web,
) -> None:
    walked, charts = set(), 0
    for rule, address, page in _pages(fleet_web):
        walked.add(rule)
        figures = re.findall(r'<figure class="chart".*?</figure>', page, re.DOTALL)
        for figure in figures:
            assert [_view(one) for one in _offered(figure)] == ["chart"], (address, figure)
        offered = _offered(page)
        others = sorted(_view(one) for one in offered if _view(one) != "chart")
        assert others == _TABLES.get(rule, []), address
        assert len(offered) == len(figures) + len(others), address
        for one in offered:
            assert "It shows" in fleet_web.text(one)
            preview = fleet_web.text(one.replace("/embed-tokens/new", "/ui/embed-tokens/preview"))
            assert 'class="npv' in preview, (one, preview[:300])
            assert "npv-error" not in preview, (one, preview)
        charts += len(figures)
    assert walked >= {*_TABLES, "/capacity", "/health", "/audit"}
    assert charts >= 30


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_it_is_offered_to_admins_alone(web: Web, role: str) -> None:
    web.sign_in(f"the-{role}", role)
    for address in ("/", "/hosts", "/hosts/kvm-01", "/domains", "/pools", "/networks", "/changes"):
        assert not _offered(web.text(address))
    assert "/embed-tokens" not in web.text("/")


def test_a_chart_takes_its_range_along(web: Web) -> None:
    offered = [one for one in _offered(web.text("/hosts/kvm-01?range=7d")) if "view=chart" in one]
    assert len(offered) == 6
    assert all("range=7d" in one for one in offered)
    assert '<option value="7d" selected>' in web.text(offered[0])


def test_a_free_range_goes_along_and_another_may_be_chosen(web: Web) -> None:
    days = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    offered = [
        one for one in _offered(web.text(f"/hosts/kvm-01?{urlencode(days)}")) if "=chart" in one
    ]
    assert len(offered) == 6
    assert all(urlencode(days) in one for one in offered)
    page = web.text(offered[0])
    assert '<option value="" selected>1 Jan 2026, 00:00 – 2 Jan 2026, 00:00</option>' in page
    kind = {"view": "chart", "filter-kind": "host", "filter-host": "kvm-01"}
    fields = {**kind, **{f"filter-{name}": text for name, text in days.items()}}
    for chosen, kept, said in (("", days, "1 Jan 2026, 00:00"), ("7d", {"range": "7d"}, "7 days")):
        shown = web.text(
            f"/ui/embed-tokens/preview?theme=&{urlencode({**fields, 'filter-range': chosen})}"
        )
        assert said in shown, shown
        assert (
            web.post("/embed-tokens", {**_FORM, **fields, "filter-range": chosen}).status_code
            == 200
        )
        token = max(list_embed_tokens(web.store, _ADA), key=lambda one: one.id)
        locked = {name: (text,) for name, text in kept.items()}
        assert token.filters == {"kind": ("host",), "host": ("kvm-01",), **locked}


def test_filters_and_the_moment_go_along(web: Web) -> None:
    (offered,) = _offered(web.text("/domains?host=kvm-01&state=shutoff&q=vm"))
    page = web.text(offered)
    assert re.search(r'name="filter-host" value="kvm-01"', page)
    assert re.search(r'name="filter-state" value="shutoff"', page)
    assert re.search(r'name="filter-q" value="vm"', page)
    (volumes,) = [
        one
        for one in _offered(
            web.text("/hosts/kvm-01/pools/00000001-0000-4000-9000-000000000001?q=vm&sort=name")
        )
        if _view(one) == "volumes"
    ]
    assert volumes.endswith("&q=vm&sort=name")
    search = "q=vm-1&from=2020-01-01T00%3A00Z&to=2020-02-01T00%3A00Z"
    (history,) = _offered(web.text(f"/changes?kind=domain&{search}"))
    assert f"kind=domain&{search}" in history
    for name, value in (("q", "vm-1"), ("from", "2020-01-01T00:00Z"), ("kind", "domain")):
        assert f'name="filter-{name}" value="{value}"' in web.text(history)
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
    assert AWAY_HTMX_4 in " ".join(snippets["htmx4"].split())
    assert '"selfRequestsOnly":false' in snippets["htmx2"]
    assert AWAY_HTMX_2 in snippets["htmx2"]
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
