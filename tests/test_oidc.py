"""Sign-in by OpenID Connect, against a provider of somebody else's that runs beside the tests."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, expect

from app.errors import Conflict, NotFound, SettingsError
from app.settings import load
from app.store.audit import Wanted, records
from app.store.users import add_user, arrive, get_user, set_disabled
from app.web.oidc import role_of
from tests.browser_support import served
from tests.ports import free_port
from tests.web_support import Web, fill, make_web

ROLES = "npvirt-admins=admin,ops=operator,staff=viewer"
USERS: dict[str, dict[str, Any]] = {
    "1001": {"preferred_username": "Grace", "groups": ["staff", "ops"]},
    "1002": {"preferred_username": "edsger", "groups": ["guests"]},
    "1003": {"groups": ["staff"]},
    "1004": {"preferred_username": "grace", "groups": ["npvirt-admins"]},
    "1005": {"preferred_username": "<script>", "groups": ["npvirt-admins"]},
}


@contextmanager
def _provider(*options: str) -> Iterator[str]:
    port = free_port()
    users = [f"--user-claims={json.dumps({'sub': sub, **more})}" for sub, more in USERS.items()]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "-p", str(port)]
    with subprocess.Popen([*command, *options, *users], stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(issuer: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            requests.get(f"{issuer}/.well-known/openid-configuration", timeout=60)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the provider did not start")


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with _provider("--require-nonce", "true") as address:
        yield address


def _web(data: Path, issuer: str, **settings: str) -> Web:
    secret = data.parent / "secret"
    secret.write_text("the secret of npvirt\n")
    settings = {
        "NPVIRT_OIDC_ROLES": ROLES,
        "NPVIRT_OIDC_CLIENT_SECRET_FILE": str(secret),
        **settings,
    }
    made = make_web(data, NPVIRT_TIMEZONE="UTC", NPVIRT_OIDC_ISSUER=issuer, **settings)
    made.sign_out()
    fill(made.store)
    return made


@pytest.fixture
def web(tmp_path: Path, issuer: str) -> Iterator[Web]:
    made = _web(tmp_path / "var", issuer)
    yield made
    made.store.close()


def _asked(web: Web, wanted: str = "/domains") -> str:
    """Where npvirt sends the browser."""
    answer = web.client.get(f"/login/oidc?{urlencode({'next': wanted})}")
    assert answer.status_code == 302
    return str(answer.headers["Location"])


def _back(address: str, subject: str) -> str:
    """The way back from the provider, once `subject` signed in there; path and query."""
    answer = requests.post(address, data={"sub": subject}, allow_redirects=False, timeout=60)
    assert answer.status_code == 302, answer.text
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.path}?{parts.query}"


def _arrives(web: Web, subject: str) -> Any:
    return web.client.get(_back(_asked(web), subject))


def _refusals(web: Web) -> list[str]:
    found, _ = records(web.store, Wanted(outcome="refused"), limit=10)
    return [record.sentence or "" for record in found]


def test_a_user_of_the_provider_signs_in_with_the_highest_role_of_their_groups(web: Web) -> None:
    answer = _arrives(web, "1001")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/domains"
    assert web.client.get("/domains").status_code == 200
    user = get_user(web.store, "grace")
    assert (user.role, user.source, user.has_password) == ("operator", "oidc", False)
    (signed_in, *_), _ = records(web.store, Wanted(action="sign-in"), limit=1)
    assert signed_in.parameters == {"by": "OpenID Connect"}


def test_the_request_carries_state_nonce_and_a_proof_key(web: Web) -> None:
    query = urlsplit(_asked(web)).query
    for name in ("state=", "nonce=", "code_challenge=", "code_challenge_method=S256"):
        assert name in query


@pytest.mark.parametrize(
    ("subject", "sentence"),
    [
        ("1002", "None of your groups has a role"),
        ("1003", "does not tell your name"),
        ("1005", "A name is up to"),
    ],
)
def test_who_has_no_role_or_no_usable_name_is_refused_in_words(
    web: Web, subject: str, sentence: str
) -> None:
    answer = _arrives(web, subject)
    assert answer.status_code == 403
    assert sentence in answer.text
    assert sentence in _refusals(web)[0]
    assert web.client.get("/domains").status_code == 303


def test_a_name_that_another_subject_has_is_not_given_away(web: Web) -> None:
    assert _arrives(web, "1001").status_code == 303
    web.client.delete_cookie("npvirt")
    answer = _arrives(web, "1004")
    assert answer.status_code == 403
    assert "somebody else’s" in answer.text
    assert get_user(web.store, "grace").role == "operator"


def test_a_local_user_with_a_password_is_not_taken_over(web: Web) -> None:
    add_user(web.store, "grace", "admin", "a long password")
    assert _arrives(web, "1001").status_code == 403


def test_a_user_without_a_password_is_the_one_who_arrives_under_that_name(
    tmp_path: Path, issuer: str
) -> None:
    web = _web(tmp_path / "var", issuer, NPVIRT_OIDC_ROLES="")
    assert _arrives(web, "1001").status_code == 403
    add_user(web.store, "grace", "viewer", None, hosts=["kvm-01"])
    assert _arrives(web, "1001").status_code == 303
    user = get_user(web.store, "grace")
    assert user.role == "viewer"
    assert user.host_ids is not None
    assert web.client.get("/hosts/kvm-02").status_code == 404
    web.store.close()


def test_an_answer_that_nobody_asked_for_is_refused(web: Web) -> None:
    back = _back(_asked(web), "1001")
    other = web.app.test_client()
    assert other.get(back).status_code == 403
    forged = re.sub("state=[^&]+", "state=mine", back)
    assert web.client.get(forged).status_code == 403
    assert web.client.get("/login/oidc/callback").status_code == 403
    assert web.client.get("/domains").status_code == 303


def test_an_answer_works_once(web: Web) -> None:
    back = _back(_asked(web), "1001")
    assert web.client.get(back).status_code == 303
    web.client.delete_cookie("npvirt")
    assert web.client.get(back).status_code == 403


def test_who_says_no_at_the_provider_reads_why_they_are_not_in(web: Web) -> None:
    answer = requests.post(_asked(web), data={"action": "deny"}, allow_redirects=False, timeout=60)
    parts = urlsplit(answer.headers["Location"])
    refused = web.client.get(f"{parts.path}?{parts.query}")
    assert refused.status_code == 403
    assert "The sign-in server refused." in refused.text


def test_it_leads_nowhere_else_afterwards(web: Web) -> None:
    back = _back(_asked(web, "https://evil.test/"), "1001")
    assert web.client.get(back).headers["Location"] == "/"


def test_a_provider_that_is_away_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        web = _web(tmp_path / "var", f"http://127.0.0.1:{closed.getsockname()[1]}")
        answer = web.client.get("/login/oidc")
    assert answer.status_code == 502
    assert "does not answer as it should" in answer.text
    web.store.close()


def test_a_provider_of_another_name_is_refused(tmp_path: Path, issuer: str) -> None:
    web = _web(tmp_path / "var", issuer.replace("127.0.0.1", "localhost") + "/")
    answer = web.client.get("/login/oidc")
    # It names itself after the address that it is asked under, so this one agrees …
    assert answer.status_code == 302
    web.store.close()
    web = _web(tmp_path / "other", f"{issuer}/../")
    # … and this one does not.
    assert web.client.get("/login/oidc").status_code == 502
    web.store.close()


def test_without_settings_there_is_no_such_way_in(tmp_path: Path) -> None:
    web = make_web(tmp_path / "var")
    assert web.client.get("/login/oidc").status_code == 404
    web.sign_out()
    assert "OpenID" not in web.text("/login")
    web.store.close()


def test_roles_are_given_by_group_and_the_highest_counts() -> None:
    roles = load({"NPVIRT_OIDC_ROLES": ROLES + ",*=viewer"}).oidc_roles
    assert role_of(["staff", "npvirt-admins"], roles) == "admin"
    assert role_of([], roles) == "viewer"
    assert role_of(["guests"], {"staff": "viewer"}) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NPVIRT_OIDC_ISSUER", "http://login.example.net"),
        ("NPVIRT_OIDC_ISSUER", "login.example.net"),
        ("NPVIRT_OIDC_ROLES", "staff"),
        ("NPVIRT_OIDC_ROLES", "staff=root"),
        ("NPVIRT_OIDC_CLIENT_SECRET_FILE", "secret"),
        ("NPVIRT_OIDC_NAME_CLAIM", " "),
    ],
)
def test_settings_that_cannot_work_stop_the_start(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load({name: text})


def test_a_demoted_user_of_the_provider_loses_their_sessions(web: Web) -> None:
    assert _arrives(web, "1001").status_code == 303
    arrive(web.store, "grace", f"{web.settings.oidc_issuer} 1001", "viewer")
    assert web.client.get("/domains").status_code == 303


def test_a_disabled_user_stays_out(web: Web) -> None:
    assert _arrives(web, "1001").status_code == 303
    set_disabled(web.store, "grace", True)
    with pytest.raises(Conflict):
        arrive(web.store, "grace", f"{web.settings.oidc_issuer} 1001", "admin")
    with pytest.raises(NotFound):
        arrive(web.store, "nobody", "x y", None)


def test_the_button_leads_there_and_back(web: Web, chromium: Browser) -> None:
    with served(web.app) as base:
        page = chromium.new_page()
        page.goto(f"{base}/domains")
        page.get_by_role("link", name="Sign in with OpenID Connect").click()
        page.get_by_role("button", name="1001").click()
        expect(page).to_have_url(f"{base}/domains")
        expect(page.locator("h1")).to_have_text("Virtual machines")
        page.close()
