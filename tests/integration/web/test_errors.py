"""Pages for what goes wrong."""

import pytest
import sqlalchemy as sa
from flask import abort

from smsqueue.extensions import db, write
from smsqueue.models import User
from smsqueue.web import access
from tests.web import main_of, text_of


@pytest.fixture
def broken(app):
    """Add a page that fails in the way named in its address."""

    @access.public
    def fail(how):
        if how == "divide":
            return 1 / 0
        if how == "away":
            raise sa.exc.OperationalError("SELECT secret", {}, Exception("no connection"))
        return abort(int(how))

    app.add_url_rule("/fail/<how>", "fail", fail)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 413, 429, 500, 503])
@pytest.mark.usefixtures("broken")
def test_every_error_has_a_page_with_advice_and_a_number(visitor, code):
    answer = visitor.get(f"/fail/{code}")
    assert answer.status_code == code
    text = main_of(answer)
    assert text_of(answer, "h1") in text_of(answer, "title")
    assert f"Error {code} · request {answer.headers['X-Request-ID']}" in text


@pytest.mark.databases("sqlite")
def test_error_comes_as_json_to_who_asks_for_it(visitor):
    answer = visitor.get("/nothing", headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert answer.json["error"]["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.databases("sqlite")
@pytest.mark.usefixtures("broken")
def test_fault_of_ours_shows_no_traceback_and_is_logged(visitor, caplog):
    answer = visitor.get("/fail/divide")
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    assert answer.headers["X-Request-ID"] in caplog.text


@pytest.mark.databases("sqlite")
@pytest.mark.usefixtures("broken")
def test_database_that_is_away_gives_503_and_says_when_to_come_back(visitor):
    answer = visitor.get("/fail/away")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "Nothing is lost" in main_of(answer)
    assert "secret" not in answer.text


@pytest.mark.databases("sqlite")
def test_pages_answer_503_when_the_database_cannot_be_reached(make_app, tmp_path):
    # A folder where the database should be: nothing can open it.
    client = make_app().test_client()
    with client.application.app_context():
        engines = db._app_engines[client.application]  # the only way to lose a database in mid-flight
        engines[None].dispose()
        engines[None] = sa.create_engine(f"sqlite:///{tmp_path}")
    with client.session_transaction() as session:
        session["_user_id"] = "somebody"
    for address in ("/credits", "/sms/campaigns", "/login", "/nothing"):
        assert client.get(address).status_code == 503, address
    assert client.get("/healthz").status_code == 503
    assert client.get("/healthz").json == {"status": "unavailable"}


def test_health_is_ok_when_the_database_answers(visitor):
    assert visitor.get("/healthz").json == {"status": "ok"}


def test_page_says_how_much_it_takes(member):
    answer = member.post("/theme", {"theme": "dark", "next": "x" * 1_100_000})
    assert answer.status_code == 413
    assert "takes up to 1 MiB" in main_of(answer)


def test_page_that_has_read_can_write_while_others_write(app, store, user):
    # On SQLite a transaction that has read cannot write once somebody else has written.
    with app.test_request_context("/"):
        db.session.scalar(sa.text("SELECT count(*) FROM users"))
        store.write(lambda session: session.execute(sa.text("UPDATE users SET failed_logins = 1")))
        write(lambda session: session.execute(sa.text("UPDATE users SET failed_logins = failed_logins + 1")))
        assert db.session.scalar(sa.text("SELECT max(failed_logins) FROM users")) == 2


def test_session_of_pages_refuses_to_write(app, user):
    with app.test_request_context("/"):
        person = db.session.get_one(User, user.id)
        person.failed_logins = 7
        with pytest.raises(RuntimeError, match="only reads"):
            db.session.commit()
        db.session.rollback()
