"""The application of worker processes: light, and of one mind with the web about links."""

import subprocess
import sys

from flask import url_for
from flask_security.recoverable import generate_reset_password_token

from smsqueue.app import create_app
from smsqueue.mail import reset_token
from smsqueue.models import User
from smsqueue.worker_app import LINKS, create_worker_app
from tests.outside import ROOT

HEAVY = ("alembic", "flask_migrate", "flask_security", "flask_talisman", "flask_wtf", "mako", "wtforms", "smsqueue.web")


def test_worker_starts_without_what_only_pages_and_other_commands_need():
    code = f"import sys, smsqueue.worker_app; print([name for name in {HEAVY!r} if name in sys.modules])"
    heard = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert heard.stdout.strip() == "[]"


def test_mails_of_a_worker_link_to_the_pages_of_the_web(make_settings):
    settings = make_settings(BASE_URL="https://sms.example.org/texts")
    values = {"uuid": "0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11", "token": "a.b-c_d"}
    found = []
    for app in (create_app(settings), create_worker_app(settings)):
        names = {"campaigns.show": ["uuid"], "security.reset_password": ["token"]}
        with app.app_context():
            found.append([url_for(end, _external=True, **{n: values[n] for n in names[end]}) for end in LINKS])
    assert found[0] == found[1]


def test_reset_links_of_a_worker_are_those_of_the_sign_in(make_settings):
    app = create_app(make_settings())
    ann = User(id=1, team_id=1, email="ann@example.org", password="$argon2id$x", fs_uniquifier="f" * 64)
    with app.app_context():
        read = app.extensions["security"].reset_serializer.loads
        assert read(reset_token(ann, app.config["SECRET_KEY"])) == read(generate_reset_password_token(ann))
