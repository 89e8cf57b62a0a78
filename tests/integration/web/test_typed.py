"""What no page sends, but anybody can: NULs in a text, and numbers that no column holds."""

import pytest

from smsqueue.models import Team
from smsqueue.web.typed import LARGEST, LAST_ROW, row, whole
from tests.domain_fixtures import Office

HUGE = "9" * 30


@pytest.fixture
def campaign(store, user):
    """A campaign of the member who looks."""
    with store.reading() as session:
        office = Office(store, session.get_one(Team, user.team_id), user)
    return office.launched(3)


@pytest.mark.parametrize("read", [whole, row])
@pytest.mark.parametrize("sent", [HUGE, f"-{HUGE}", "-1", "1.5", "x", ""])
def test_a_number_that_no_column_holds_is_none(sent, read):
    with pytest.raises(ValueError, match=r"no such number|invalid literal"):
        read(sent)


def test_every_number_of_a_column_is_one():
    assert [whole(text) for text in ("0", "7", str(LARGEST))] == [0, 7, LARGEST]
    assert row(str(LAST_ROW)) == LAST_ROW


@pytest.mark.parametrize("number", [HUGE, str(LARGEST)])
@pytest.mark.parametrize(
    "address",
    [
        "/inbox?before={}",
        "/opt-outs?page={}",
        "/credits?before={}",
        "/sms/campaigns?before={}",
        "/sms/unknown?before={}",
        "/sms/unknown/{uuid}?after={}",
        "/sms/campaigns/{uuid}?after={}&seen={}",
        "/sms/campaigns/{uuid}/status?seen={}",
    ],
)
@pytest.mark.databases("postgresql", "sqlite")
def test_no_number_in_an_address_breaks_a_page(member, campaign, address, number):
    assert member.get(address.format(number, number, uuid=campaign.uuid)).status_code == 200


@pytest.mark.parametrize(
    ("address", "fields", "status"),
    [
        ("/inbox/read", {"up_to": HUGE}, 303),
        ("/inbox/stop", {"text": HUGE}, 404),
        ("/sms/unknown/{uuid}", {"what": "sent", "row": HUGE, "sure": "yes"}, 303),
        ("/sms/unknown/{uuid}", {"what": "ask", "row": [HUGE, "1"]}, 303),
        ("/sms/campaigns/{uuid}/retry", {"count": HUGE, "price": HUGE}, 303),
    ],
)
def test_no_number_in_a_form_breaks_its_page(member, campaign, address, fields, status):
    assert member.post(address.format(uuid=campaign.uuid), fields).status_code == status


@pytest.mark.usefixtures("campaign")
@pytest.mark.parametrize("address", ["/opt-outs?page=%00", "/opt-outs?search=%00", "/inbox?search=%00"])
def test_a_nul_in_an_address_is_left_out(member, address):
    assert member.get(address).status_code == 200


def test_a_nul_in_a_form_is_left_out(member):
    member.post("/opt-outs", {"number": "+1201555\x000123", "note": "on\0 the phone"})
    assert "on the phone" in member.get("/opt-outs").text
    assert member.post("/opt-outs/remove", {"number": "+\0", "reason": "\0"}).status_code == 422
    assert member.post("/opt-outs/remove", {"number": "+1201555\x000123", "reason": "a\0"}).status_code == 303
    assert "Nobody has opted out" in member.get("/opt-outs").text
