"""The composition root: the only place that knows all parts and puts them together."""

from functools import cache, partial

from flask import Flask
from flask.cli import FlaskGroup
from flask_migrate import Migrate
from werkzeug.middleware.proxy_fix import ProxyFix

from smsqueue import foundation
from smsqueue.cli.group import sms
from smsqueue.config import Settings
from smsqueue.domain.goodbye import Goodbye
from smsqueue.domain.hearing import Hearing
from smsqueue.domain.looking_up import Askable
from smsqueue.extensions import database, db
from smsqueue.gateways import build_all
from smsqueue.gateways.base import BadGateway
from smsqueue.paths import resource_dir
from smsqueue.web import (
    access,
    again,
    auth,
    bulk,
    callbacks,
    campaigns,
    closing,
    compose,
    credits,
    errors,
    forms,
    headers,
    health,
    held,
    home,
    inbox,
    layout,
    maintenance,
    notices,
    opt_outs,
    queue_status,
    sessions,
    statics,
    team,
    theme,
    typed,
    unknowns,
)

PAGES = (
    home,
    compose,
    bulk,
    campaigns,
    closing,
    again,
    unknowns,
    credits,
    notices,
    inbox,
    opt_outs,
    queue_status,
    sessions,
    theme,
    held,
    team,
    health,
)
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
    typed.install(app)
    forms.install(app)
    auth.install(app)
    maintenance.install(app)
    access.install(app)
    layout.install(app)
    for module in PAGES:
        app.register_blueprint(module.bp)
    unknowns.install(app, cache(partial(_askable, app.config["SETTINGS"])))
    chosen: Settings = app.config["SETTINGS"]
    callbacks.install(app, Hearing(partial(build_all, chosen), database, Goodbye.of(chosen)))


def _askable(settings: Settings) -> Askable:
    """Name the gateways that can be asked about a text, as far as they can be used at all."""
    try:
        gateways = build_all(settings)
    except BadGateway:
        return Askable()
    for gateway in gateways.values():
        gateway.close()
    return Askable.among(gateways)


def main() -> None:
    """Run the command `smsqueue`: Flask's own commands, and ours."""
    FlaskGroup(create_app=create_app, load_dotenv=False, add_version_option=False, name="smsqueue")()
