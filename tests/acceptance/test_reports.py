"""Delivery reports over real HTTP: the outside world, the web server and a worker, each in a process of its own."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsqueue.models import Campaign, DeliveryReport, InboundText, OptOut, Recipient, Team, User
from tests.acceptance.browser.installation import Installation
from tests.domain_fixtures import Office, fated, plain
from tests.outside import Outside, wait_until

SECRET = "of-no-use-anywhere-else-" * 2
ENDS = {
    "00": "delivered",
    "95": "undelivered",
    "96": "undelivered",
    "97": "sent",
    "98": "delivered",
    "99": "delivered",
    "90": "delivered",
    "94": "delivered",
    "80": "failed",
}
"""What each fate comes to; of 90 and 94 the reply is lost, and only the report tells."""


class Reported(Installation):
    """An installation that gateways may call."""

    @property
    def environ(self) -> dict[str, str]:
        """Have callbacks come to our pages."""
        ours = {"SMS_CALLBACK_BASE_URL": self.url, "SMS_CALLBACK_SECRET": SECRET, "SMS_READ_TIMEOUT": "3"}
        return super().environ | ours


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Iterator[Reported]:
    """Everything that runs; the outside world reports at once, twice, and in whatever order."""
    with Outside(tmp_path, report_delay_ms=0, p_report_twice=0.3, p_report_swapped=0.3) as outside:
        place = Reported(tmp_path, database_url, outside)
        outside.settings(callback_url=f"{place.url}/callbacks/simulated/report", callback_secret=SECRET)
        try:
            place.start_web()
            place.start_worker()
            yield place
        finally:
            place.close()


def launch(place: Reported, user: User, numbers: list[str]) -> tuple[Office, Campaign]:
    """Send a campaign to these numbers."""
    with place.store.reading() as session:
        office = Office(place.store, session.get_one(Team, user.team_id), user)
    return office, office.launched(numbers)


def test_every_fate_is_known_by_its_report_and_the_books_are_right(place: Reported) -> None:
    user = place.hire()
    numbers = fated(*ENDS)
    office, campaign = launch(place, user, numbers)
    expected = dict(zip(numbers, ENDS.values(), strict=True))

    def states() -> dict[str, str]:
        return {each.number: each.state for each in office.recipients(campaign)}

    wait_until(lambda: states() == expected, 40)
    wait_until(lambda: office.rows(InboundText), 20)
    with place.store.reading() as session:
        assert session.scalars(sa.select(OptOut.number)).all() == [numbers[list(ENDS).index("99")]]
    wait_until(lambda: office.reload(campaign).finished_at, 20)
    assert office.reload(campaign).status == "completed"
    assert len(office.notices()) == 1
    assert office.balance() == 1000 - len(ENDS) + 1
    code, said = place.audit()
    assert code == 0, said


def test_lost_replies_are_all_cleared_up_by_reports(place: Reported) -> None:
    assert place.outside
    place.outside.settings(p_lost_reply=0.3)
    user = place.hire()
    office, campaign = launch(place, user, plain(300))

    def delivered() -> int | None:
        with place.store.reading() as session:
            mine = sa.select(sa.func.count()).where(
                Recipient.campaign_id == campaign.id, Recipient.state == "delivered"
            )
            return session.scalar(mine)

    wait_until(lambda: delivered() == 300, 60)
    assert Counter(line["to"] for line in place.outside.log_lines()).most_common(1)[0][1] == 1
    now = office.reload(campaign)
    assert (now.delivered, now.unknown, now.spent, now.returned) == (300, 0, 300, 0)
    assert all(each.attempt_id for each in office.rows(DeliveryReport))
    code, said = place.audit()
    assert code == 0, said
