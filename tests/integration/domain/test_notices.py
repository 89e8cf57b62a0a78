"""Notices: unread ones first, each person's own, read once."""

from datetime import timedelta
from uuid import uuid4

import pytest

from smsqueue.core.clock import now
from smsqueue.domain import notices
from smsqueue.domain.errors import NotFound
from smsqueue.models import Notice
from tests.domain_fixtures import Office


@pytest.fixture
def write(office):
    """Write notices for a person, oldest first; those of the numbers in `read` have been read."""

    def make(user, names, read=()):
        def add(session):
            for age, name in enumerate(names):
                at = now() - timedelta(hours=len(names) - age)
                more = {"read_at": at} if name in read else {}
                session.add(Notice(type="campaign.completed", notifiable_id=user.id, data=name, created_at=at, **more))

        office.store.write(add)

    return make


def names(office, user, **options):
    with office.store.reading() as session:
        return [notice.data for notice in notices.listing(session, user.id, **options)]


def unread(office, user):
    with office.store.reading() as session:
        return notices.unread(session, user.id)


def test_unread_notices_come_first_then_the_newest(office, write):
    write(office.user, "abcd", read="bd")

    assert names(office, office.user) == ["c", "a", "d", "b"]
    assert names(office, office.user, limit=3) == ["c", "a", "d"]
    assert unread(office, office.user) == 2


def test_a_notice_is_read_once_and_keeps_that_time(office, write):
    write(office.user, "a")
    (notice,) = office.notices()

    def read(session):
        notices.mark_read(session, office.user.id, notice.id)

    office.store.write(read)
    (first,) = office.notices()
    office.store.write(read)

    assert office.notices()[0].read_at == first.read_at is not None
    assert unread(office, office.user) == 0


def test_nobody_reads_another_persons_notice(office, store, write):
    stranger = Office.open(store, "Neighbours", 0).user
    write(office.user, "a")
    (notice,) = office.notices()

    for user, wanted in ((stranger, notice.id), (office.user, uuid4())):
        with pytest.raises(NotFound):
            store.write(lambda session, user=user, wanted=wanted: notices.mark_read(session, user.id, wanted))

    assert unread(office, office.user) == 1
    assert names(office, stranger) == []


def test_all_of_a_persons_notices_are_read_at_once_and_nobody_elses(office, store, write):
    stranger = Office.open(store, "Neighbours", 0).user
    write(office.user, "abc", read="a")
    write(stranger, "x")

    assert store.write(lambda session: notices.mark_all_read(session, office.user.id)) == 2

    assert (unread(office, office.user), unread(office, stranger)) == (0, 1)
