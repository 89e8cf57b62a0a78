"""Pages of unknown messages: what is known of them, and deciding about one, some or all."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.db import table_of
from smsqueue.domain.counting import Changes
from smsqueue.models import Attempt, Campaign, Recipient, State, Status, Team
from tests.domain_fixtures import Office
from tests.web import Visitor, main_of, one, page_of, text_of

recipients, attempts, campaigns = table_of(Recipient), table_of(Attempt), table_of(Campaign)


@pytest.fixture
def office(store, user):
    """The office of `user`, audited after the test."""
    with store.reading() as session:
        office = Office(store, session.get_one(Team, user.team_id), user)
    yield office
    assert not office.problems()


def lost(office, count=3, *, seconds=100, **values):
    """Make a campaign of which nobody can tell what became of its messages."""
    campaign = office.launched(count)

    def lose(session):
        session.execute(sa.text("DELETE FROM jobs"))
        mine = recipients.c.campaign_id == campaign.id
        session.execute(
            sa.update(recipients).where(mine).values(state=State.UNKNOWN, attempts=1, error="The line broke.")
        )
        for row in office.recipients(campaign):
            facts = {"claim_token": "t", "gateway": "simulated", "sender": "us", "outcome": "unknown"}
            started = now() - timedelta(seconds=seconds)
            session.execute(
                sa.insert(attempts).values(
                    recipient_id=row.id, number=1, reference=f"ours-{row.id}", started_at=started, **facts
                )
            )
        changes = Changes(queued=-count, unknown=count)
        changes.write(session, campaign.id)
        ended = {"status": Status.COMPLETED, "finished_at": now(), **values}
        session.execute(sa.update(campaigns).where(campaigns.c.id == campaign.id).values(ended))

    office.store.write(lose)
    return office.reload(campaign)


def address(campaign):
    """Return the page of a campaign's unknown messages."""
    return f"/sms/unknown/{campaign.uuid}"


def sure(asked):
    """Read what the page that asks "are you sure?" sends."""
    fields: dict[str, list[str]] = {}
    for field in one(asked, "main form").select("input"):
        fields.setdefault(str(field["name"]), []).append(str(field["value"]))
    return fields


def decided(member, campaign, what, **more):
    """Decide, and be sure."""
    return sure(member.post(address(campaign), {"what": what, **(more or {"which": "all"})}))


def test_the_menu_counts_them_only_when_there_are_some(member, office):
    before = text_of(member.get("/credits"), ".top-nav")
    lost(office)

    assert "Unknown" not in before
    assert "Unknown 3" in text_of(member.get("/credits"), ".top-nav")


def test_the_list_names_the_campaign_and_what_is_held(member, office):
    assert "Nothing unknown" in main_of(member.get("/sms/unknown"))
    lost(office)

    said = main_of(member.get("/sms/unknown"))

    assert "Sale" in said
    assert "3 of 3" in said
    assert "you decide" in said


def test_another_teams_messages_are_not_shown_nor_decided_about(make_visitor, factory, office):
    campaign = lost(office)
    stranger = make_visitor()
    stranger.sign_in(factory.user().email)

    assert "Nothing unknown" in main_of(stranger.get("/sms/unknown"))
    assert stranger.get(address(campaign)).status_code == 404
    assert stranger.post(address(campaign), {"what": "sent", "which": "all", "sure": "yes"}).status_code == 404
    assert office.states(campaign) == {"unknown": 3}


def test_the_campaigns_page_has_a_box_with_the_honest_sentence(member, office):
    campaign = lost(office)

    said = text_of(member.get(f"/sms/campaigns/{campaign.uuid}"), "#unknown")

    assert "3 messages: we cannot tell" in said
    assert "3 credits stay held" in said
    assert "Send again (may arrive twice)" in said


def test_what_cannot_be_undone_is_asked_about_first(member, office):
    campaign = lost(office)

    answer = member.post(address(campaign), {"what": "again", "which": "all"})

    assert answer.status_code == 200
    assert "Send 3 messages again?" in main_of(answer)
    assert "gets it a second time" in main_of(answer)
    assert office.states(campaign) == {"unknown": 3}


@pytest.mark.parametrize(("what", "state"), [("sent", "sent"), ("again", "queued"), ("not-sent", "failed")])
def test_some_are_decided_about(member, office, what, state):
    campaign = lost(office)
    asked = member.post(address(campaign), {"what": what, "which": "chosen", "row": ["1", "3"]})

    answer = member.post(address(campaign), sure(asked), follow_redirects=True)

    assert office.states(campaign) == {"unknown": 1, state: 2}
    assert "2 messages" in main_of(answer)


def test_only_what_is_unknown_is_counted_and_each_once(member, office):
    campaign = lost(office)

    asked = member.post(address(campaign), {"what": "sent", "which": "chosen", "row": ["1", "1", "77"]})

    assert "Count 1 message as sent?" in main_of(asked)


