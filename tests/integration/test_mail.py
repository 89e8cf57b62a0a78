"""Mails: what a person gets, and what happens when the mail server does not do its part."""

import smtplib
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from threading import Event
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from flask import Flask

from smsqueue.app import create_app
from smsqueue.mail import Mailer, Patience
from smsqueue.models import Notice, User
from tests.outside import RawServer

ANN = User(id=1, team_id=1, email="ann@example.org", password="$argon2id$x", fs_uniquifier="f" * 64)
SIX_O_CLOCK = datetime(2026, 11, 25, 18, tzinfo=UTC)
NOTICE_ID = UUID("5f0c8e9e-0f0d-4a53-9b3d-0d8b8f0c1a2b")
NUMBERS = {
    "campaign": "0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11",
    "name": "Spring sale",
    "status": "completed",
    "error": None,
    "total": 2000,
    "accepted": 1990,
    "failed": 7,
    "unknown": 3,
    "success_rate": 99.5,
    "charged": 2000,
    "returned": 7,
    "held": 3,
}


class Inbox:
    """Keeps what arrives; refuses while `refuses` says how."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuses = ""

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep one mail."""
        if self.refuses:
            return self.refuses
        self.mails.append(BytesParser(EmailMessage, policy=policy.default).parsebytes(envelope.content))
        return "250 Kept"


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    """A mail server and its port."""
    kept = Inbox()
    controller = Controller(kept, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield kept, controller.port
    controller.stop()


def free_port() -> int:
    """Find a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def make_app(make_settings):
    """The application, with its mail server on a port."""

    def make(port: int, **environ: str) -> Flask:
        mail = {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": str(port), "MAIL_DEFAULT_SENDER": "sms@example.org"}
        return create_app(make_settings(**mail, BASE_URL="https://sms.example.org", **environ))

    return make


def notice(**changes: object) -> Notice:
    """A notice about a campaign that ended."""
    data = {**NUMBERS, **changes}
    made = Notice(id=NOTICE_ID, type=f"campaign.{data['status']}", notifiable_id=ANN.id, data=data)
    made.created_at = SIX_O_CLOCK
    return made


def parts(mail: EmailMessage) -> tuple[str, str]:
    """The text and the HTML of a mail."""
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


def test_both_forms_of_the_mail_have_the_numbers_and_the_link(inbox, make_app):
    kept, port = inbox
    Mailer(make_app(port)).campaign_ended(notice(), ANN)
    (mail,) = kept.mails
    assert mail["To"] == "ann@example.org"
    assert mail["From"] == "sms@example.org"
    assert mail["Subject"] == "“Spring sale” is sent: 1,990 of 2,000"
    for form in parts(mail):
        for piece in ("Spring sale", "2,000", "1,990", "99.5", "1,990 credits", "7 credits", "3 credits"):
            assert piece in form
        assert "https://sms.example.org/sms/campaigns/0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11" in form


@pytest.mark.parametrize(
    ("status", "subject", "headline"),
    [
        ("failed", "“Spring sale” failed: 1,990 of 2,000 sent", "Your campaign failed."),
        ("cancelled", "“Spring sale” was cancelled: 1,990 of 2,000 sent", "Your campaign was cancelled."),
    ],
)
def test_other_endings_are_called_by_their_name(inbox, make_app, status, subject, headline):
    kept, port = inbox
    Mailer(make_app(port)).campaign_ended(notice(status=status, error="No route to the gateway"), ANN)
    assert kept.mails[0]["Subject"] == subject
    for form in parts(kept.mails[0]):
        assert headline in form
        assert "No route to the gateway" in form


def test_mail_about_the_same_notice_has_the_same_message_id_and_date(inbox, make_app):
    kept, port = inbox
    mailer = Mailer(make_app(port))
    mailer.campaign_ended(notice(), ANN)
    mailer.campaign_ended(notice(), ANN)
    first, second = kept.mails
    assert first["Message-ID"] == second["Message-ID"] == f"<notice-{NOTICE_ID}@example.org>"
    assert first["Date"] == second["Date"]


def test_name_is_shown_as_typed_and_does_nothing(inbox, make_app):
    kept, port = inbox
    name = "<b>Sale</b> & more\r\nBcc: eve@example.org"
    Mailer(make_app(port)).campaign_ended(notice(name=name), ANN)
    (mail,) = kept.mails
    text, html = parts(mail)
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("“<b>Sale</b> & more Bcc: eve@example.org” is sent")
    assert "<b>Sale</b> & more" in text
    assert "&lt;b&gt;Sale&lt;/b&gt; &amp; more" in html


def test_reset_mail_has_a_link_to_our_own_address(inbox, make_app):
    kept, port = inbox
    Mailer(make_app(port)).reset(ANN)
    (mail,) = kept.mails
    assert mail["Subject"] == "Choose a new password"
    for form in parts(mail):
        assert "https://sms.example.org/reset/" in form
        assert "1 hour" in form


def test_refusal_is_raised_so_that_the_job_is_tried_again(inbox, make_app):
    kept, port = inbox
    kept.refuses = "452 Try later"
    with pytest.raises(smtplib.SMTPDataError, match="452"):
        Mailer(make_app(port)).campaign_ended(notice(), ANN)


def test_server_that_is_down_is_raised(make_app):
    with pytest.raises(ConnectionRefusedError):
        Mailer(make_app(free_port())).campaign_ended(notice(), ANN)


def test_server_that_says_nothing_is_given_up(make_app):
    with RawServer(lambda connection: None, reads=False) as server:
        mailer = Mailer(make_app(server.port), Patience(step_seconds=0.2))
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            mailer.campaign_ended(notice(), ANN)


def test_server_that_dribbles_is_given_up(make_app):
    over = Event()

    def dribble(connection: socket.socket) -> None:
        connection.sendall(b"220 hello\r\n")
        while not over.wait(0.05):
            connection.sendall(b"2")

    with RawServer(dribble, reads=False) as server:
        mailer = Mailer(make_app(server.port), Patience(step_seconds=5, whole_seconds=0.5))
        began = time.monotonic()
        with pytest.raises((smtplib.SMTPException, OSError)):
            mailer.campaign_ended(notice(), ANN)
        over.set()
    assert time.monotonic() - began < 3


def test_mail_that_was_taken_is_sent_although_the_server_hangs_up(make_app):
    def rude(connection: socket.socket) -> None:
        answers = iter([b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n"])
        connection.sendall(b"220 hello\r\n")
        for answer in answers:
            connection.recv(65_536)
            connection.sendall(answer)
        data = b""
        while not data.endswith(b"\r\n.\r\n"):
            data += connection.recv(65_536)
        connection.sendall(b"250 kept\r\n")
        connection.close()

    with RawServer(rude, reads=False) as server:
        Mailer(make_app(server.port)).campaign_ended(notice(), ANN)
