"""What every page and every answer has in common: parts, caching, moments, guards, errors."""

import contextlib
import json
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.clock import now_ms, rfc3339
from app.errors import InvalidField
from app.store.hosts import get_host
from app.store.record import Recorder
from app.web.guard import HEADERS, session_key
from app.web.kept import Kept, Rendered
from app.web.moment import moment
from app.web.when import Zone
from tests.web_support import HOSTILE, INTERVAL_MS, ORIGIN, Web, a_scan, make_web

PAGES = ("/", "/hosts", "/hosts/kvm-01", "/hosts/kvm-02", "/hosts/kvm-03")


def part_of(address: str) -> str:
    return "/ui/overview" if address == "/" else f"/ui{address}"


def an_hour_ago() -> str:
    return rfc3339(now_ms() - 3_600_000)


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("past", [False, True])
def test_a_page_holds_its_own_part_byte_for_byte(web: Web, address: str, past: bool) -> None:
    query = f"?at={rfc3339(now_ms() - 30_000)}" if past else ""
    page = web.client.get(address + query).data
    part = web.client.get(part_of(address) + query).data
    assert part in page
    assert len(part) > 1000


def test_the_ribbon_is_in_the_page_byte_for_byte(web: Web) -> None:
    headers = {"HX-Current-URL": "http://localhost/hosts"}
    assert web.client.get("/ui/ribbon", headers=headers).data in web.client.get("/hosts").data


@pytest.mark.parametrize("address", PAGES)
def test_a_part_is_not_sent_again_until_something_changed(web: Web, address: str) -> None:
    part = web.text(part_of(address))
    again = re.search(r'hx-get="([^"]+)"', part)
    assert again is not None
    poll = again[1].replace("&amp;", "&")
    assert web.client.get(poll).status_code == 204
    record = get_host(web.store, address.removeprefix("/hosts/") if "kvm" in address else "kvm-01")
    Recorder(web.store, record, INTERVAL_MS).record(a_scan(record, now_ms()))
    assert web.client.get(poll).status_code == 200


@pytest.mark.parametrize("address", PAGES)
def test_the_past_never_asks_again_and_offers_no_action(web: Web, address: str) -> None:
    page = web.text(f"{address}?at={rfc3339(now_ms() - 30_000)}")
    body = page.split("<main", 1)[1].split("</main>", 1)[0]
    # What became of things since is fetched once.
    assert re.findall(r'hx-trigger="([^"]*)"', body) in ([], ["load"])
    assert "hx-post" not in body
    assert "formaction" not in body
    assert 'class="past"' in page
    assert "Back to live" in page


def test_a_past_part_is_the_same_after_new_scans(web: Web) -> None:
    at = rfc3339(now_ms() - 30_000)
    before = {address: web.client.get(f"{part_of(address)}?at={at}").data for address in PAGES}
    record = get_host(web.store, "kvm-01")
    scan = a_scan(record, now_ms())
    Recorder(web.store, record, INTERVAL_MS).record(replace(scan, domains={}))
    after = {address: web.client.get(f"{part_of(address)}?at={at}").data for address in PAGES}
    assert before == after
    assert b"kvm-01" in before["/hosts"]


def test_links_of_a_past_page_stay_at_its_moment(web: Web) -> None:
    at = rfc3339(now_ms() - 30_000)
    page = web.text(f"/hosts?at={at}")
    # What is one's own is of the present.
    page = re.sub(r'<div class="menu" id="user-menu".*?Sign out', "", page, flags=re.S)
    links = re.findall(r'<a [^>]*href="(/[^"]*)"', page)
    elsewhere = [link for link in links if f"at={at}" not in link]
    # To the change before and the one after, and back to live.
    assert [link.partition("=")[0] for link in elsewhere] == ["/hosts?at", "/hosts?at", "/hosts"]


@pytest.mark.parametrize(
    "text",
    ["2026-05-01T09:30", "yesterday", "", "2026-13-01T00:00Z", "-5", "1e3", "2999-01-01T00:00Z"],
)
def test_a_bad_moment_is_refused_with_a_sentence(web: Web, text: str) -> None:
    page = web.text(f"/hosts?at={text}", 422)
    assert "moment" in page


