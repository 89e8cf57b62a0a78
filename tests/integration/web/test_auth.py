"""Signing in and out, guessing, and passwords that were forgotten or are changed."""

import json
from datetime import timedelta
from typing import Any

import argon2
import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.mail import reset_token
from smsqueue.models import User
from smsqueue.queue.models import JobRow
from smsqueue.web import auth
from smsqueue.web.theme import local_path
from tests.factories import HASH, PASSWORD
from tests.web import main_of

NEW = "another horse that staples"


@pytest.fixture
def reset_address(app):
    """Make the address that a reset mail holds."""

    def make(user):
        with app.app_context():
            person: Any = auth.datastore.find_user(id=user.id)
            assert isinstance(person, User)
            return f"/reset/{reset_token(person, app.config['SECRET_KEY'])}"

    return make


def jobs(store):
    """Return what waits in the queues, as (kind, data)."""
    with store.reading() as session:
        rows = session.scalars(sa.select(JobRow)).all()
        return [(row.kind, json.loads(row.payload)["data"]) for row in rows]


def test_signing_in_leads_to_the_page_that_was_asked_for(visitor, user):
    asked = visitor.get("/credits?before=7")
    assert asked.status_code == 302
    assert asked.location == "/login?next=/credits?before%3D7"
    back = visitor.post(asked.location, {"email": user.email, "password": PASSWORD, "next": "/credits?before=7"})
    assert back.location == "/credits?before=7"
    assert visitor.is_signed_in()


def test_address_is_taken_in_any_case_and_with_spaces(visitor, user):
    visitor.sign_in(f"  {user.email.upper()} ")
    assert visitor.is_signed_in()


@pytest.mark.parametrize(
    "where", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "///evil.example"]
)
def test_signing_in_never_leads_to_another_site(visitor, user, where):
    answer = visitor.post("/login", {"email": user.email, "password": PASSWORD, "next": where})
    assert answer.status_code == 302
    assert local_path(answer.location) == answer.location


def test_unknown_person_wrong_password_and_disabled_person_get_the_same_answer(visitor, user, factory, store):
    disabled = factory.user()
    store.write(lambda session: session.execute(sa.update(User).where(User.id == disabled.id).values(active=False)))
    answers = [
        visitor.sign_in("nobody@example.com"),
        visitor.sign_in(user.email, "wrong"),
        visitor.sign_in(disabled.email),
        visitor.sign_in("no address at all"),
    ]
    assert {answer.status_code for answer in answers} == {answers[0].status_code}
    texts = {main_of(answer) for answer in answers}
    assert len(texts) == 1
    assert "do not belong together" in texts.pop()


def test_after_five_wrong_tries_the_right_password_has_to_wait(visitor, user, factory):
    for _ in range(6):
        visitor.sign_in(user.email, "wrong")
    assert factory.reload(user).failed_logins == 6
    visitor.sign_in(user.email)
    assert not visitor.is_signed_in()


def test_pause_ends_by_itself_and_is_forgotten_then(visitor, user, factory, store):
    values = {"failed_logins": 9, "locked_until": now() - timedelta(seconds=1)}
    store.write(lambda session: session.execute(sa.update(User).where(User.id == user.id).values(values)))
    visitor.sign_in(user.email)
    assert visitor.is_signed_in()
    assert (factory.reload(user).failed_logins, factory.reload(user).locked_until) == (0, None)


def test_tries_during_a_pause_do_not_make_it_longer(visitor, user, factory, store):
    until = now() + timedelta(minutes=1)
    values = {"failed_logins": 9, "locked_until": until}
    store.write(lambda session: session.execute(sa.update(User).where(User.id == user.id).values(values)))
    visitor.sign_in(user.email, "wrong")
    assert factory.reload(user).locked_until == until


def test_old_cookie_is_worthless_after_signing_out_everywhere(member, make_visitor, user):
    other = make_visitor()
    other.sign_in(user.email)
    assert other.post("/logout/everywhere").location == "/login"
    assert not other.is_signed_in()
    assert not member.is_signed_in()


def test_nothing_outlives_the_browsers_session(visitor, user):
    answer = visitor.post("/login", {"email": user.email, "password": PASSWORD, "remember": "y"})
    cookies = answer.headers.getlist("Set-Cookie")
    assert len(cookies) == 1
    assert "Expires" not in cookies[0]


