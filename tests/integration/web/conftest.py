"""Fixtures of the web's tests."""

from tests.factories import factory
from tests.web import app, make_app, make_visitor, member, operator, user, visitor

__all__ = ["app", "factory", "make_app", "make_visitor", "member", "operator", "user", "visitor"]