def test_the_unasked_parameter_is_refused_by_name(web: Web) -> None:
    assert "“flag”" in web.text("/hosts?flag=running", 422)


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_a_moment_survives_being_written_and_read(at_ms: int) -> None:
    assert moment({"at": rfc3339(at_ms)}, at_ms).at_ms == at_ms
    assert moment({"at": str(at_ms // 1000)}, at_ms).at_ms == at_ms // 1000 * 1000


def test_a_moment_may_be_written_in_another_zone() -> None:
    expected = moment({"at": "2026-05-01T07:30Z"}, 1 << 50).at_ms
    assert moment({"at": "2026-05-01T09:30+02:00"}, 1 << 50).at_ms == expected
    assert moment({"at": "2026-05-01T09:30 02:00"}, 1 << 50).at_ms == expected


@given(st.text(max_size=40))
def test_a_text_is_a_moment_or_refused_as_one(text: str) -> None:
    with contextlib.suppress(InvalidField):
        assert moment({"at": text}, 4_000_000_000_000).at_ms is not None


def test_times_are_written_in_the_readers_zone() -> None:
    zone = Zone("Europe/Berlin")
    noon_ms = 1_777_627_800_000  # 2026-05-01 09:30 UTC
    assert zone.when(noon_ms, noon_ms + 60_000).short == "11:30"
    assert zone.when(noon_ms, noon_ms + 86_400_000).short == "1 May"
    assert zone.when(noon_ms, noon_ms + 400 * 86_400_000).short == "1 May 2026"
    assert zone.when(noon_ms, None).full == "1 May 2026 11:30:00 UTC+02:00"
    assert zone.day_and_time(noon_ms) == "Friday 1 May 2026, 11:30"
    assert Zone("America/St_Johns").name(noon_ms) == "UTC-02:30"


# --- guards ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["/", "/ui/overview", "/hosts/add", "/nope", "/static/js/app.js"]
)
def test_every_answer_carries_the_headers(web: Web, address: str) -> None:
    with web.client.get(address) as answer:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_pages_are_private_and_versioned_files_are_kept(web: Web) -> None:
    page = web.client.get("/")
    assert page.headers["Cache-Control"] == "private, no-store"
    address = re.search(r'href="(/static/css/[^"]+)"', page.text)
    assert address is not None
    with web.client.get(address[1]) as versioned, web.client.get(address[1][:-12]) as plain:
        assert "immutable" in versioned.headers["Cache-Control"]
        assert plain.headers["Cache-Control"] == "private, no-cache"


def test_an_unchanged_page_is_a_304_for_its_own_session_only(web: Web) -> None:
    web.text("/hosts")
    tag = web.client.get("/hosts").headers["ETag"]
    assert web.client.get("/hosts", headers={"If-None-Match": tag}).status_code == 304
    web.sign_in("bob")
    assert web.client.get("/hosts", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1:8040", "[::1]:9000", "PANEL.test:443"])
def test_known_names_are_served(tmp_path: Path, name: str) -> None:
    web = make_web(tmp_path / "var", NPVIRT_ALLOWED_HOSTS="panel.test")
    web.sign_out()
    assert web.client.get("/login", headers={"Host": name}).status_code == 200
    web.store.close()


@pytest.mark.parametrize(
    "name",
    ["evil.test", "127.0.0.1.evil.test", "", "panel.test", "a b", "x@localhost", "localhost:0x1"],
)
def test_other_names_are_refused_with_a_sentence(web: Web, name: str) -> None:
    answer = web.client.get("/", headers={"Host": name})
    assert answer.status_code == 400
    assert "NPVIRT_ALLOWED_HOSTS" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "https://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ],
)
def test_a_post_from_elsewhere_is_refused(web: Web, headers: dict[str, str]) -> None:
    form = {"csrf_token": web.token()}
    answer = web.client.post("/hosts/kvm-01/disable", data=form, headers=headers)
    assert answer.status_code == 403
    assert get_host(web.store, "kvm-01").enabled


def test_a_post_needs_the_token_of_its_session(web: Web) -> None:
    stolen = make_token(web)
    web.token()
    for token in ("", "x", stolen):
        form = {"csrf_token": token}
        assert (
            web.client.post("/hosts/kvm-01/disable", data=form, headers=ORIGIN).status_code == 403
        )
    assert get_host(web.store, "kvm-01").enabled


def make_token(web: Web) -> str:
    stranger = web.app.test_client()
    return stranger.get("/login").text.split('name="csrf_token" value="')[1].split('"')[0]


def test_the_token_may_come_in_a_header(web: Web) -> None:
    headers = ORIGIN | {"X-CSRF-Token": web.token()}
    assert web.client.post("/hosts/kvm-01/disable", headers=headers).status_code == 303
    assert not get_host(web.store, "kvm-01").enabled


def test_no_get_changes_anything(web: Web) -> None:
    before, asked = web.store.version(), 0
    for rule in web.app.url_map.iter_rules():
        address = rule.rule.replace("<slug>", "kvm-01")
        if "GET" in (rule.methods or set()) and "<" not in address:
            assert web.client.get(address).status_code != 500
            asked += 1
    assert asked > 8
    assert web.store.version() == before


def test_a_large_body_is_refused(web: Web) -> None:
    answer = web.post("/hosts/add", {"name": "x" * 100_000})
    assert answer.status_code == 413
    assert "larger" in answer.text


def test_the_session_key_is_made_once_and_kept_secret(tmp_path: Path) -> None:
    first = session_key(tmp_path)
    assert session_key(tmp_path) == first
    assert len(first) == 64
    path = tmp_path / "secrets" / "session-key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["session-key"]


def test_the_cookie_is_httponly_and_stays_on_the_site(web: Web) -> None:
    cookie = web.client.get("/").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_the_token_is_in_the_page_and_never_in_a_part(web: Web) -> None:
    token = web.token()
    assert len(token) > 40
    for address in PAGES:
        assert "csrf" not in web.text(part_of(address)).lower()


# --- errors ---------------------------------------------------------------------------------


def test_a_missing_page_is_a_page(web: Web) -> None:
    page = web.text("/hosts/never", 404)
    assert "<h1>Not found</h1>" in page
    assert "never" in page


def test_an_error_of_the_api_is_problem_json(web: Web) -> None:
    answer = web.client.get("/api/v1/nothing-here")
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
    problem = json.loads(answer.text)
    assert problem["status"] == 404
    assert problem["title"] == "Not Found"
    assert problem["detail"].endswith(".")


def test_an_error_of_a_part_is_a_message_in_the_corner(web: Web) -> None:
    answer = web.client.get("/ui/hosts/never", headers={"HX-Request": "true"})
    assert answer.status_code == 404
    assert answer.text.startswith('<hx-partial hx-target="#toasts"')
    assert "<html" not in answer.text


def test_a_wrong_method_says_which_are_right(web: Web) -> None:
    answer = web.client.get("/hosts/kvm-01/scan")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_an_unforeseen_error_is_a_sentence_and_is_logged(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    web.store.close()
    web.app.jinja_env.globals.pop("looks")
    answer = web.client.get("/hosts/kvm-01")
    assert answer.status_code in (500, 503)
    assert "Traceback" not in answer.text
    assert "<html" in answer.text
    assert caplog.records


# --- hostile texts and kept renderings --------------------------------------------------------


@pytest.mark.parametrize("address", PAGES)
def test_names_from_a_host_are_only_ever_text(web: Web, address: str) -> None:
    page = web.text(address)
    assert "<script>alert" not in page
    assert not re.search(r"<[a-z][^>]*\son[a-z]+=", page)
    assert not re.search(r"<[a-z][^>]*\sstyle=", page)
    assert "<style" not in page


def test_a_name_from_a_host_keeps_its_direction_to_itself(web: Web) -> None:
    page = web.text("/hosts/kvm-01")
    assert HOSTILE[-1] in "=1+1"
    for before in page.split("\u202e")[:-1]:
        assert before.rindex("<bdi>") > before.rfind("</bdi>")


def test_renderings_are_kept_for_one_object_and_bounded() -> None:
    kept = Kept(entries=2, size_bytes=100)
    basis, made = object(), []

    def make(size: int) -> Rendered:
        made.append(size)
        return Rendered(b"x" * size, "d")

    assert kept.get("a", basis, lambda: make(10)) is kept.get("a", basis, lambda: make(10))
    kept.get("a", object(), lambda: make(11))
    kept.get("b", basis, lambda: make(12))
    kept.get("c", basis, lambda: make(13))
    kept.get("a", basis, lambda: make(14))
    assert made == [10, 11, 12, 13, 14]
    kept.get("huge", basis, lambda: make(500))
    kept.get("c", basis, lambda: make(15))
    assert made[-1] == 15
