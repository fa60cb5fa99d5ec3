"""Rules and targets made in the browser and through the API, and what is shown of what was told."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.notifier.notifier import Notifier
from app.notifier.sending import Sender
from app.store.audit import Wanted, records
from app.store.notification_rules import list_rules
from app.store.notification_targets import list_targets, read_secret
from app.store.secret_files import pack_secrets
from tests.notification_support import Receiver, receiver
from tests.signing import bearer
from tests.web_support import ORIGIN, Web, fill, make_web

RULES, TARGETS = "/api/v1/notifications/rules", "/api/v1/notifications/targets"
PATH = "T0P-s3cret/path?token=h1dden"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    made = make_web(tmp_path_factory.mktemp("notified") / "var", NPVIRT_TIMEZONE="UTC")
    fill(made.store)
    yield made
    made.store.close()


@pytest.fixture
def web(shared: Web) -> Iterator[Web]:
    """The same panel for every test, each of which begins without rules and targets."""
    shared.sign_in()
    headers = {**bearer(shared.store, "admin"), **ORIGIN}
    shared.__dict__["headers"] = headers
    for kind, listed in ((RULES, list_rules), (TARGETS, list_targets)):
        for one in listed(shared.store):
            shared.client.delete(f"{kind}/{one.id}", headers=headers)
    yield shared
    shared.sign_in()


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def ask(web: Web, method: str, address: str, body: Any = None, status: int = 200) -> Any:
    """Ask the API as an admin."""
    headers = web.__dict__["headers"]
    data = None if body is None else json.dumps(body)
    answer = web.client.open(address, method=method, data=data, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.get_json() if answer.data else None


def a_target(web: Web, url: str, name: str = "chat") -> Any:
    return ask(web, "POST", TARGETS, {"name": name, "kind": "webhook", "url": url}, 201)


def a_rule(name: str = "full", **fields: Any) -> dict[str, Any]:
    return {"name": name, "kind": "pool-full", "percent": 90, "pause_minutes": 0, **fields}


def tell(web: Web) -> Notifier:
    """Find out what is to be told, and tell it."""
    notifier = Notifier(web.settings, web.store, Sender(web.settings, web.store, between_s=0))
    notifier.turn()
    assert notifier.sender.wait(30)
    return notifier


def test_a_rule_is_made_read_changed_and_removed_through_the_api(web: Web) -> None:
    target = a_target(web, "http://127.0.0.1:9/x")["item"]["id"]
    quiet = {"from": "22:00", "to": "07:00", "zone": "Europe/Berlin", "then": "digest"}
    made = ask(web, "POST", RULES, a_rule(targets=[target], quiet=quiet, note="wakes"), 201)["item"]
    assert (made["percent"], made["minutes"], made["quiet"]) == (90, None, quiet)
    assert made["created_by"].startswith("token:")
    one = f"{RULES}/{made['id']}"
    assert ask(web, "GET", one) == made
    changed = ask(web, "PUT", one, a_rule(percent=80, targets=[target], enabled=False))["item"]
    assert (changed["percent"], changed["enabled"], changed["quiet"]) == (80, False, None)
    assert ask(web, "GET", RULES)["items"] == [changed]
    ask(web, "DELETE", one, status=204)
    assert ask(web, "GET", one, status=404)["status"] == 404
    actions = [one.action for one in records(web.store, Wanted(), limit=4)[0]]
    assert actions[:3] == [
        "notification-rule-remove", "notification-rule-edit", "notification-rule-add",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (a_rule(name=""), "name"),
        (a_rule(name="a\nb"), "name"),
        (a_rule(kind="weather"), "kind"),
        (a_rule(severity="loud"), "severity"),
        (a_rule(percent=0), "percent"),
        (a_rule(percent=10**30), "percent"),
        (a_rule(minutes=5), "minutes"),
        (a_rule(targets=[987654]), "target"),
        (a_rule(pause_minutes=-1), "pause_minutes"),
        (a_rule(hosts="x" * 401), "hosts"),
        ({**a_rule(), "kind": "change", "percent": None, "what": ["nonsense"]}, "what"),
        (a_rule(quiet={"from": "24:00", "to": "07:00", "zone": "UTC"}), "quiet_from"),
        (a_rule(quiet={"from": "07:00", "to": "07:00", "zone": "UTC"}), "quiet_to"),
        (a_rule(quiet={"from": "22:00", "to": "07:00", "zone": "../etc/passwd"}), "quiet_zone"),
        (a_rule(unheard="of"), "body"),
        ([], "body"),
    ],
)
def test_bad_rules_are_refused_with_the_field_and_change_nothing(
    web: Web, body: Any, field: str
) -> None:
    answer = ask(web, "POST", RULES, body, 422)
    assert answer["invalid"][0]["name"] == field
    assert list_rules(web.store) == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.net/", "file:///etc/passwd", "gopher://x/", "javascript:alert(1)", "//x/y",
        "http://user:pw@example.net/", "http://", "http://exa mple.net/", "https://x/#y",
        "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/", "http://0.0.0.0/", "http://[64:ff9b::a9fe:a9fe]/",
        "http://224.0.0.1/", "http://x:99999/", "http://[::1", "http://x\r\nHost: y/",
        "x" * 2001,
    ],
    ids=lambda url: url[:20],
)  # fmt: skip
def test_addresses_that_nothing_is_sent_to_are_refused(web: Web, url: str) -> None:
    body = {"name": "bad", "kind": "webhook", "url": url}
    assert ask(web, "POST", TARGETS, body, 422)["invalid"][0]["name"] == "url"
    assert list_targets(web.store) == []


@pytest.mark.parametrize("addresses", ["", "ops", "a@b\r\nBcc: c@d", "a@b, <c@d>", "a b@c"])
def test_mail_addresses_are_plain(web: Web, addresses: str) -> None:
    body = {"name": "bad", "kind": "mail", "addresses": addresses}
    assert ask(web, "POST", TARGETS, body, 422)["invalid"][0]["name"] == "addresses"


def test_what_is_secret_of_a_target_is_in_its_file_and_nowhere_else(
    web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = a_target(web, f"http://127.0.0.1:9/{PATH}")
    key, target_id = made["key"], made["item"]["id"]
    assert made["item"]["address"] == "http://127.0.0.1:9"
    assert key.startswith("whsec_")
    ask(web, "POST", f"{TARGETS}/{target_id}/test")
    shown = [json.dumps(ask(web, "GET", TARGETS)), json.dumps(ask(web, "GET", RULES))]
    for address in ("/notifications", "/notifications/targets", "/notifications/messages",
                    f"/notifications/targets/{target_id}/edit", "/audit",
                    "/api/v1/notifications/messages", "/api/v1/audit"):  # fmt: skip
        shown.append(web.text(address))
    copy = tmp_path / "copy.sqlite"
    web.store.backup(copy)
    shown += [caplog.text, copy.read_bytes().decode("latin-1")]
    for text in shown:
        assert "s3cret" not in text
        assert "h1dden" not in text
        assert key not in text
    path = web.settings.data / "secrets" / f"target-{target_id}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert pack_secrets(web.settings.data, tmp_path / "secrets.tar") >= 2
    ask(web, "DELETE", f"{TARGETS}/{target_id}", status=204)
    assert not path.exists()


def test_a_key_is_made_anew_when_asked_and_the_address_stays(web: Web) -> None:
    made = a_target(web, f"http://127.0.0.1:9/{PATH}")
    target_id = made["item"]["id"]
    body = {"name": "chat", "kind": "webhook"}
    assert ask(web, "PUT", f"{TARGETS}/{target_id}", body)["key"] is None
    key = ask(web, "PUT", f"{TARGETS}/{target_id}", {**body, "new_key": True})["key"]
    secret = read_secret(web.settings.data, target_id)
    assert key not in (None, made["key"])
    assert (secret.key, secret.url) == (key, f"http://127.0.0.1:9/{PATH}")
    moved = {**body, "url": "https://[::1]:8443/y"}
    assert (
        ask(web, "PUT", f"{TARGETS}/{target_id}", moved)["item"]["address"] == "https://[::1]:8443"
    )
    assert read_secret(web.settings.data, target_id).key == key


def test_a_test_is_sent_at_once_labelled_and_its_answer_shown(web: Web, hook: Receiver) -> None:
    target_id = a_target(web, hook.url)["item"]["id"]
    answer = web.post(f"/notifications/targets/{target_id}/test")
    assert answer.headers["Location"] == "/notifications/targets"
    assert "chat: Taken (204)." in web.text("/notifications/targets")
    (message,) = hook.messages
    assert (message["type"], message["events"]) == ("npvirt.test", [])
    assert "Test" in message["subject"]
    hook.answer = lambda _: 500
    told = ask(web, "POST", f"{TARGETS}/{target_id}/test")["item"]
    assert (told["state"], told["status"], told["attempts"]) == ("failed", 500, 1)
    outcomes = [one.outcome for one in records(web.store, Wanted(text="target-test"), limit=2)[0]]
    assert outcomes == ["failed", "ok"]
    # It is not tried again, by nobody.
    tell(web)
    assert len(hook.requests) == 2


def test_a_rule_is_made_by_the_form_and_its_errors_stand_beside_the_fields(
    web: Web, hook: Receiver
) -> None:
    target = a_target(web, hook.url)["item"]["id"]
    page = web.text("/notifications/rules/add?kind=pool-full")
    assert "At this share and above" in page
    form = {"name": "Pools", "kind": "pool-full", "severity": "critical", "threshold": "120",
            "pause_minutes": "0", "target": str(target), "enabled": "on", "hosts": "kvm-*",
            "objects": "", "note": "", "quiet_from": "", "quiet_to": "", "quiet_zone": "UTC",
            "quiet_then": "digest"}  # fmt: skip
    refused = web.post("/notifications/rules/add", form)
    assert refused.status_code == 422
    assert "percent is a whole number from 1 to 100." in refused.text
    assert 'value="Pools"' in refused.text
    assert web.post("/notifications/rules/add", {**form, "threshold": "92"}).status_code == 303
    (rule,) = list_rules(web.store)
    assert (rule.threshold, rule.target_ids, rule.hosts) == (92, (target,), "kvm-*")
    assert "Pool above 92 %" in web.text("/notifications/rules")
    edit = f"/notifications/rules/{rule.id}/edit"
    assert 'value="92"' in web.text(edit)
    assert web.post(edit, {**form, "name": "Pools again", "threshold": "50"}).status_code == 303
    assert [one.name for one in list_rules(web.store)] == ["Pools again"]
    assert web.post(f"/notifications/rules/{rule.id}/remove").status_code == 303
    assert list_rules(web.store) == []


def test_a_target_is_made_by_the_form_and_its_key_shown_once(web: Web) -> None:
    form = {"name": "chat", "kind": "webhook", "url": "http://169.254.169.254/", "enabled": "on",
            "note": ""}  # fmt: skip
    refused = web.post("/notifications/targets/add", form)
    assert refused.status_code == 422
    assert "link-local" in refused.text
    made = web.post("/notifications/targets/add", {**form, "url": "https://chat.test/hook"})
    assert "whsec_" in made.text
    assert "whsec_" not in web.text("/notifications/targets")
    (target,) = list_targets(web.store)
    edit = f"/notifications/targets/{target.id}/edit"
    assert web.post(edit, {**form, "url": "", "name": "other"}).status_code == 303
    assert web.post(f"/notifications/targets/{target.id}/remove").status_code == 303
    mail = {"name": "ops", "kind": "mail", "addresses": "a@b.test c@d.test", "enabled": "on"}
    assert web.post("/notifications/targets/add", mail).status_code == 303
    assert [one.address for one in list_targets(web.store)] == ["a@b.test, c@d.test"]


def test_who_sees_some_hosts_sees_what_was_told_of_them_alone(web: Web, hook: Receiver) -> None:
    target = a_target(web, hook.url)["item"]["id"]
    ask(web, "POST", RULES, a_rule("pools", percent=80, targets=[target]), 201)
    crashed = {"name": "crashes", "kind": "domain-crashed", "targets": [target]}
    ask(web, "POST", RULES, crashed, 201)
    tell(web)
    # kvm-01 and kvm-02 have a pool above 80 % and a crashed VM each; kvm-03 is not known.
    (message,) = hook.messages
    assert {event["host"] for event in message["events"]} == {"kvm-01", "kvm-02"}
    assert len(message["events"]) == 4
    told = json.loads(web.text("/api/v1/notifications"))
    assert (told["total"], len(told["alerts"])) == (4, 4)
    assert told["items"][0]["deliveries"][0]["state"] == "sent"
    assert "Pool images on kvm-01 is 93 % full" in web.text("/notifications")
    sent = json.loads(web.text("/api/v1/notifications/messages"))["items"][0]
    assert (sent["state"], sent["events"], sent["subject"][:15]) == ("sent", 4, "4 notifications")
    rows = web.text("/api/v1/notifications?format=csv").splitlines()
    assert len(rows) == 5
    web.sign_in("limited", "viewer", ["kvm-02"])
    for address in ("/notifications", "/api/v1/notifications"):
        text = web.text(address)
        assert "kvm-02" in text
        assert "kvm-01" not in text
    assert json.loads(web.text("/api/v1/notifications"))["total"] == 2
    for address in ("/notifications/rules", "/notifications/messages", "/notifications/targets"):
        assert web.client.get(address).status_code == 403
    web.sign_in("looker", "viewer")
    assert "Add rule" not in web.text("/notifications/rules")
    assert web.client.get("/notifications/targets").status_code == 403


def test_questions_that_make_no_sense_are_refused(web: Web) -> None:
    for address in ("/api/v1/notifications?at=0", "/api/v1/notifications?page=0",
                    "/api/v1/notifications?page=" + "9" * 5000,
                    "/api/v1/notifications/messages?state=lost", "/notifications?page=x",
                    "/notifications/rules/add?kind=x",
                    "/notifications/targets/add?kind=x"):  # fmt: skip
        assert web.client.get(address).status_code == 422, address
