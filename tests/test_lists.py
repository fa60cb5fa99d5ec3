"""Every list, of the API and on a page, has what lists have: pages, an order, a search, a file.

Planted to see it fail: a list of the API without its file, and one without its pages; a page
without its link to the file; a file of one page alone; a search that the store forgets.
"""

import csv
import io
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from msgspec.structs import replace

from app.access import Principal
from app.clock import DAY_MS, now_ms
from app.inventory import Snapshot
from app.store.embed_tokens import create_embed_token
from app.store.hosts import get_host
from app.store.notification_events import Told, record
from app.store.notification_messages import Outcome, begin_test, conclude
from app.store.notification_rules import RuleDraft, add_rule, edit_rule
from app.store.notification_targets import add_target
from app.store.record import Recorder
from app.store.tokens import add_token
from app.store.users import add_user, get_user
from app.web.openapi import document
from tests.web_support import INTERVAL_MS, Web, a_scan, fill, make_web

# A VM with snapshots.
SAVED = "00000001-0000-4000-8000-000000000002"
PAGED = {"page", "per_page"}
# What a list of the API lacks, and why.
WITHOUT = {
    # The worst come first, whoever asks.
    "/api/v1/attention": {"q", "sort"},
    # Newest first: the store walks back through them.
    "/api/v1/changes": {"sort"},
    # There is nothing of a scan to search but its host.
    "/api/v1/gaps": {"q"},
    "/api/v1/scans": {"q"},
    # All that differs between two moments, which has no pages.
    "/api/v1/compare": {"q", "sort", *PAGED},
}
# Pages with a table or a form that is of no list: what one may do, one's own sessions, what the
# store takes, how npvirt is, which moments to compare, and the overview, whose tables are the
# beginnings of lists.
NO_LIST = {"/", "/account", "/compare", "/health", "/help", "/help/api", "/store"}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A panel with more than one of everything that npvirt keeps."""
    made = make_web(tmp_path_factory.mktemp("lists") / "var", NPVIRT_TIMEZONE="UTC")
    fill(made.store)
    host = get_host(made.store, "kvm-01")
    scan = a_scan(host, now_ms())
    snapshots = (
        Snapshot("step-10", created_at_ms=DAY_MS), Snapshot("step-2", created_at_ms=2 * DAY_MS),
        Snapshot("=clean"),
    )  # fmt: skip
    assert scan.domains is not None
    saved = replace(scan.domains[SAVED], snapshots=snapshots)
    domains = {**scan.domains, SAVED: saved}
    Recorder(made.store, host, INTERVAL_MS).record(replace(scan, domains=domains))
    for number, name in enumerate(("alpha", "beta-2", "beta-10")):
        target = add_target(made.store, made.settings.data, name, "mail", f"{name}@npvirt.test", "")
        draft = RuleDraft(
            f"rule {name}", "domain-crashed", ("info", "warning", "critical")[number],
            target_ids=(target.id,),
        )  # fmt: skip
        rule = add_rule(made.store, draft, "ada")
        told = Told(
            rule, "happened", get_host(made.store, "kvm-01").id, "kvm-01", "domain", name, name,
            f"VM {name} crashed", "100 % of it_",
        )  # fmt: skip
        record(made.store, [told], now_ms())
        if number == 1:
            edit_rule(made.store, rule.id, replace(draft, enabled=False))
        message = begin_test(made.store, target, now_ms())
        conclude(made.store, message, Outcome("sent", f"About {name}."), now_ms(), None)
        add_user(made.store, name, "viewer", None)
        add_token(made.store, name, "viewer", created_by="ada")
    made.sign_in()
    who = Principal("user", "ada", "admin", user_id=get_user(made.store, "ada").id)
    for view in ("pools", "domains"):
        create_embed_token(made.store, who, view, {}, (), now_ms() + DAY_MS)
    yield made
    made.store.close()


def lists(web: Web) -> dict[str, dict[str, Any]]:
    """The operations of the API that answer with items, by address."""
    told = document(web.app)
    schemas = told["components"]["schemas"]
    found = {}
    for path, methods in told["paths"].items():
        if "get" not in methods:
            continue
        content = methods["get"]["responses"]["200"].get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        properties = schemas.get(schema.get("$ref", "").rpartition("/")[2], {}).get(
            "properties", {}
        )
        if "items" in properties:
            found[path] = {**methods["get"], "properties": set(properties), "content": content}
    return found


def test_every_list_of_the_api_has_pages_an_order_a_search_and_a_file(web: Web) -> None:
    found = lists(web)
    assert len(found) > 20
    lacking = {}
    for path, one in found.items():
        takes = {parameter["name"] for parameter in one["parameters"]}
        lacks = {"q", "sort", *PAGED, "format"} - takes
        if not {"total", "page", "counts"} <= one["properties"] and "page" in takes:
            lacks |= {"total, page and counts"}
        if "text/csv" not in one["content"]:
            lacks |= {"text/csv"}
        if lacks:
            lacking[path] = lacks
    assert lacking == WITHOUT


def addresses(web: Web) -> list[str]:
    """The pages whose addresses name nothing."""
    rules = [rule for rule in web.app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    return sorted(
        rule.rule for rule in rules
        if not rule.arguments and not rule.rule.startswith(("/api/", "/ui/", "/events", "/go"))
    )  # fmt: skip


def test_every_page_with_a_list_leads_to_its_file(web: Web) -> None:
    lists_of_pages: set[str] = set()
    without: set[str] = set()
    for address in addresses(web):
        answer = web.client.get(address)
        has_list = '<table class="tbl' in answer.text or 'class="bar filters"' in answer.text
        if answer.mimetype != "text/html" or not has_list:
            continue
        files = re.findall(r'href="([^"]*format=csv[^"]*)"', answer.text)
        (lists_of_pages if files else without).add(address)
        for href in map(unescape, files):
            file = web.client.get(href)
            assert (file.status_code, file.mimetype) == (200, "text/csv"), href
            assert next(csv.reader(io.StringIO(file.text))), href
    assert without <= NO_LIST
    assert lists_of_pages >= {
        "/audit", "/capacity", "/changes", "/domains", "/embed-tokens", "/hosts",
        "/notifications", "/notifications/messages", "/notifications/rules",
        "/notifications/targets", "/pools", "/sessions", "/tokens", "/users",
    }  # fmt: skip


def rows(web: Web, address: str) -> list[list[str]]:
    """What the rows of a page's own table say, without their dialogs."""
    html = web.text(address).split("<tbody>")[-1].split("</tbody>")[0]
    html = re.sub(r"<dialog.*?</dialog>", "", html, flags=re.S)
    found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in html.split("<tr")[1:]]
    return [[unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in found]


def names(web: Web, address: str) -> list[str]:
    """Which of alpha, beta-2 and beta-10 the rows of a page tell, in their order."""
    found = [re.search(r"alpha|beta-\d+", " ".join(row)) for row in rows(web, address)]
    return [one.group() for one in found if one is not None]


@pytest.mark.parametrize(
    ("page", "by_name", "by_age"),
    [
        ("/notifications", None, "-at"),
        ("/notifications/messages", None, "-made"),
        ("/notifications/rules", "name", "-created"),
        ("/notifications/targets", "name", "-created"),
        ("/tokens", "name", "-created"),
        ("/users", "name", "-created"),
    ],
)
def test_pages_are_sorted_searched_and_paged_as_the_api_is(
    web: Web, page: str, by_name: str | None, by_age: str
) -> None:
    if by_name is not None:
        assert names(web, page) == ["alpha", "beta-2", "beta-10"]
        assert names(web, f"{page}?sort=-{by_name}") == ["beta-10", "beta-2", "alpha"]
    assert names(web, f"{page}?sort={by_age}") == ["beta-10", "beta-2", "alpha"]
    assert names(web, f"{page}?sort={by_age[1:]}") == ["alpha", "beta-2", "beta-10"]
    searched = f"{page}?q=BETA&sort={by_age[1:]}&per_page=1"
    assert names(web, searched) == ["beta-2"]
    assert names(web, f"{searched}&page=2") == ["beta-10"]
    html = unescape(web.text(f"{searched}&page=2"))
    assert "2 – 2 of 2" in html
    # What leads on keeps the search, and the file has all of it.
    before = re.search(r'href="([^"]*)" aria-label="Previous page"', html)
    assert before is not None
    assert names(web, before[1]) == ["beta-2"]
    file = re.search(r'href="(/api/v1/[^"]*format=csv)"', html)
    assert file is not None
    assert len(list(csv.DictReader(io.StringIO(web.text(file[1]))))) == 2
    assert "Nothing fits" in web.text(f"{page}?q=nothing-like-it")
    for query in ("sort=colour", "page=0", "per_page=1001", "state=odd", "colour=red", "at=0"):
        assert web.client.get(f"{page}?{query}").status_code == 422, query


def test_the_snapshots_of_a_vm_are_a_list_and_null_where_nobody_knows_them(web: Web) -> None:
    def told(query: str, key: str = f"kvm-01/domains/{SAVED}") -> Any:
        return web.client.get(f"/api/v1/hosts/{key}/snapshots{query}").get_json()

    def told_names(query: str) -> list[str]:
        return [one["name"] for one in told(query)["items"]]

    assert told_names("") == ["=clean", "step-2", "step-10"]
    # One whose time is not known comes last, either way.
    assert told_names("?sort=-created") == ["step-2", "step-10", "=clean"]
    assert told_names("?q=STEP&per_page=1&page=2") == ["step-10"]
    assert (told("?q=step&per_page=1")["total"], list(told("")["scans"])) == (2, ["kvm-01"])
    lines = web.text(f"/api/v1/hosts/kvm-01/domains/{SAVED}/snapshots?format=csv&per_page=1")
    assert [line.split(",")[0] for line in lines.splitlines()] == ["name", "'=clean"]
    silent = told("", "kvm-03/domains/00000003-0000-4000-8000-000000000002")
    assert (silent["items"], silent["total"], silent["page"]) == (None, None, 1)
    assert web.client.get(
        f"/api/v1/hosts/kvm-01/domains/{SAVED}/snapshots?host=kvm-01"
    ).status_code == 422  # fmt: skip
