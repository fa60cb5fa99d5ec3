"""Dismissing findings of the capacity review, in pages and through the API: who may, what is
refused, what the audit says, and what a past moment tells of it.
"""

from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from app.clock import DAY_MS, now_ms, rfc3339
from app.connection import Connection
from app.store.audit import Wanted, records
from app.store.hosts import add_host
from app.store.record import Recorder
from tests.browser_support import watched
from tests.signing import bearer
from tests.web_support import INTERVAL_MS, Web, a_scan, make_web

API = "/api/v1/hosts/kvm-01/findings"
SUBJECT = "vm-1-2"
NOTE = "Kept for the auditors <&>."


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A host of which two domains have been off for forty days."""
    web = make_web(tmp_path_factory.mktemp("dismissing") / "var", NPVIRT_TIMEZONE="UTC")
    record = add_host(web.store, "kvm-01", Connection(transport="ssh", host="kvm-01.test"))
    for at_ms in (now_ms() - 40 * DAY_MS, now_ms()):
        Recorder(web.store, record, INTERVAL_MS).record(a_scan(record, at_ms))
    yield web
    web.store.close()


@pytest.fixture
def web(panel: Web) -> Web:
    """The panel with nothing dismissed, for an operator."""
    panel.sign_in("ada", "operator")
    for one in _told(panel)["reclaim"]:
        if one["dismissed"] is not None:
            assert _undo(panel, one).status_code == 200
    return panel


def _told(web: Web, query: str = "") -> dict[str, Any]:
    told: dict[str, Any] = web.client.get(f"/api/v1/capacity?{query}").get_json()
    return told


def _finding(web: Web, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in _told(web, query)["reclaim"] if one["subject"] == SUBJECT
    )
    return found


def _named(one: dict[str, Any], **more: str) -> dict[str, str]:
    return {"kind": one["kind"], "key": one["key"], **more}


def _dismiss(web: Web, one: dict[str, Any], at: str = "", **changed: str) -> Any:
    body = _named(one, facts_digest=one["facts_digest"], note=NOTE) | changed
    return web.app.test_client().post(f"{API}/dismiss{at}", json=body, headers=bearer(web.store))


def _undo(web: Web, one: dict[str, Any], at: str = "") -> Any:
    address = f"{API}/undo-dismiss{at}"
    return web.app.test_client().post(address, json=_named(one), headers=bearer(web.store))


def test_a_finding_is_dismissed_with_a_note_and_counts_again_when_that_is_undone(web: Web) -> None:
    before = _told(web)
    one = _finding(web)
    answer = _dismiss(web, one, note=f"  {NOTE} ")
    assert answer.status_code == 200
    told = answer.get_json()["item"]
    assert told == _finding(web)
    assert told["dismissed"]["note"] == NOTE
    assert told["dismissed"]["who"].startswith("token:")
    assert _told(web)["freed"]["count"] == before["freed"]["count"] - 1
    answer = _undo(web, one)
    assert answer.get_json()["item"] == one
    assert _told(web)["freed"] == before["freed"]
    assert _undo(web, one).status_code == 404


def test_the_audit_tells_who_dismissed_what_and_why(web: Web) -> None:
    one = _finding(web)
    _dismiss(web, one)
    _undo(web, one)
    found, _ = records(web.store, Wanted(host="kvm-01"), limit=2)
    assert [entry.action for entry in found] == ["finding-undo-dismiss", "finding-dismiss"]
    assert [(entry.name, entry.outcome) for entry in found] == [(SUBJECT, "ok")] * 2
    assert NOTE in str(found[1].parameters)


def test_what_is_dismissed_is_what_was_seen(web: Web) -> None:
    one = _finding(web)
    before = web.client.get("/api/v1/capacity").data
    for changed, status in (
        ({"facts_digest": "0" * 32}, 409), ({"key": "nothing"}, 404),
        ({"kind": "old-snapshot"}, 404), ({"kind": "full-moon"}, 422), ({"note": " "}, 422),
        ({"note": "x" * 501}, 422), ({"more": "x"}, 422),
    ):  # fmt: skip
        answer = _dismiss(web, one, **changed)
        assert answer.status_code == status, (changed, answer.text)
        assert answer.get_json()["detail"].endswith(".")
    for answer in (_dismiss(web, one, "?at=0"), _undo(web, one, "?at=0")):
        assert answer.status_code in (409, 422)
    assert _told(web)["reclaim"] == web.app.json.loads(before)["reclaim"]


def test_a_past_moment_tells_what_was_dismissed_then_and_offers_nothing(web: Web) -> None:
    one = _finding(web)
    told = _dismiss(web, one).get_json()["item"]["dismissed"]
    then = rfc3339(now_ms())
    _undo(web, one)
    assert _finding(web, f"at={then}")["dismissed"] == told
    assert _finding(web)["dismissed"] is None
    page = unescape(web.text(f"/capacity?at={then}"))
    assert NOTE in unescape(page)
    assert "/findings/" not in page
    assert "/findings/dismiss?" in web.text("/capacity")


def test_a_viewer_is_told_but_offered_nothing(web: Web) -> None:
    _dismiss(web, _finding(web))
    web.sign_in("eve", "viewer")
    page = web.text("/capacity")
    assert "dismissed by" in page
    assert "/findings/" not in page


def test_the_form_works_without_script_and_says_what_it_misses(web: Web) -> None:
    one = _finding(web)
    address = f"/hosts/kvm-01/findings/dismiss?{urlencode(_named(one))}"
    form = _named(one, facts_digest=one["facts_digest"])
    assert address in unescape(web.text("/capacity"))
    assert one["facts_digest"] in web.text(address)
    answer = web.post("/hosts/kvm-01/findings/dismiss", form | {"note": ""})
    assert answer.status_code == 422
    assert "Say why" in answer.text
    answer = web.post("/hosts/kvm-01/findings/dismiss", form | {"note": NOTE})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/capacity")
    page = unescape(web.text("/capacity"))
    assert f"{SUBJECT} is dismissed." in page
    assert NOTE in page
    answer = web.post(f"/hosts/kvm-01/findings/undo-dismiss?{urlencode(_named(one))}")
    assert answer.status_code == 303
    assert NOTE not in unescape(web.text("/capacity"))


def test_in_the_browser_a_dialog_asks_why_and_the_page_shows_it_at_once(
    web: Web, chromium: Browser
) -> None:
    with watched(chromium, web.app, role="operator") as seen:
        page = seen.go("/capacity")
        row = page.get_by_role("row", name=SUBJECT)
        row.get_by_role("button", name="Dismiss").click()
        page.get_by_label("Why it stays").fill(NOTE)
        page.locator("#dialog").get_by_role("button", name="Dismiss").click()
        expect(row).to_contain_text(NOTE, timeout=30_000)
        expect(page.locator("#dialog")).not_to_be_visible(timeout=30_000)
        row.get_by_role("button", name="Undo").click()
        expect(row).not_to_contain_text(NOTE, timeout=30_000)
        assert seen.errors == []
