"""Confirm: charge, campaign and jobs together or not at all, once, however often it is posted."""

from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from smsqueue.domain import accounts, campaigns, credits, reviewing
from smsqueue.domain.campaigns import NotChecked, NothingToSend, OwnerDisabled, PriceChanged, WrongToken
from smsqueue.domain.errors import NotEnoughCredits, NotFound
from smsqueue.models import Campaign, LedgerTransaction, Recipient, Status
from smsqueue.queue.models import JobRow
from tests.domain_fixtures import RULES, TERMS, Office
from tests.domain_workers import at_once, race


def test_confirming_charges_queues_one_job_for_each_slice_and_leaves_the_campaign_pending(office):
    campaign = office.launched(7, slice_rows=3)

    assert (campaign.status, campaign.total, campaign.queued, campaign.charged, campaign.held) == (
        Status.PENDING,
        7,
        7,
        7,
        7,
    )
    assert office.balance() == 993
    assert [job.payload for job in office.rows(JobRow)] == [
        f'{{"kind": "sms.send-bulk", "version": 1, "data": {{"campaign_id": {campaign.id}, '
        f'"first_row": {first}, "last_row": {last}}}}}'
        for first, last in ((1, 3), (4, 6), (7, 7))
    ]


def test_a_campaign_is_valid_from_its_confirmation_on(office):
    campaign = office.launched(1, validity_seconds=90)

    assert campaign.valid_until - campaign.confirmed_at == timedelta(seconds=90)


def test_a_single_sms_goes_before_bulk_work(office):
    office.launched(2)
    office.launch(office.single())

    priorities = {job.kind: job.priority for job in office.rows(JobRow)}
    assert priorities["sms.send-single"] < priorities["sms.send-bulk"]


def test_long_texts_cost_a_credit_for_each_segment(office):
    campaign = office.launch(office.draft(2, text="x" * 200))

    assert (campaign.price, office.balance()) == (4, 996)


def test_the_same_token_again_is_the_same_campaign(office):
    draft = office.draft(3)
    first = office.launch(draft)

    again = office.launch(draft)

    assert (again.id, again.status) == (first.id, Status.PENDING)
    assert (office.balance(), office.jobs()) == (997, 1)


def test_fifty_confirmations_at_once_are_one_charge_and_one_set_of_jobs(office):
    draft = office.draft(5)

    errors = at_once([lambda: office.launch(draft, slice_rows=2)] * 50)

    assert errors == [None] * 50
    assert (office.balance(), office.jobs()) == (995, 3)
    assert office.reload(draft).charged == 5


def test_of_two_people_who_confirm_at_once_with_credits_for_one_only_one_sends(store):
    office = Office.open(store, "Poor", 3)
    drafts = [office.draft(3), office.draft(3)]

    errors = at_once([lambda: office.launch(drafts[0]), lambda: office.launch(drafts[1])])

    (refused,) = [error for error in errors if error]
    assert isinstance(refused, NotEnoughCredits)
    assert (refused.needed, refused.available) == (3, 0)
    assert sorted(office.reload(draft).status for draft in drafts) == [Status.DRAFT, Status.PENDING]
    assert (office.balance(), office.jobs()) == (0, 1)
    assert not office.problems()


def test_a_campaign_stays_a_draft_when_credits_are_short(store):
    office = Office.open(store, "Poor", 1)
    draft = office.draft(2)

    with pytest.raises(NotEnoughCredits) as refused:
        office.launch(draft)

    after = office.reload(draft)
    assert refused.value.missing == 1
    assert (after.status, after.charged, after.queued, after.confirmed_at) == (Status.DRAFT, 0, 0, None)
    assert (office.balance(), office.jobs()) == (1, 0)


def test_a_campaign_that_was_short_of_credits_can_be_confirmed_later(store):
    office = Office.open(store, "Poor", 0)
    draft = office.draft(2)
    with pytest.raises(NotEnoughCredits):
        office.launch(draft)
    store.write(lambda session: credits.grant(session, office.team.id, 2, reason="more"))

    assert office.launch(draft).status == Status.PENDING


def test_a_wrong_token_is_refused(office):
    draft = office.draft(1)

    with pytest.raises(WrongToken, match="Nothing was sent or charged"):
        office.launch(draft, token="forged")

    assert office.reload(draft).status == Status.DRAFT


def test_another_campaigns_token_is_refused(office):
    mine, other = office.draft(1), office.draft(1)

    with pytest.raises(WrongToken):
        office.launch(mine, token=other.token)


