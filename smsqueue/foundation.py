"""What every application of ours stands on: settings, folders, log, database and mail, without pages or commands."""

import os
from urllib.parse import urlsplit

from flask import Flask

from smsqueue.config import BadSettings, Settings
from smsqueue.db import normalise_url
from smsqueue.extensions import db, mail
from smsqueue.observe import logs
from smsqueue.paths import PACKAGE, resource_dir

MEBIBYTE = 1024 * 1024


def build(settings: Settings | None = None) -> Flask:
    """Build an application from `settings`, or from the environment, for others to add to."""
    settings = settings or read_settings()
    make_ready(settings)
    app = Flask(
        "smsqueue",
        root_path=str(PACKAGE),
        instance_path=str(settings.instance.absolute()),
        static_folder=str(PACKAGE / "web" / "static"),
        template_folder=str(resource_dir("templates")),
    )
    app.config.from_mapping(flask_options(settings))
    db.init_app(app)
    mail.init_app(app)
    return app


def make_ready(settings: Settings) -> None:
    """Make the folders and open the log; when that cannot be, end the process with the reason."""
    try:
        settings.make_folders()
        logs.start(settings.log_format, settings.log_file, quiet=True)
    except (OSError, logs.CannotLog) as error:
        raise SystemExit(f"smsqueue cannot start: {error}") from error


def read_settings() -> Settings:
    """Read the settings from the environment; wrong ones end the process with all that is wrong."""
    try:
        return Settings.from_env(os.environ)
    except BadSettings as error:
        raise SystemExit(f"smsqueue cannot start with these settings:\n{error}") from error


def flask_options(settings: Settings) -> dict[str, object]:
    """Say in Flask's and its extensions' words what our settings say."""
    address = urlsplit(settings.base_url)
    secure = address.scheme == "https"
    return {
        "SETTINGS": settings,
        "SECRET_KEY": settings.secret_key,
        "SQLALCHEMY_DATABASE_URI": normalise_url(settings.database_url),
        # Links outside of a request, as in mails; inside of one, no link carries a host.
        "SERVER_NAME": address.netloc,
        "APPLICATION_ROOT": address.path or "/",
        "PREFERRED_URL_SCHEME": address.scheme,
        "TRUSTED_HOSTS": list(settings.trusted_hosts) or None,
        "SESSION_COOKIE_NAME": "__Host-smsqueue" if secure and not address.path else "smsqueue",
        "SESSION_COOKIE_SECURE": secure,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "WTF_CSRF_TIME_LIMIT": None,  # as long as the session: nobody loses a long text
        "MAX_CONTENT_LENGTH": MEBIBYTE,
        "MAX_FORM_MEMORY_SIZE": MEBIBYTE,
        "MAIL_SERVER": settings.mail_server,
        "MAIL_PORT": settings.mail_port,
        "MAIL_USERNAME": settings.mail_username or None,
        "MAIL_PASSWORD": settings.mail_password or None,
        "MAIL_USE_TLS": settings.mail_use_tls,
        "MAIL_USE_SSL": settings.mail_use_ssl,
        "MAIL_DEFAULT_SENDER": settings.mail_default_sender,
    }
