"""Sending: signed, once, later and later where it fails, and never held up by one that is silent.

Planted to see it fail: a try that is not committed before it is made, a try that may have arrived
made again, quiet hours in UTC, and an address that is looked up twice.
"""

import base64
import hashlib
import hmac
import socket
import threading
from collections.abc import Iterator
from datetime import datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.clock import DAY_MS, HOUR_MS, MINUTE_MS, utc
from app.notification.checks import refused_address
from app.notification.quiet import is_quiet, quiet_until
from app.notification.texts import Context, mail
from app.notification.values import Message, QuietHours
from app.notifier import sending, webhook
from app.notifier.sending import GIVE_UP_MS, retry_ms
from app.store.notification_log import WantedEvents, deliveries, events, messages
from app.store.notification_messages import take
from app.store.notification_rules import list_rules
from app.store.notification_targets import (
    WebhookSecret,
    add_target,
    edit_target,
    new_key,
    read_secret,
)
from tests.clocks import SteeredClock, steered
from tests.notification_support import (
    Notified,
    Post,
    Receiver,
    Request,
    notified,
    post_office,
    receiver,
)
from tests.waiting import until
from tests.web_support import HOSTILE

START_MS = 1_777_627_800_000


@pytest.fixture
def clock() -> Iterator[SteeredClock]:
    with steered(START_MS) as made:
        yield made


@pytest.fixture
def place(clock: SteeredClock, tmp_path: Path) -> Iterator[Notified]:
    with notified(tmp_path / "var", START_MS) as made:
        made.turn()
        yield made


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def happen(place: Notified, clock: SteeredClock, **fields: object) -> None:
    """Something that a rule about changes tells."""
    clock.step(60)
    place.is_off = not place.is_off
    place.scan(**{"state": "shutoff" if place.is_off else "running", **fields})


def states(place: Notified) -> list[tuple[str, str, int]]:
    """Kind, state and tries of every message, the oldest first."""
    found, _ = messages(place.store, limit=100)
    return [(one.kind, one.state, one.attempts) for one in reversed(found)]