def test_all_are_decided_about(member, office):
    campaign = lost(office)

    member.post(address(campaign), decided(member, campaign, "not-sent"))

    assert office.states(campaign) == {"failed": 3}
    assert office.balance() == 1000


def test_nothing_is_decided_too_early(member, office):
    campaign = lost(office, seconds=5)

    answer = member.post(address(campaign), decided(member, campaign, "sent"), follow_redirects=True)

    assert "may still come" in main_of(answer)
    assert office.states(campaign) == {"unknown": 3}


def test_too_early_no_decision_is_offered(member, office):
    new, old = lost(office, 1, seconds=5), lost(office, 1)

    (fresh, stale) = (member.get(address(campaign)) for campaign in (new, old))

    assert "It is too new to decide about" in main_of(fresh)
    assert "The one unknown message of this campaign" in main_of(fresh)
    assert len(page_of(fresh).select("button[name=what]:disabled")) == 3
    assert not page_of(stale).select("button[name=what]:disabled")


def test_deciding_twice_does_it_once(member, office):
    campaign = lost(office)
    decision = decided(member, campaign, "sent")
    member.post(address(campaign), decision)

    answer = member.post(address(campaign), decision, follow_redirects=True)

    assert "became known meanwhile" in main_of(answer)
    assert (office.states(campaign), office.reload(campaign).spent) == ({"sent": 3}, 3)


def test_nothing_is_done_to_messages_that_nobody_was_asked_about(member, office):
    campaign = lost(office, 30)
    known = sa.update(recipients).where(recipients.c.campaign_id == campaign.id, recipients.c.row > 3)
    office.execute(known.values(state=State.SENT))
    decision = decided(member, campaign, "again")
    office.execute(known.values(state=State.UNKNOWN))

    answer = member.post(address(campaign), decision)

    assert (answer.status_code, office.states(campaign)) == (422, {"unknown": 30})
    assert "Send 30 messages again?" in main_of(answer)
    assert "not the same messages any more" in main_of(answer)
    member.post(address(campaign), sure(answer))
    assert office.states(campaign) == {"queued": 30}


@pytest.mark.parametrize("more", [{"which": "all"}, {"which": "chosen", "row": ["1", "2", "3"]}])
def test_an_old_answer_does_not_hold_for_the_next_attempt(member, office, more):
    campaign = lost(office)
    decision = decided(member, campaign, "again", **more)
    ids = [row.id for row in office.recipients(campaign)]
    office.execute(sa.update(recipients).where(recipients.c.id.in_(ids)).values(attempts=2))
    again = {"number": 2, "claim_token": "t", "gateway": "simulated", "sender": "us", "outcome": "unknown"}
    again |= {"started_at": now() - timedelta(seconds=90), "is_repeated": True}
    office.execute(
        sa.insert(attempts).values([{"recipient_id": id_, "reference": f"again-{id_}", **again} for id_ in ids])
    )

    assert member.post(address(campaign), decision).status_code == 422
    assert office.states(campaign) == {"unknown": 3}


def test_only_messages_that_are_unknown_are_asked_about_and_each_once(member, office):
    campaign = lost(office)

    asked = member.post(address(campaign), {"what": "again", "which": "chosen", "row": ["1", "1", "2", "77"]})

    assert "Send 2 messages again?" in main_of(asked)


def test_nobody_chosen_is_said(member, office):
    campaign = lost(office)

    answer = member.post(address(campaign), {"what": "sent", "which": "chosen"}, follow_redirects=True)

    assert "Choose at least one" in main_of(answer)


def test_nonsense_is_refused(member, office):
    assert member.post(address(lost(office)), {"what": "explode", "which": "all"}).status_code == 400


def test_asking_again_makes_a_job(member, office):
    campaign = lost(office)

    answer = member.post(address(campaign), {"what": "ask", "which": "all"}, follow_redirects=True)

    assert "is asked about 3 messages" in main_of(answer)
    assert office.jobs("sms.look-up") == 1


def test_long_lists_have_pages(member, office):
    campaign = lost(office, 51)

    first, last = member.get(address(campaign)), member.get(f"{address(campaign)}?after=50")

    assert len(page_of(first).select("tbody tr")) == 50
    assert "Next 50" in main_of(first)
    assert len(page_of(last).select("tbody tr")) == 1


@pytest.mark.parametrize(
    ("ability", "status", "can"),
    [
        ("", Status.COMPLETED, False),
        ("SIMULATED_LOOKUP", Status.CANCELLED, True),
        ("SIMULATED_IDEMPOTENT", Status.COMPLETED, True),
        ("SIMULATED_IDEMPOTENT", Status.CANCELLED, False),
    ],
)
def test_asking_is_offered_only_where_it_can_be_done(make_app, office, ability, status, can):
    campaign = lost(office, status=status)
    visitor = Visitor(make_app(**({ability: "yes"} if ability else {})).test_client())
    visitor.sign_in(office.user.email)

    said = main_of(visitor.get(address(campaign)))

    assert ("Ask again" in said, "cannot be asked" in said) == (can, not can)
