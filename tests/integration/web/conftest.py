"""Fixtures of the web's tests."""

import pytest
import sqlalchemy as sa

from smsqueue.models import Campaign
from tests.factories import factory
from tests.integration.web.parts import attribute
from tests.web import app, make_app, make_visitor, member, operator, user, visitor

__all__ = ["app", "factory", "make_app", "make_visitor", "member", "operator", "user", "visitor"]


@pytest.fixture
def launched(member, store):
    """A campaign to three numbers, confirmed and waiting."""
    pasted = "201 555 0123\n201 555 0124\n201 555 0125"
    review = member.post("/sms/campaigns/new", {"name": "Spring sale", "text": "Hello", "pasted": pasted}).location
    token = attribute(member.get(review), "input[name=token]")
    member.post(review.replace("/review", "/confirm"), {"token": token})
    with store.reading() as session:
        return session.scalars(sa.select(Campaign)).one()
