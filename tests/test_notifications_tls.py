"""Mail over TLS to a server of somebody else's: what is sent is encrypted, and only to who shows a
certificate that is right.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from app.settings import Place
from app.store.notification_log import messages
from app.store.notification_targets import add_target
from tests.clocks import SteeredClock, steered
from tests.mail_support import PASSWORD, USER, Authority, MailServer, mail_server
from tests.notification_support import Notified, notified
from tests.test_notifications_sending import START_MS, happen, states

# aiosmtpd does not know of TLS that was there before it.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
BOTH = pytest.mark.parametrize("security", ["starttls", "tls"])


@pytest.fixture
def clock() -> Iterator[SteeredClock]:
    with steered(START_MS) as made:
        yield made


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The one authority that npvirt trusts."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    return made


@contextmanager
def mailing(
    directory: Path, security: str, server: MailServer, password: str = PASSWORD
) -> Iterator[Notified]:
    """A rule about all changes, told by mail through the server."""
    file = directory / "smtp-password"
    file.write_text(password)
    with notified(
        directory / "var", START_MS, NPVIRT_SMTP_SERVER=f"127.0.0.1:{server.port}",
        NPVIRT_SMTP_SECURITY=security, NPVIRT_SMTP_FROM="npvirt@example.test",
        NPVIRT_SMTP_USER=USER, NPVIRT_SMTP_PASSWORD_FILE=str(file),
    ) as made:  # fmt: skip
        made.turn()
        data = made.settings.data
        made.rule("change", add_target(made.store, data, "ops", "mail", "a@example.test", "ada"))
        yield made


def said(place: Notified) -> str:
    """What came of the last try."""
    return messages(place.store, limit=1)[0][0].sentence or ""


@BOTH
def test_a_mail_is_sent_encrypted_by_who_signed_in(
    security: str, clock: SteeredClock, authority: Authority, tmp_path: Path
) -> None:
    with (
        mail_server(security, authority.context()) as server,
        mailing(tmp_path, security, server) as place,
    ):
        happen(place, clock)
        place.turn()
        assert states(place) == [("alert", "sent", 1)], said(place)
        (mail,) = server.mails
        assert (mail.recipients, mail.tls, mail.signed_in) == (["a@example.test"], "TLSv1.3", True)
        made = message_from_bytes(mail.text, policy=default)
        assert made["Subject"] == "[npvirt] VM web on kvm-01: stopped"


def _of_nobody_known(good: Authority, directory: Path) -> ssl.SSLContext:
    return Authority(directory, "stranger").context()


@BOTH
@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (_of_nobody_known, "unable to get local issuer certificate"),
        (lambda good, _: good.context(expired=True), "certificate has expired"),
        (lambda good, _: good.context(address="192.0.2.7"), "IP address mismatch"),
    ],
    ids=["unknown authority", "expired", "another name"],
)  # fmt: skip
def test_who_shows_a_bad_certificate_gets_neither_mail_nor_password_and_the_message_waits(
    security: str,
    shown: Callable[[Authority, Path], ssl.SSLContext],
    why: str,
    clock: SteeredClock,
    authority: Authority,
    tmp_path: Path,
) -> None:
    with (
        mail_server(security, shown(authority, tmp_path)) as server,
        mailing(tmp_path, security, server) as place,
    ):
        happen(place, clock)
        place.turn()
        assert states(place) == [("alert", "waiting", 1)]
        assert "127.0.0.1 shows a certificate that cannot be trusted: " in said(place)
        assert why in said(place)
        assert (server.mails, server.signed_in) == ([], [])
        with mail_server(security, authority.context()) as mended:
            place.settings = replace(place.settings, smtp_server=Place("127.0.0.1", mended.port))
            place.again()
            clock.step(60)
            place.turn()
            assert states(place) == [("alert", "sent", 2)]
            assert len(mended.mails) == 1


@BOTH
def test_a_wrong_password_is_told_without_naming_it(
    security: str, clock: SteeredClock, authority: Authority, tmp_path: Path
) -> None:
    with (
        mail_server(security, authority.context()) as server,
        mailing(tmp_path, security, server, "wrong") as place,
    ):
        happen(place, clock)
        place.turn()
        assert states(place) == [("alert", "waiting", 1)]
        assert said(place) == "The mail server refused npvirt's password."
        assert (server.mails, server.signed_in[:1]) == ([], [USER])


def test_nothing_is_said_in_the_clear_where_the_server_offers_no_tls(
    clock: SteeredClock, authority: Authority, tmp_path: Path
) -> None:
    with (
        mail_server("none", authority.context()) as server,
        mailing(tmp_path, "starttls", server) as place,
    ):
        happen(place, clock)
        place.turn()
        assert states(place) == [("alert", "waiting", 1)]
        assert said(place) == "The mail server would not begin TLS (454)."
        assert (server.mails, server.signed_in) == ([], [])