def test_a_message_is_signed_as_standard_webhooks_are(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    target = place.webhook(hook.url)
    place.rule("change", target)
    happen(place, clock)
    place.turn()
    (request,) = hook.requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    key = read_secret(place.settings.data, target.id).key_bytes
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert headers["webhook-id"] == headers["idempotency-key"] == request.json["id"]
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert request.path == "/hook/secret-path"
    assert not {"cookie", "authorization", "referer"} & set(headers)


def test_what_is_not_taken_is_tried_again_later_and_later_with_the_same_id(
    place: Notified, clock: SteeredClock, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    hook.answer = lambda _: 503
    place.rule("change", place.webhook(hook.url))
    happen(place, clock)
    place.turn()
    place.turn()
    assert states(place) == [("alert", "waiting", 1)]
    for tries, wait_s in ((2, 19), (3, 37), (4, 73)):
        clock.step(wait_s)
        place.turn()
        assert states(place) == [("alert", "waiting", tries)]
    # Meanwhile more happened; it waits for its turn, and goes out as one.
    happen(place, clock)
    happen(place, clock)
    hook.answer = lambda _: 200
    clock.step(145)
    place.turn()
    assert states(place)[0] == ("alert", "sent", 5)
    place.turn()
    assert states(place)[1:] == [("alert", "sent", 1)]
    assert {body["id"] for body in hook.messages[:5]} == {hook.messages[0]["id"]}
    assert {request.body for request in hook.requests[:5]} == {hook.requests[0].body}
    assert len(hook.messages[5]["events"]) == 2
    assert "secret-path" not in caplog.text


def test_a_message_is_given_up_after_a_day_and_the_next_one_goes_out(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    hook.answer = lambda _: 500
    place.rule("change", place.webhook(hook.url))
    happen(place, clock)
    place.turn()
    clock.step(DAY_MS / 1000)
    place.turn()
    assert states(place) == [("alert", "failed", 2)]
    hook.answer = lambda _: 200
    place.at_ms += DAY_MS
    happen(place, clock)
    place.turn()
    assert states(place)[1:] == [("alert", "sent", 1)]


def test_waits_double_up_to_a_quarter_of_an_hour_and_end_after_a_day(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("change", place.webhook(hook.url))
    happen(place, clock)
    place.notifier._look(list_rules(place.store))
    taken = take(place.store, 1, START_MS + HOUR_MS)
    assert taken is not None
    made_ms = taken.message.made_ms
    for tries, middle_ms in ((1, 15_000), (2, 30_000), (3, 60_000), (7, 900_000), (60, 900_000)):
        message = replace(taken.message, attempts=tries)
        waits = [(retry_ms(message, made_ms) or 0) - made_ms for _ in range(50)]
        assert min(waits) >= 0.79 * middle_ms
        assert max(waits) <= 1.21 * middle_ms
        assert len(set(waits)) > 10
    assert retry_ms(taken.message, made_ms + GIVE_UP_MS) is None


def test_what_was_being_sent_when_npvirt_ended_is_not_sent_again_but_told_of(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    """As after `kill -9` between the try and what came of it: the receiver may have it."""
    place.rule("change", place.webhook(hook.url))
    happen(place, clock)
    place.notifier._look(list_rules(place.store))
    taken = take(place.store, 1, START_MS + HOUR_MS)
    assert taken is not None
    clock.step(60)
    place.again()
    place.turn()
    assert states(place) == [("alert", "unknown", 1), ("unsure", "sent", 1)]
    (message,) = hook.messages
    assert (message["type"], message["events"]) == ("npvirt.unsure", [])
    assert message["id"] != taken.message.uid
    assert taken.message.subject in message["subject"]
    place.again()
    place.turn()
    assert len(hook.requests) == 1


def test_what_was_found_but_not_yet_sent_when_npvirt_ended_is_sent_once(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("change", place.webhook(hook.url))
    happen(place, clock)
    place.notifier._look(list_rules(place.store))
    place.again()
    place.turn()
    place.turn()
    assert len(hook.events()) == 1


def test_a_receiver_that_goes_silent_after_it_got_everything_is_not_sent_it_again(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    hook.answer = lambda request: None if request.json["type"] == "npvirt.alert" else 200
    place.rule("change", place.webhook(hook.url))
    happen(place, clock)
    place.turn()
    clock.step(DAY_MS / 1000)
    place.turn()
    assert states(place) == [("alert", "unknown", 1), ("unsure", "sent", 1)]
    assert len(hook.events()) == 1
    (event,) = events(place.store, WantedEvents(), limit=5)[0]
    (delivery,) = deliveries(place.store, [event.id])[event.id]
    assert delivery.message_state == "unknown"


def test_one_that_does_not_answer_holds_up_no_other(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    release = threading.Event()

    def hold(_: Request) -> int:
        release.wait(60)
        return 200

    with receiver() as stuck:
        stuck.answer = hold
        place.rule("change", place.webhook(stuck.url, "stuck"), place.webhook(hook.url))
        happen(place, clock)
        place.notifier.turn()
        until(lambda: hook.requests and stuck.requests)
        # The turn is over and the next ones go on, too.
        happen(place, clock)

        def told() -> bool:
            place.notifier.turn()
            return len(hook.events()) == 2

        until(told)
        assert len(stuck.requests) == 1
        release.set()
        assert place.notifier.sender.wait(30)


def test_redirects_are_not_followed_and_refusals_are_told_in_words(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    hook.answer = lambda _: 302
    target = place.webhook(hook.url)
    outcome = sending.send_test(place.settings, place.store, target.id)
    assert (outcome.state, outcome.status) == ("failed", 302)
    assert "redirect" in (outcome.sentence or "")
    assert [request.path for request in hook.requests] == ["/hook/secret-path"]
    gone = place.webhook("http://127.0.0.1:1/x", "gone")
    outcome = sending.send_test(place.settings, place.store, gone.id)
    assert outcome.sentence == "127.0.0.1 cannot be reached: Connection refused."
    nowhere = place.webhook("http://nowhere.invalid/x", "nowhere")
    sentence = sending.send_test(place.settings, place.store, nowhere.id).sentence or ""
    assert sentence.startswith("The name nowhere.invalid cannot be looked up")
    plain = place.webhook(hook.url.replace("http:", "https:"), "plain")
    sentence = sending.send_test(place.settings, place.store, plain.id).sentence or ""
    assert sentence.startswith("TLS with 127.0.0.1 failed")


def test_a_name_that_leads_to_a_special_address_is_not_sent_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever else it leads to, and without asking again."""
    asked: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        return [(0, 0, 0, "", ("93.184.216.34", port)), (0, 0, 0, "", ("169.254.169.254", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    secret = WebhookSecret("http://rebound.test/x", new_key())
    outcome = webhook.post(secret, "id", 0, b"{}")
    assert outcome.state == "failed"
    assert "169.254.169.254" in outcome.sentence
    assert asked == ["rebound.test"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd12::1",
                                     "8.8.8.8", "example.net"])  # fmt: skip
def test_a_house_may_be_sent_to(address: str) -> None:
    assert refused_address(address) == ""


def test_an_answer_that_drips_for_ever_ends_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.notifier.webhook.DEADLINE_S", 1.0)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                while not stop.wait(0.1):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        outcome = webhook.post(WebhookSecret(url, new_key()), "id", 0, b"{}")
        stop.set()
        thread.join(30)
    assert outcome.state == "unknown"


# --- mail ------------------------------------------------------------------------------------


@pytest.fixture
def post() -> Iterator[Post]:
    with post_office() as made:
        yield made


@pytest.fixture
def mailing(clock: SteeredClock, post: Post, tmp_path: Path) -> Iterator[Notified]:
    """A rule about all changes, told by mail to two."""
    with notified(
        tmp_path / "var", START_MS, NPVIRT_SMTP_SERVER=f"127.0.0.1:{post.port}",
        NPVIRT_SMTP_SECURITY="none", NPVIRT_SMTP_FROM="npvirt@example.test",
    ) as made:  # fmt: skip
        made.turn()
        target = add_target(
            made.store, made.settings.data, "ops", "mail", "a@example.test, b@example.test", "ada"
        )
        made.rule("change", target)
        yield made


def test_a_mail_goes_to_all_its_addresses_with_an_id_of_its_own(
    mailing: Notified, clock: SteeredClock, post: Post
) -> None:
    happen(mailing, clock)
    mailing.turn()
    (text,) = post.mails
    made = message_from_bytes(text, policy=default)
    assert made["Subject"] == "[npvirt] VM web on kvm-01: stopped"
    assert (made["From"], made["To"]) == ("npvirt@example.test", "a@example.test, b@example.test")
    assert made["Auto-Submitted"] == "auto-generated"
    message = messages(mailing.store, limit=1)[0][0]
    assert made["Message-ID"] == f"<{message.uid}@example.test>"
    body = made.get_content()
    assert "2026-05-01 09:31:00 +0000" in body
    assert "http://127.0.0.1:8040/hosts/kvm-01/domains/" in body
    assert [line for line in post.lines if line.startswith(("MAIL", "RCPT", "mail", "rcpt"))] == [
        "mail FROM:<npvirt@example.test>", "rcpt TO:<a@example.test>", "rcpt TO:<b@example.test>",
    ]  # fmt: skip


def test_a_hostile_name_changes_neither_headers_nor_addresses(
    mailing: Notified, clock: SteeredClock, post: Post
) -> None:
    name = f"x\r\nBcc: evil@example.test\r\n\r\n.\r\n{HOSTILE}"
    happen(mailing, clock, name=name)
    mailing.turn()
    (text,) = post.mails
    made = message_from_bytes(text, policy=default)
    assert made["Bcc"] is None
    assert made["To"] == "a@example.test, b@example.test"
    assert not any("evil" in line for line in post.lines)
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in made.get_content()


def test_a_hostile_name_is_text_in_json_and_calls_nobody_in_chats(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    place.rule("change", place.webhook(hook.url))
    happen(place, clock, name=f"<!channel> @all [x](http://evil) `x` {HOSTILE}\x00\x1b[31m")
    place.turn()
    (message,) = hook.messages
    assert not set("<>@[]`\x00\x1b\N{RIGHT-TO-LEFT OVERRIDE}") & set(message["text"])
    titles = [event["title"] for event in message["events"]]
    assert all(not set("\x00\x1b\r\n\N{RIGHT-TO-LEFT OVERRIDE}") & set(one) for one in titles)


@given(st.text())
def test_no_subject_breaks_a_mail(subject: str) -> None:
    message = Message(1, "u", 1, "ops", "unsure", subject, 0, "sending", 1, START_MS, None, None,
                      None, None, None, None, None, None)  # fmt: skip
    made = mail(message, (), Context("http://x"), "a@b.test", "c@d.test")
    parsed = message_from_bytes(made.as_bytes(), policy=default)
    assert parsed["To"] == "c@d.test"
    assert set(parsed.keys()) == {
        "Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "Content-Type",
        "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ({"RCPT": "550 no"}, "waiting"),
        ({"MAIL": "451 later"}, "waiting"),
        ({"DATA": "554 no"}, "waiting"),
        ({".": "452 full"}, "waiting"),
        ({"RCPT": None}, "waiting"),
        ({".": None}, "unknown"),
    ],
    ids=["recipient", "sender", "data", "text", "cut off before", "cut off after"],
)
def test_what_a_mail_server_refuses_is_tried_again_and_what_it_may_have_taken_is_not(
    mailing: Notified,
    clock: SteeredClock,
    post: Post,
    answers: dict[str, str | None],
    state: str,
) -> None:
    post.answers = answers
    happen(mailing, clock)
    mailing.turn()
    assert states(mailing)[0] == ("alert", state, 1)
    post.answers = {}
    clock.step(60)
    mailing.turn()
    assert states(mailing)[0][1] == ("sent" if state == "waiting" else "unknown")


# --- quiet hours -----------------------------------------------------------------------------

NIGHT = QuietHours(22 * 60, 7 * 60, "Europe/Berlin")


def test_what_happens_in_quiet_hours_comes_afterwards_as_one_message(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    # 09:30 UTC is 11:30 in Berlin.
    noon = QuietHours(11 * 60, 13 * 60, "Europe/Berlin")
    target = place.webhook(hook.url)
    place.rule("change", target, quiet=noon)
    for _ in range(3):
        happen(place, clock)
    place.turn()
    assert hook.requests == []
    assert sending.send_test(place.settings, place.store, target.id).state == "sent"
    # After a restart as well, and not before the clock in Berlin shows 13:00.
    place.again()
    clock.step((START_MS + 90 * MINUTE_MS - MINUTE_MS - clock.now_ms()) / 1000)
    place.turn()
    assert len(hook.requests) == 1
    clock.step(61)
    place.turn()
    assert len(hook.messages[1]["events"]) == 3


def test_what_is_not_to_come_afterwards_stays_in_the_list_alone(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    noon = QuietHours(11 * 60, 13 * 60, "Europe/Berlin", "nothing")
    place.rule("change", place.webhook(hook.url), quiet=noon)
    happen(place, clock)
    place.turn()
    clock.step(4 * 3600)
    place.turn()
    assert hook.requests == []
    (event,) = events(place.store, WantedEvents(), limit=5)[0]
    (delivery,) = deliveries(place.store, [event.id])[event.id]
    assert delivery.state == "kept-back"


def test_what_waits_for_a_target_that_is_switched_off_is_not_sent_later(
    place: Notified, clock: SteeredClock, hook: Receiver
) -> None:
    hook.answer = lambda _: 500
    target = place.webhook(hook.url)
    place.rule("change", target)
    happen(place, clock)
    place.turn()
    edit_target(place.store, place.settings.data, target.id, "hook", enabled=False)
    edit_target(place.store, place.settings.data, target.id, "hook", enabled=True)
    clock.step(3600)
    place.turn()
    assert len(hook.requests) == 1
    assert states(place) == [("alert", "failed", 1)]


def _at(text: str, zone: str = "Europe/Berlin") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("hours", "at", "until"),
    [
        (NIGHT, "2026-03-28T23:00", "2026-03-29T07:00"),
        (NIGHT, "2026-10-24T23:00", "2026-10-25T07:00"),
        # 02:30 is skipped in spring: it is over at the skip.
        (QuietHours(60, 150, "Europe/Berlin"), "2026-03-29T01:30", "2026-03-29T03:00"),
        # 02:00 to 02:30 is shown twice in autumn.
        (QuietHours(60, 150, "Europe/Berlin"), "2026-10-25T01:30", "2026-10-25T02:30"),
        (NIGHT, "2026-06-01T12:00", "2026-06-01T12:00"),
    ],
)
def test_quiet_hours_follow_the_clock_on_the_wall(hours: QuietHours, at: str, until: str) -> None:
    assert quiet_until(hours, _at(at)) == _at(until)


@given(
    st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 4_000_000_000_000),
    st.sampled_from(["Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe",
                     "Asia/Kathmandu"]),
)  # fmt: skip
def test_quiet_hours_end_at_the_first_minute_that_is_not_quiet(
    begin: int, end: int, at_ms: int, zone: str
) -> None:
    if begin == end:
        return
    hours = QuietHours(begin, end, zone)
    until_ms = quiet_until(hours, at_ms)
    assert not is_quiet(hours, until_ms)
    assert at_ms <= until_ms <= at_ms + 25 * HOUR_MS
    if until_ms > at_ms:
        assert is_quiet(hours, at_ms)
        assert is_quiet(hours, until_ms - MINUTE_MS) or until_ms - MINUTE_MS < at_ms
        assert utc(until_ms).second == 0
