"""A team of many rules in the showroom, whose campaigns are refused at Send, each for another reason."""

from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.models import Team, User
from tests.acceptance.browser.afterwards import fail_all
from tests.domain_fixtures import plain

if TYPE_CHECKING:
    from tests.acceptance.browser.showroom import Showroom

BALANCE, CAP, TYPED_ABOVE = 30, 20, 25


def paint_refusing(showroom: "Showroom") -> User:
    """Hire somebody into a team with rules, and write a campaign against each of them."""
    strict = showroom.place.hire(BALANCE, team="Strict")
    office, later = showroom.office(strict), now() + timedelta(days=3)
    found = {
        "over the cap": office.draft(CAP + 1),
        "closed country": office.draft([*plain(1), "+33612345679"]),
        "never open": office.draft(2),
        "too late": office.draft(2),
        "other price": office.draft(2),
        "two columns": office.checked("name;phone\nAnn;+12015550123\nBob;+12015550124\n"),
        "strict failed": office.draft(2),
        "all failed": office.draft(TYPED_ABOVE + 1),
        "spent": office.draft(8),
        "spends": office.draft(CAP - 8, text="a" * 200),
    }
    for name, draft in found.items():
        showroom.found[name] = showroom.named(draft, name.capitalize())
    showroom.change("never open", sending_hours="09:00-10:00", scheduled_for=later, time_zone="UTC")
    showroom.change("too late", scheduled_for=now() - timedelta(hours=1), time_zone="UTC")
    showroom.change("other price", price=1)
    fail_all(showroom, "strict failed")
    fail_all(showroom, "all failed")
    rules = {"daily_cap": CAP, "countries": "US", "type_count_above": TYPED_ABOVE}
    change = sa.update(Team).where(Team.id == strict.team_id).values(**rules)
    showroom.place.store.write(lambda session: session.execute(change))
    return strict


def spend(showroom: "Showroom") -> None:
    """Launch a campaign that leaves too little for the next one."""
    showroom.office(showroom.strict).launch(showroom.found["spends"])
