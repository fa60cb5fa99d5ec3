"""Sending one message by SMTP, to the server that the settings name.

What fails before the text is handed over was not sent; once it was, and the server did not say
whether it took it, nobody knows.
"""

import re
import smtplib
import socket
import ssl
from contextlib import closing
from email.message import EmailMessage

from app.notifier.guarded import DEADLINE_S, Guard
from app.settings import Settings
from app.store.notification_messages import Outcome

NO_SERVER = "No mail server is set (NPVIRT_SMTP_SERVER), so npvirt sends no mail."


class _Refused(Exception):
    """The server refused a step, and how."""

    def __init__(self, sentence: str, status: int | None = None, detail: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.detail = detail


def send(settings: Settings, mail: EmailMessage, addresses: str) -> Outcome:
    """Send a mail and say what came of it; never raises over what a server does."""
    server = settings.smtp_server
    if server is None:
        return Outcome("failed", NO_SERVER)
    try:
        connected = socket.create_connection((server.host, server.port), timeout=DEADLINE_S / 2)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        return Outcome(
            "failed", f"The mail server {server.host} cannot be reached: {said or 'no answer'}."
        )
    session = smtplib.SMTP(local_hostname=socket.gethostname())
    # Its reader holds the connection as well.
    with Guard(connected) as guard, closing(session) as smtp:
        try:
            _greet(smtp, settings, guard)
            refused = _enveloped(smtp, settings, addresses.split(", "))
        except _Refused as error:
            return Outcome("failed", str(error), error.status, error.detail)
        except ssl.SSLCertVerificationError as error:
            shows = f"The mail server {server.host} shows a certificate that cannot be trusted"
            return Outcome("failed", f"{shows}: {error.verify_message}.")
        except (OSError, smtplib.SMTPException) as error:
            said = _reason(error)
            return Outcome("failed", f"The mail server {server.host} does not serve: {said}.")
        return _handed_over(smtp, mail, refused)


def _greet(smtp: smtplib.SMTP, settings: Settings, guard: Guard) -> None:
    """Begin a session over the guarded connection, encrypted and signed in as the settings say."""
    server = settings.smtp_server
    assert server is not None
    context = ssl.create_default_context()
    if settings.smtp_security == "tls":
        guard.secured(context, server.host)
    smtp.sock = guard.socket
    _expect(smtp.getreply(), 220, "greet npvirt")
    smtp.ehlo_or_helo_if_needed()
    if settings.smtp_security == "starttls":
        _expect(smtp.docmd("STARTTLS"), 220, "begin TLS")
        smtp.sock, smtp.file = guard.secured(context, server.host), None
        # What it said in the clear counts for nothing.
        smtp.ehlo_resp, smtp.esmtp_features, smtp.does_esmtp = None, {}, False
        smtp.ehlo()
    if settings.smtp_user and settings.smtp_password_file is not None:
        password = settings.smtp_password_file.read_text(encoding="utf-8").strip()
        try:
            smtp.login(settings.smtp_user, password)
        except smtplib.SMTPAuthenticationError as error:
            # Its words may hold what was sent.
            raise _Refused("The mail server refused npvirt's password.", error.smtp_code) from None


def _enveloped(smtp: smtplib.SMTP, settings: Settings, addresses: list[str]) -> list[str]:
    """Say whom it is from and for; the addresses that the server refused, if not all."""
    _expect(smtp.mail(settings.smtp_from), 250, "take mail from npvirt")
    refused: list[str] = []
    answer = (0, b"")
    for address in addresses:
        answer = smtp.rcpt(address)
        if answer[0] not in (250, 251):
            refused.append(address)
    if len(refused) == len(addresses):
        _expect(answer, 250, f"take mail for {addresses[-1]}")
    _expect(smtp.docmd("DATA"), 354, "take the text")
    return refused


def _handed_over(smtp: smtplib.SMTP, mail: EmailMessage, refused: list[str]) -> Outcome:
    try:
        smtp.send(_quoted(mail.as_bytes()))
        status, words = smtp.getreply()
    except (OSError, smtplib.SMTPException) as error:
        sentence = f"It was handed to the mail server, which then said nothing: {_reason(error)}."
        return Outcome("unknown", sentence)
    said = _text(words)
    if status != 250:
        return Outcome("failed", f"The mail server did not take it ({status}).", status, said)
    but = f" It refused {', '.join(refused)}." if refused else ""
    return Outcome("sent", f"Taken by the mail server.{but}", status, said)


def _quoted(text: bytes) -> bytes:
    """A text with its end, as RFC 5321 (4.5.2) has it: a line's first dot is doubled."""
    return re.sub(rb"(?m)^\.", b"..", text.removesuffix(b"\r\n")) + b"\r\n.\r\n"


def _expect(answer: tuple[int, bytes], status: int, does: str) -> None:
    if answer[0] != status:
        sentence = f"The mail server would not {does} ({answer[0]})."
        raise _Refused(sentence, answer[0], _text(answer[1]))


def _text(words: bytes) -> str:
    return words.decode("utf-8", "replace")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it takes too long"
    said = error.strerror if isinstance(error, OSError) else ""
    return said or type(error).__name__