def test_signing_out_ends_the_session(member):
    assert member.post("/logout").location == "/login"
    assert not member.is_signed_in()


def test_disabled_person_is_out_at_once(member, user, store):
    store.write(lambda session: session.execute(sa.update(User).where(User.id == user.id).values(active=False)))
    assert not member.is_signed_in()


def test_session_ends_after_twelve_hours(member):
    with member.client.session_transaction() as session:
        session["fs_paa"] -= 12 * 3600
    assert not member.is_signed_in()


def test_changing_the_password_signs_out_the_other_devices_only(member, make_visitor, user):
    other = make_visitor()
    other.sign_in(user.email)
    form = {"password": PASSWORD, "new_password": NEW, "new_password_confirm": NEW}
    assert member.post("/password", form).location == "/password"
    assert member.is_signed_in()
    assert not other.is_signed_in()
    other.sign_in(user.email, NEW)
    assert other.is_signed_in()


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"password": "wrong", "new_password": NEW, "new_password_confirm": NEW}, "not your present password"),
        ({"password": PASSWORD, "new_password": "short", "new_password_confirm": "short"}, "at least 10 characters"),
        ({"password": PASSWORD, "new_password": NEW, "new_password_confirm": "else"}, "type the same one twice"),
    ],
)
def test_bad_new_passwords_are_refused_with_a_reason(member, user, factory, form, problem):
    assert problem in main_of(member.post("/password", form))
    assert factory.reload(user).password == HASH


def test_forgotten_password_queues_a_mail_and_says_the_same_to_strangers(visitor, user, store):
    known = main_of(visitor.post("/reset", {"email": user.email}))
    assert jobs(store) == [("mail.reset", {"user_id": user.id})]
    unknown = main_of(visitor.post("/reset", {"email": "nobody@example.com"}))
    assert len(jobs(store)) == 1
    assert unknown.replace("nobody@example.com", user.email) == known
    assert "a link to choose a new password is on its way" in known


def test_reset_link_ends_a_pause(visitor, user, store, reset_address, factory):
    values = {"failed_logins": 9, "locked_until": now() + timedelta(minutes=5)}
    store.write(lambda session: session.execute(sa.update(User).where(User.id == user.id).values(values)))
    visitor.post(reset_address(user), {"password": NEW, "password_confirm": NEW})
    assert factory.reload(user).locked_until is None
    visitor.sign_in(user.email, NEW)
    assert visitor.is_signed_in()


def test_reset_link_works_once_and_ends_all_sessions(visitor, member, user, reset_address):
    address = reset_address(user)
    assert visitor.get(address).status_code == 200
    assert visitor.post(address, {"password": NEW, "password_confirm": NEW}).location == "/login"
    assert not member.is_signed_in()
    again = visitor.post(address, {"password": PASSWORD, "password_confirm": PASSWORD}, follow_redirects=True)
    assert "too old or has been used" in main_of(again)


def test_forged_reset_link_leads_to_asking_for_a_new_one(visitor):
    answer = visitor.get("/reset/WyJhIiwiYiJd.aaaa.bbbb", follow_redirects=True)
    assert answer.request.path == "/reset"
    assert "too old or has been used" in main_of(answer)


def test_password_of_100_characters_counts_to_its_last_letter(member, visitor, user):
    long = "x" * 99
    member.post("/password", {"password": PASSWORD, "new_password": f"{long}a", "new_password_confirm": f"{long}a"})
    visitor.sign_in(user.email, f"{long}b")
    assert not visitor.is_signed_in()
    visitor.sign_in(user.email, f"{long}a")
    assert visitor.is_signed_in()


def test_outdated_hash_is_renewed_when_its_owner_signs_in(visitor, user, factory, store):
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    store.write(lambda session: session.execute(sa.update(User).where(User.id == user.id).values(password=weak)))
    visitor.sign_in(user.email)
    assert visitor.is_signed_in()
    assert factory.reload(user).password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_token_in_an_address_or_header_is_no_way_in(app, visitor, user):
    with app.app_context():
        person = auth.datastore.find_user(id=user.id)
        assert person is not None
        token = str(person.get_auth_token())
    assert visitor.get(f"/credits?auth_token={token}").status_code == 302
    assert visitor.get("/credits", headers={"Authentication-Token": token}).status_code == 302
