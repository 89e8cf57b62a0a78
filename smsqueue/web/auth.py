"""Signing in and out, and passwords: Flask-Security, with our forms, our mail by the queue and our way to write."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import Flask, request
from flask_security import (
    LoginForm,
    MailUtil,
    RoleMixin,
    Security,
    SQLAlchemyUserDatastore,
    UserMixin,
    hash_password,
    password_reset,
    user_authenticated,
)
from flask_security.mail_util import EmailValidateException
from sqlalchemy.orm import Session
from wtforms import Field

from smsqueue.domain import accounts
from smsqueue.domain.accounts import BadAccount
from smsqueue.domain.jobs import SendResetMailJob
from smsqueue.extensions import db, write
from smsqueue.mail import RESET_SALT, RESET_WITHIN
from smsqueue.models import User
from smsqueue.queue.dispatch import enqueue

VAGUE = (
    "This e-mail address and password do not belong together. After several wrong tries an account pauses, for up to "
    "15 minutes; a new password by e-mail ends the pause."
)
BAD_LINK = ("This link is too old or has been used. Ask for a new one here.", "error")
MESSAGES = {
    "GENERIC_AUTHN_FAILED": (VAGUE, "error"),
    "PASSWORD_RESET_REQUEST": (
        "If %(email)s has an account here, a link to choose a new password is on its way. It works for one hour.",
        "info",
    ),
    "PASSWORD_RESET_EXPIRED": BAD_LINK,
    "INVALID_RESET_PASSWORD_TOKEN": BAD_LINK,
    "PASSWORD_RESET_NO_LOGIN": ("Your new password is set. Sign in with it.", "success"),
    "PASSWORD_CHANGE": ("Your password is changed, and every other device is signed out.", "success"),
    "EMAIL_NOT_PROVIDED": ("Enter your e-mail address", "error"),
    "INVALID_EMAIL_ADDRESS": ("Enter an e-mail address, like name@example.com", "error"),
    "PASSWORD_NOT_PROVIDED": ("Enter a password", "error"),
    "INVALID_PASSWORD": ("This is not your present password", "error"),
    "PASSWORD_INVALID_LENGTH": ("The new password needs at least %(length)s characters", "error"),
    "PASSWORD_IS_THE_SAME": ("The new password is the same as the old one: choose another", "error"),
    "RETYPE_PASSWORD_MISMATCH": ("The two new passwords differ: type the same one twice", "error"),
}
OPTIONS: dict[str, Any] = {
    "RECOVERABLE": True,
    "CHANGEABLE": True,
    "RETURN_GENERIC_RESPONSES": True,
    "RESET_PASSWORD_WITHIN": RESET_WITHIN,
    "RESET_SALT": RESET_SALT,
    "FRESHNESS": timedelta(minutes=-1),
    "JOIN_USER_ROLES": False,
    "STATIC_FOLDER": None,
    "CLI_USERS_NAME": None,
    "CLI_ROLES_NAME": None,
    "CHANGE_URL": "/password",
    "LOGIN_USER_TEMPLATE": "auth/login.html",
    "FORGOT_PASSWORD_TEMPLATE": "auth/forgot.html",
    "RESET_PASSWORD_TEMPLATE": "auth/reset.html",
    "CHANGE_PASSWORD_TEMPLATE": "auth/change.html",
    "POST_LOGIN_VIEW": "/",
    "POST_LOGOUT_VIEW": "/login",
    "POST_CHANGE_VIEW": "/password",
    "PASSWORD_HASH": "argon2",
    "PASSWORD_SCHEMES": ["argon2"],
    "PASSWORD_SINGLE_HASH": {"argon2"},
    "PASSWORD_HASH_PASSLIB_OPTIONS": {
        "argon2__memory_cost": 19_456,
        "argon2__time_cost": 2,
        "argon2__parallelism": 1,
    },
    # A reset link holds a digest of the password's hash; the usual scheme takes long enough to tell who has an account.
    "HASHING_SCHEMES": ["hex_sha256"],
    "PASSWORD_LENGTH_MIN": 10,
    "EMAIL_PLAINTEXT": False,  # the worker writes the mail
    "EMAIL_HTML": False,
    "SEND_PASSWORD_CHANGE_EMAIL": False,
    "SEND_PASSWORD_RESET_NOTICE_EMAIL": False,
}


class Login(UserMixin, User):  # type: ignore[misc]  # both promise an `id`
    """A user as Flask-Security wants to see one: the same table, the same rows."""

    def track_failed_authn(self, auth_type: str, tfa: bool = False) -> None:
        """Count a wrong password; tries during a pause do not count."""
        email = self.email
        if not accounts.login_delay(self):
            write(lambda session: accounts.note_failed_login(session, email))

    def is_locked(self, form_error: list[str] | None = None) -> bool:
        """Refuse even the right password during a pause; choosing a new one is always possible."""
        locked = request.endpoint == "security.login" and accounts.login_delay(self) > 0
        if locked and form_error is not None:
            form_error.append(VAGUE)
        return locked


class Datastore(SQLAlchemyUserDatastore):
    """Flask-Security's way to users: it reads with `db.session`, and what it changes is written by `write`."""

    def put(self, model: Any) -> Any:
        """Change nothing yet: the session knows already what differs."""
        return model

    def commit(self) -> None:
        """Write what was changed in users, in a transaction that has not read before."""
        changes = [(user.id, _changes(user)) for user in db.session.dirty]

        def store(session: Session) -> None:
            for user_id, values in changes:
                session.execute(sa.update(User).where(User.id == user_id).values(values))

        if any(values for _, values in changes):
            write(store)


