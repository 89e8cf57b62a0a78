"""Mails: rendered from `templates/mail/`, sent through Flask-Mail, never hanging for longer than a job may."""

import contextlib
import hashlib
import smtplib
import socket
import ssl
import threading
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from typing import Any

import flask_mail
from flask import Flask, render_template, url_for
from itsdangerous import URLSafeTimedSerializer

from smsqueue.models import Notice, User

RESET_WITHIN = timedelta(hours=1)
RESET_SALT = "reset-salt"


def reset_token(user: User, secret_key: str) -> str:
    """Return what Flask-Security takes for its own: a worker needs not start all of it for one line."""
    digest = hashlib.sha256(user.password.encode()).hexdigest()
    return str(URLSafeTimedSerializer([secret_key], salt=RESET_SALT).dumps([user.fs_uniquifier, digest]))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a mail server may take: for connecting and for each answer, and for all of that together."""

    step_seconds: float = 8
    whole_seconds: float = 18


class Mailer:
    """Writes mails to people. What the mail server does wrong is raised, so that the job is tried again."""

    def __init__(self, app: Flask, patience: Patience | None = None) -> None:
        self._app = app
        self._patience = patience or Patience()

    def campaign_ended(self, notice: Notice, user: User) -> None:
        """Tell the owner how a campaign went. A repeated mail has the same Message-ID, so that programs show one."""
        with self._app.app_context():
            link = url_for("campaigns.show", uuid=notice.data["campaign"], _external=True)
            facts = {"data": notice.data, "link": link, "user": user}
            message = _message("campaign_ended", user, facts)
            message.msgId = f"<notice-{notice.id}@{_domain(message.sender)}>"
            message.date = notice.created_at.timestamp()
            self._send(message)

    def reset(self, user: User) -> None:
        """Send the link with which the person can choose a new password."""
        with self._app.app_context():
            token = reset_token(user, str(self._app.config["SECRET_KEY"]))
            link = url_for("security.reset_password", token=token, _external=True)
            within = _in_words(RESET_WITHIN)
            self._send(_message("reset", user, {"link": link, "within": within, "user": user}))

    def _send(self, message: flask_mail.Message) -> None:
        with PatientConnection(self._app.extensions["mail"], self._patience) as connection:
            connection.send(message)


def _message(name: str, user: User, facts: dict[str, Any]) -> flask_mail.Message:
    return flask_mail.Message(
        subject=" ".join(render_template(f"mail/{name}.subject.txt", **facts).split()),
        recipients=[user.email],
        body=render_template(f"mail/{name}.txt", **facts),
        html=render_template(f"mail/{name}.html", **facts),
        extra_headers={"Auto-Submitted": "auto-generated"},
    )


class PatientConnection(flask_mail.Connection):
    """Flask-Mail's connection with an end to its patience, and with certificates that are looked at."""

    def __init__(self, mail: flask_mail.Mail, patience: Patience) -> None:
        super().__init__(mail)
        self._patience = patience
        self._alarm: threading.Timer | None = None

    def configure_host(self) -> smtplib.SMTP:
        """Connect, and shut the connection down when everything together takes too long."""
        mail = self.mail
        host = self.host = self._connect(mail.server, mail.port, use_ssl=mail.use_ssl)
        self._alarm = threading.Timer(self._patience.whole_seconds, _shut_down, [host])
        self._alarm.daemon = True
        self._alarm.start()
        if mail.use_tls:
            host.starttls(context=ssl.create_default_context())
        if mail.username and mail.password:
            host.login(mail.username, mail.password)
        return host

    def __enter__(self) -> "PatientConnection":
        """Connect; what goes wrong leaves no socket behind."""
        try:
            super().__enter__()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Say goodbye. The mail is sent or not by now: a server that is rude at the end changes nothing."""
        self._close()

    def _connect(self, server: str, port: int, *, use_ssl: bool) -> smtplib.SMTP:
        # Asked for the name of this machine, a resolver that is not there would keep us waiting.
        options: dict[str, Any] = {"timeout": self._patience.step_seconds, "local_hostname": socket.gethostname()}
        if use_ssl:
            return smtplib.SMTP_SSL(server, port, context=ssl.create_default_context(), **options)
        return smtplib.SMTP(server, port, **options)

    def _close(self) -> None:
        if self.host is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                self.host.quit()
            self.host.close()
        if self._alarm is not None:
            self._alarm.cancel()


def _shut_down(host: smtplib.SMTP) -> None:
    if host.sock is not None:
        with contextlib.suppress(OSError):
            host.sock.shutdown(socket.SHUT_RDWR)


def _in_words(period: timedelta) -> str:
    minutes = round(period.total_seconds() / 60)
    number, unit = (minutes // 60, "hour") if minutes % 60 == 0 else (minutes, "minute")
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _domain(sender: str | tuple[str, str]) -> str:
    return parseaddr(str(sender))[1].rpartition("@")[2] or "localhost"
