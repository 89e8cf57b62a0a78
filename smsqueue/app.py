"""The composition root: the only place that knows all parts and puts them together."""

from functools import partial

from flask import Flask
from flask.cli import FlaskGroup
from flask_migrate import Migrate
from werkzeug.middleware.proxy_fix import ProxyFix

from smsqueue import foundation
from smsqueue.cli.group import sms
from smsqueue.config import Settings
from smsqueue.domain.hearing import Hearing
from smsqueue.extensions import database, db
from smsqueue.gateways import build_all
from smsqueue.paths import resource_dir
from smsqueue.web import (
    access,
    auth,
    bulk,
    callbacks,
    campaigns,
    compose,
    credits,
    errors,
    forms,
    headers,
    health,
    home,
    layout,
    maintenance,
    notices,
    queue_status,
    sessions,
    statics,
    theme,
)

PAGES = (home, compose, bulk, campaigns, credits, notices, queue_status, sessions, theme, health)
migrate = Migrate()


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application from `settings`, or from the environment."""
    app = foundation.build(settings)
    migrate.init_app(app, db, directory=str(resource_dir("migrations")))
    register_web(app)
    app.cli.add_command(sms)
    chosen: Settings = app.config["SETTINGS"]
    if hops := chosen.proxy_hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def register_web(app: Flask) -> None:
    """Attach the pages, and what guards and surrounds them; the order is that of a request."""
    headers.install(app)
    statics.install(app)
    errors.install(app)
    forms.install(app)
    auth.install(app)
    maintenance.install(app)
    access.install(app)
    layout.install(app)
    for module in PAGES:
        app.register_blueprint(module.bp)
    callbacks.install(app, Hearing(partial(build_all, app.config["SETTINGS"]), database))


def main() -> None:
    """Run the command `smsqueue`: Flask's own commands, and ours."""
    FlaskGroup(create_app=create_app, load_dotenv=False, add_version_option=False, name="smsqueue")()
