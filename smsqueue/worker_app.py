"""The composition root of worker processes: what jobs need, and nothing of what pages and other commands need.

`python -m smsqueue sms work` comes here, and so does every worker that a parent starts: it begins in half the time.
"""

import sys

from flask import Flask

from smsqueue import foundation
from smsqueue.cli.base import make_group
from smsqueue.cli.work import work
from smsqueue.config import Settings

LINKS = {"campaigns.show": "/sms/campaigns/<uuid:uuid>", "security.reset_password": "/reset/<token>"}
"""The pages that mails link to; tests compare them with the web's."""


def create_worker_app(settings: Settings | None = None) -> Flask:
    """Build the application of a worker from `settings`, or from the environment."""
    app = foundation.build(settings)
    for endpoint, rule in LINKS.items():
        app.add_url_rule(rule, endpoint, build_only=True)
    return app


def main() -> None:
    """Run `smsqueue sms work`."""
    with create_worker_app().app_context():
        make_group(work).main(sys.argv[2:], prog_name="smsqueue sms")
