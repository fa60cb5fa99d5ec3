"""Signing in and out: the set-up link, passwords, sessions, the slow-down, the trusted proxy."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from app import clock
from app.store.audit import Wanted, records
from app.store.sessions import IDLE_MS, LONGEST_MS, list_sessions
from app.store.tokens import add_token, revoke_token
from app.store.users import (
    add_user,
    get_user,
    has_users,
    list_users,
    set_disabled,
    set_password,
    set_role,
)
from app.web.guard import local_path
from app.web.signin import setup_link
from app.web.slowdown import Slowdown
from tests.panel import panel
from tests.web_support import ORIGIN, Web, fill, make_web

PASSWORD = "correct horse battery"
SECRET = "a secret of the proxy's own"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC")
    fill(made.store)
    made.sign_out()
    add_user(made.store, "grace", "operator", PASSWORD)
    yield made
    made.store.close()


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Web]:
    """Npvirt as it is started for the first time: nobody can sign in."""
    made = make_web(tmp_path / "var")
    with made.store.writing() as connection:
        for table in ("session", "user"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    made.sign_out()
    yield made
    made.store.close()


def sign_in(web: Web, name: str, password: str, wanted: str = "/", **more: str) -> TestResponse:
    """What the form of the sign-in page sends, from a browser without a session."""
    web.sign_out()
    page = web.client.get("/login").text
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None
    form = {"csrf_token": found[1], "name": name, "password": password, "next": wanted}
    return web.client.post("/login", data=form, headers={**ORIGIN, **more})


def is_in(web: Web) -> bool:
    return web.client.get("/hosts").status_code == 200


def setup(web: Web, secret: str, name: str, password: str, again: str = "") -> TestResponse:
    page = web.client.get(f"/setup/{secret}").text
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    form = {"name": name, "password": password, "again": again or password}
    if found is not None:
        form["csrf_token"] = found[1]
    return web.client.post(f"/setup/{secret}", data=form, headers=ORIGIN)


# --- the first user ----------------------------------------------------------------------------


def _secret(web: Web) -> str:
    return setup_link(web.app, web.settings).rpartition("/")[2]


def test_the_set_up_link_makes_the_first_admin_once_and_signs_them_in(new: Web) -> None:
    secret = _secret(new)
    answer = setup(new, secret, "ada", PASSWORD)
    assert answer.status_code == 303
    assert is_in(new)
    assert [(user.name, user.role) for user in list_users(new.store)] == [("ada", "admin")]
    assert new.client.get(f"/setup/{secret}").status_code == 404
    assert setup(new, secret, "eve", PASSWORD).status_code in (403, 404)
    assert len(list_users(new.store)) == 1


@pytest.mark.parametrize("secret", ["", "x", "admin"])
def test_a_wrong_link_makes_nobody(new: Web, secret: str) -> None:
    assert new.client.get(f"/setup/{secret}").status_code in (303, 404)
    assert not has_users(new.store)


@pytest.mark.parametrize(
    ("name", "password", "again"),
    [
        ("ada", "short", "short"),
        ("ada", PASSWORD, "another one"),
        ("", PASSWORD, PASSWORD),
        ("Ada Lovelace", PASSWORD, PASSWORD),
        ("correct-horse", "correct-horse", "correct-horse"),
    ],
)
def test_a_first_admin_that_cannot_be_is_refused_with_a_sentence(
    new: Web, name: str, password: str, again: str
) -> None:
    answer = setup(new, _secret(new), name, password, again)
    assert answer.status_code == 422
    assert 'class="wrong"' in answer.text
    assert not has_users(new.store)


@pytest.mark.parametrize(
    ("name", "password"),
    [("admin", "admin"), ("admin", ""), ("root", "root"), ("npvirt", "npvirt")],
)
def test_there_is_no_default_account(new: Web, name: str, password: str) -> None:
    assert sign_in(new, name, password).status_code == 401
    assert not is_in(new)


def test_the_first_start_prints_the_link(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with panel(tmp_path / "var", users=False, stdout=None) as running:
        printed = running.until(lambda: re.search(r"(/setup/\S+)", capfd.readouterr().out))
        assert running.page(printed[1]) == 200
        assert running.page("/setup/another") == 404


# --- sessions ----------------------------------------------------------------------------------


def test_the_right_password_begins_a_session_and_goes_on(web: Web) -> None:
    answer = sign_in(web, "grace", PASSWORD, "/domains?q=web")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/domains?q=web"
    assert is_in(web)
    assert get_user(web.store, "grace").signed_in_at_ms is not None


@pytest.mark.parametrize(("name", "password"), [("grace", "wrong"), ("nobody", PASSWORD)])
def test_a_wrong_name_and_a_wrong_password_read_the_same(
    web: Web, name: str, password: str
) -> None:
    answer = sign_in(web, name, password)
    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.text
    assert not is_in(web)
    (record,), _ = records(web.store, Wanted(action="sign-in"), limit=1)
    assert (record.who, record.outcome) == (name, "refused")
    assert PASSWORD not in str(record)


def test_a_new_session_has_a_secret_of_its_own(web: Web) -> None:
    web.client.get("/login")
    before = web.client.get_cookie("npvirt")
    sign_in(web, "grace", PASSWORD)
    first = web.client.get_cookie("npvirt")
    sign_in(web, "grace", PASSWORD)
    assert before is not None
    assert first is not None
    assert before.value != first.value
    assert len(list_sessions(web.store)) >= 1


def test_the_cookie_is_for_this_site_and_no_script(tmp_path: Path) -> None:
    for url, secure in (("", False), ("https://npvirt.example.net", True)):
        web = make_web(tmp_path / str(secure), NPVIRT_PUBLIC_URL=url)
        web.sign_out()
        cookie = web.client.get("/login", headers={"Host": "localhost"}).headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert ("Secure" in cookie) == secure
        web.store.close()


def test_signing_out_ends_the_session_on_the_server_too(web: Web) -> None:
    sign_in(web, "grace", PASSWORD)
    kept = web.client.get_cookie("npvirt")
    assert kept is not None
    assert web.post("/logout").headers["Location"] == "/login"
    assert not is_in(web)
    web.client.set_cookie("npvirt", kept.value)
    assert not is_in(web)


def test_a_session_ends_when_it_was_long_unused(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(web, "grace", PASSWORD)
    began = clock.now_ms()
    monkeypatch.setattr(clock, "now_ms", lambda: began + IDLE_MS - 60_000)
    assert is_in(web)
    monkeypatch.setattr(clock, "now_ms", lambda: began + 2 * IDLE_MS - 120_000)
    assert is_in(web)
    monkeypatch.setattr(clock, "now_ms", lambda: began + 3 * IDLE_MS)
    assert not is_in(web)


def test_a_session_ends_after_a_week_however_busy(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(web, "grace", PASSWORD)
    began = clock.now_ms()
    for now_ms in range(began, began + LONGEST_MS, 6 * 3_600_000):
        monkeypatch.setattr(clock, "now_ms", partial(int, now_ms))
        assert is_in(web)
    monkeypatch.setattr(clock, "now_ms", partial(int, began + LONGEST_MS + 1000))
    assert not is_in(web)


def test_another_role_ends_the_sessions(web: Web) -> None:
    sign_in(web, "grace", PASSWORD)
    set_role(web.store, "grace", "viewer")
    assert not is_in(web)


def test_a_disabled_user_is_out_and_stays_out(web: Web) -> None:
    sign_in(web, "grace", PASSWORD)
    set_disabled(web.store, "grace", True)
    assert not is_in(web)
    assert sign_in(web, "grace", PASSWORD).status_code == 401


def test_changing_ones_password_ends_the_other_sessions_alone(web: Web) -> None:
    other = web.app.test_client()
    sign_in(web, "grace", PASSWORD)
    kept = web.client.get_cookie("npvirt")
    assert kept is not None
    other.set_cookie("npvirt", kept.value)
    sign_in(web, "nobody", "x")
    web.client.delete_cookie("npvirt")
    sign_in(web, "grace", PASSWORD)
    form = {"present": PASSWORD, "password": "a new password", "again": "a new password"}
    assert web.post("/account/password", form).status_code == 303
    assert is_in(web)
    assert other.get("/hosts").status_code == 303
    assert web.post("/account/password", form).status_code == 422
    web.sign_out()
    assert sign_in(web, "grace", PASSWORD).status_code == 401
    assert sign_in(web, "grace", "a new password").status_code == 303


def test_ones_own_sessions_are_listed_and_ended(web: Web) -> None:
    sign_in(web, "grace", PASSWORD)
    page = web.text("/account")
    assert "127.0.0.1" in page
    (mine,) = list_sessions(web.store, get_user(web.store, "grace").id)
    other = add_user(web.store, "alan", "viewer", PASSWORD)
    web2 = web.app.test_client()
    web2.get("/login")
    assert web.post("/account/sessions/99999/end").status_code == 404
    assert not list_sessions(web.store, other.id)
    assert web.post(f"/account/sessions/{mine.id}/end").status_code == 303
    assert not is_in(web)


def test_nobody_ends_the_session_of_another(web: Web) -> None:
    web.sign_in("ada")
    (hers,) = list_sessions(web.store, get_user(web.store, "ada").id)[:1]
    web.sign_out()
    sign_in(web, "grace", PASSWORD)
    assert web.post(f"/account/sessions/{hers.id}/end").status_code == 404
    assert web.post(f"/sessions/{hers.id}/end").status_code == 403
    assert hers.id in {one.id for one in list_sessions(web.store)}


def test_the_last_admin_stays(web: Web) -> None:
    web.sign_in("ada")
    for path, form in (("role", {"role": "viewer"}), ("disable", {})):
        answer = web.post(f"/users/ada/{path}", form)
        assert answer.status_code == 409
        assert "only admin" in answer.text
    assert get_user(web.store, "ada").role == "admin"


# --- where one is led, and where not -----------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)", "hosts", "",
     "/a\r\nSet-Cookie: x=1", "/\tevil", "\\\\evil", "/" + "a" * 3000, "/é"],
)  # fmt: skip
def test_next_leads_to_addresses_of_its_own_alone(web: Web, wanted: str) -> None:
    assert local_path(wanted) == "/"
    assert sign_in(web, "grace", PASSWORD, wanted).headers["Location"] == "/"


def test_who_is_not_signed_in_is_sent_there_in_the_form_they_read(web: Web) -> None:
    answer = web.client.get("/domains?q=web")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/login?next=/domains%3Fq%3Dweb"
    part = web.client.get(
        "/ui/domains", headers={"HX-Request": "true", "HX-Current-URL": "http://localhost/domains"}
    )
    assert part.status_code == 401
    assert part.headers["HX-Redirect"] == "/login?next=/domains"
    api = web.client.get("/api/v1/domains")
    assert api.status_code == 401
    assert api.headers["WWW-Authenticate"].startswith("Bearer")
    assert api.get_json()["status"] == 401
    assert web.client.get("/no/such/address").status_code == 303


# --- who guesses -------------------------------------------------------------------------------


def test_guessing_is_slowed_down_for_the_account_and_the_address(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long a password takes to check here, no time goes by.
    monkeypatch.setattr(clock, "monotonic_s", lambda: 1_000.0)
    for _ in range(5):
        answer = sign_in(web, "grace", "wrong")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert sign_in(web, "grace", PASSWORD).status_code == 429
    assert sign_in(web, "another", PASSWORD).status_code == 429
    assert not is_in(web)


def test_each_wrong_try_doubles_the_wait_up_to_a_minute() -> None:
    slowdown, now_s, waits = Slowdown(), 0.0, []
    for _ in range(14):
        slowdown.wrong(("account x",), now_s)
        waits.append(slowdown.wait_s(("account x", "peer y"), now_s))
        now_s += waits[-1]
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    slowdown.right("account x")
    assert slowdown.wait_s(("account x",), now_s) == 0


# --- the header of a proxy ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "headers", "allowed"),
    [
        ("10.1.1.1", {"X-Remote-User": "grace", "X-Npvirt-Proxy-Secret": SECRET}, True),
        ("10.1.1.1", {"X-Remote-User": "grace"}, False),
        ("10.1.1.1", {"X-Remote-User": "grace", "X-Npvirt-Proxy-Secret": "another"}, False),
        ("10.1.1.2", {"X-Remote-User": "grace", "X-Npvirt-Proxy-Secret": SECRET}, False),
        ("10.1.1.1", {"X-Remote-User": "nobody", "X-Npvirt-Proxy-Secret": SECRET}, False),
        ("10.1.1.2", {"X-Remote-User": "grace", "X-Npvirt-Proxy-Secret": SECRET,
                      "X-Forwarded-For": "10.1.1.1"}, False),
    ],
)  # fmt: skip
def test_the_proxy_names_the_user_if_it_is_the_one_that_is_trusted(
    tmp_path: Path, peer: str, headers: dict[str, str], allowed: bool
) -> None:
    web = make_web(
        tmp_path / "var",
        NPVIRT_PROXY_AUTH_SECRET=SECRET,
        NPVIRT_PROXY_AUTH_PEER="10.1.1.1",
        NPVIRT_PROXY_HOPS="1",
    )
    web.sign_out()
    add_user(web.store, "grace", "viewer", None)
    answer = web.client.get("/hosts", headers=headers, environ_base={"REMOTE_ADDR": peer})
    assert (answer.status_code == 200) == allowed
    web.store.close()


def test_without_the_setting_the_header_is_nothing(web: Web) -> None:
    headers = {"X-Remote-User": "grace", "X-Npvirt-Proxy-Secret": ""}
    assert web.client.get("/hosts", headers=headers).status_code == 303


# --- tokens ------------------------------------------------------------------------------------


def _asks(web: Web, text: str, scheme: str = "Bearer") -> int:
    headers = {"Authorization": f"{scheme} {text}"}
    return web.client.get("/api/v1/hosts", headers=headers).status_code


def test_a_token_works_until_it_is_revoked_or_expires(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = clock.now_ms()
    text = add_token(web.store, "t1", "viewer", created_by="x", expires_at_ms=now_ms + 60_000)
    lasting = add_token(web.store, "t2", "viewer", created_by="x")
    assert _asks(web, text) == _asks(web, lasting) == 200
    monkeypatch.setattr(clock, "now_ms", lambda: now_ms + 60_001)
    assert _asks(web, text) == 401
    assert _asks(web, lasting) == 200
    revoke_token(web.store, "t2")
    assert _asks(web, lasting) == 401


def test_what_is_no_token_is_nobody(web: Web) -> None:
    text = add_token(web.store, "t1", "viewer", created_by="x")
    for wrong in (text[:-1], text.upper(), "", "npt_", text + "x", "🦊"):
        assert _asks(web, wrong.encode().decode("latin-1")) == 401
    assert _asks(web, text, "Basic") == 401
    web.sign_in("ada")
    assert _asks(web, "wrong") == 401, "a wrong token is not made good by a cookie"


def test_the_store_keeps_no_secret_of_anybody(web: Web) -> None:
    text = add_token(web.store, "t1", "viewer", created_by="x")
    sign_in(web, "grace", PASSWORD)
    set_password(web.store, "grace", "another password")
    kept = b"".join(path.read_bytes() for path in web.store.path.parent.glob("npvirt.sqlite*"))
    for secret in (text, PASSWORD, "another password"):
        assert secret.encode() not in kept
    assert b"scrypt:" in kept