def _changes(user: Any) -> dict[str, Any]:
    attributes = sa.inspect(user).attrs
    names = [column.key for column in sa.inspect(User).column_attrs]
    return {name: attributes[name].value for name in names if attributes[name].history.has_changes()}


class QueuedMail(MailUtil):
    """Puts a job into the queue instead of sending a mail; the worker makes the link and writes the text."""

    def send_mail(self, template: str, subject: str, recipient: Any, *_: Any, **context: Any) -> None:
        """Queue the mail with the reset link, the only one that is asked for here."""
        hash_password("as slow as for an unknown address")
        user_id = context["user"].id
        write(lambda session: enqueue(session, SendResetMailJob(user_id=user_id)))

    def normalize(self, email: str) -> str:
        """Take the addresses that `flask sms user create` takes."""
        try:
            return accounts.normalise_email(email)
        except BadAccount as error:
            raise EmailValidateException(MESSAGES["INVALID_EMAIL_ADDRESS"][0]) from error

    validate = normalize


class SignInForm(LoginForm):
    """Address and password; nothing that outlives the browser's session."""

    remember = None

    def validate_next(self, field: Field) -> None:
        """Let a bad address to go on to pass: the redirect leaves it out, and nobody is kept out for it."""


def _forget_failures(_app: Flask, user: Login, **_: Any) -> None:
    # A hash that Flask-Security has renewed on the way is stored before it is let go of.
    user_id = user.id
    datastore.commit()
    write(lambda session: accounts.note_login(session, user_id))


datastore = Datastore(db, Login, RoleMixin)  # there are no roles: operators are told by a column
user_authenticated.connect(_forget_failures)
password_reset.connect(_forget_failures)


def install(app: Flask) -> None:
    """Attach sign-in, sign-out, reset and change of passwords."""
    app.config.update({f"SECURITY_{name}": value for name, value in OPTIONS.items()})
    app.config.update({f"SECURITY_MSG_{name}": value for name, value in MESSAGES.items()})
    security = Security(app, datastore, login_form=SignInForm, mail_util_cls=QueuedMail)
    # Flask-Principal would ask the database who is there for every request, for style sheets too.
    app.before_request_funcs[None].remove(security.principal._on_before_request)
    security.want_json(lambda _request: False)
    security.login_manager.request_loader(lambda _request: None)  # a session cookie is the only way in