def test_a_token_does_not_launch_another_teams_campaign(office, store):
    neighbours = Office.open(store, "Neighbours", 10)
    draft = office.draft(1)

    with pytest.raises(NotFound):
        store.write(lambda session: campaigns.launch(session, neighbours.team.id, draft.uuid, draft.token, TERMS))


def test_an_unknown_campaign_is_not_found(office):
    with pytest.raises(NotFound, match="no such campaign"):
        office.store.write(lambda session: campaigns.launch(session, office.team.id, uuid4(), "token", TERMS))


def test_a_page_of_the_draft_before_it_was_changed_confirms_nothing(office):
    before = office.draft(1)
    office.unchecked("phone\n+12015550150\n", text="Changed", replace=before)
    reviewing.check_rows(office.store, before.id, RULES)

    with pytest.raises(WrongToken):
        office.launch(before)

    assert office.balance() == 1000


def test_a_draft_whose_rows_are_still_being_checked_cannot_be_confirmed(office):
    draft = office.unchecked("phone\n+12015550150\n")

    with pytest.raises(NotChecked, match="wait"):
        office.launch(draft)


def test_a_draft_without_a_good_row_cannot_be_confirmed(office):
    draft = office.draft(["nonsense"])

    with pytest.raises(NothingToSend):
        office.launch(draft)


def test_another_price_than_was_shown_is_not_charged(office):
    draft = office.draft(2)

    with pytest.raises(PriceChanged, match="was 2 when you looked and is 6 now"):
        office.launch(draft, credits_per_segment=3)

    assert (office.reload(draft).status, office.balance()) == (Status.DRAFT, 1000)


def test_recipients_that_came_or_went_since_the_review_are_not_charged(office):
    draft = office.draft(2)
    office.execute(sa.delete(Recipient).where(Recipient.row == 2))

    with pytest.raises(PriceChanged):
        office.launch(draft)


def test_who_may_not_sign_in_any_more_sends_nothing(office):
    draft = office.draft(1)
    office.store.write(lambda session: campaigns.set_active(session, office.user.id, False))

    with pytest.raises(OwnerDisabled):
        office.launch(draft)


def test_a_colleague_confirms_with_the_teams_credits(office):
    colleague = office.store.write(
        lambda session: accounts.create_user(session, email="b@example.com", password_hash="-", team=office.team)
    )

    campaign = office.launch(office.draft(2, user=colleague))

    (movement,) = [each for each in office.rows(LedgerTransaction) if each.kind == "charge"]
    assert (campaign.user_id, movement.user_id, office.balance()) == (colleague.id, colleague.id, 998)


def test_a_discarded_draft_is_gone(office):
    draft = office.draft(2)

    office.store.write(lambda session: campaigns.discard(session, office.team.id, draft.uuid))

    assert not office.rows(Campaign)
    assert not office.rows(Recipient)


def test_a_launched_campaign_cannot_be_discarded(office):
    campaign = office.launched(2)

    office.store.write(lambda session: campaigns.discard(session, office.team.id, campaign.uuid))

    assert office.reload(campaign).status == Status.PENDING


@pytest.mark.databases("postgresql", "mariadb")
def test_a_draft_that_is_changed_while_it_is_confirmed_is_not_taken_for_launched(office):
    draft = office.draft(1)

    def confirm(session):
        campaigns.launch(session, office.team.id, draft.uuid, draft.token, TERMS)

    with pytest.raises(WrongToken):
        race(office.store, lambda session: session.execute(renew(draft)), confirm)

    assert (office.reload(draft).status, office.balance()) == (Status.DRAFT, 1000)


@pytest.mark.databases("postgresql", "mariadb")
def test_a_draft_that_is_discarded_while_it_is_confirmed_is_not_found(office):
    draft = office.draft(1)

    def confirm(session):
        campaigns.launch(session, office.team.id, draft.uuid, draft.token, TERMS)

    with pytest.raises(NotFound):
        race(office.store, lambda session: campaigns.discard(session, office.team.id, draft.uuid), confirm)


@pytest.mark.databases("postgresql", "mariadb")
def test_a_draft_that_is_confirmed_while_it_is_discarded_stays(office):
    draft = office.draft(2)

    def confirm(session):
        campaigns.launch(session, office.team.id, draft.uuid, draft.token, TERMS)

    race(office.store, confirm, lambda session: campaigns.discard(session, office.team.id, draft.uuid))

    assert office.reload(draft).status == Status.PENDING
    assert office.states(draft) == {"queued": 2}


def renew(draft):
    """Change a draft's token, as writing over it does."""
    return sa.update(Campaign).where(Campaign.id == draft.id).values(token="renewed")
