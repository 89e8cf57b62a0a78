"""Who campaigns go to: numbers that are valid, all different, and spelled as people do; and a person who pays."""

import random
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import campaigns, credits, drafts, reviewing, sheets
from smsqueue.domain.accounts import find_user
from smsqueue.domain.campaigns import Terms
from smsqueue.domain.rules import rules_for
from smsqueue.models import Campaign, Kind, User
from tests.bench.stage import Stage

EMAIL, PASSWORD, TEAM = "bench@example.org", "a long benchmark password", "Bench"
TEXT = "Your order has been shipped and arrives on Monday. Reply STOP to opt out."
TERMS = Terms(validity_seconds=14_400, slice_rows=500, credits_per_segment=1)
NAMES = ("Ann", "Zoë", "José", "Marie-Claire", "Li", "Oluwaseun", "Jürgen", "Siobhán")
TOKEN = "benchmark"
INSERT = """INSERT INTO sms_recipients
    (campaign_id, row, source_row, number, country, encoding, segments, price, state, attempts)
    SELECT :campaign, n, n, '+1201' || (2000000 + n), 'US', 'gsm-7', 1, 1, 'queued', 0
    FROM generate_series(1, :count) AS n"""
AREAS = (201, 212, 305, 312, 404, 415, 503, 617, 702, 808)


@dataclass(frozen=True, slots=True)
class Sent:
    """A campaign under way."""

    id: int
    uuid: UUID


def sign_up(stage: Stage, credit: int) -> User:
    """Make a person with a team and credits, by the commands."""
    options = ("--team", TEAM, "--country", "US", "--countries", "*", "--operator", "--password-stdin")
    stage.command("sms", "user", "create", EMAIL, *options, stdin=PASSWORD + "\n")
    # Each round sends the same words to the same numbers, and all of them at once.
    stage.command("sms", "team", "set", TEAM, "--copies-per-hour", "0", "--first-ten-above", "10000000")
    stage.command("sms", "credits", "grant", TEAM, str(credit), "--reason", "benchmark")
    with stage.database.reading() as session:
        return find_user(session, EMAIL)


def number(index: int) -> str:
    """Return the index-th number in E.164; at most 80 million are different."""
    area, rest = divmod(index, 8_000_000)
    return f"+1{AREAS[area]}{2_000_000 + rest}"


def spelled(index: int) -> str:
    """Return a number as somebody may have typed it."""
    digits = number(index)[2:]
    area, exchange, line = digits[:3], digits[3:6], digits[6:]
    forms = (f"({area}) {exchange}-{line}", f"+1 {area} {exchange} {line}", f"{area}-{exchange}-{line}", digits)
    return forms[index % len(forms)]


def pasted(count: int) -> str:
    """Return so many numbers, one a line, in all spellings."""
    return "\n".join(spelled(index) for index in range(count))


def csv_file(count: int) -> bytes:
    """Return a file of so many rows, with names; one in a hundred is a duplicate, one in a hundred no number."""
    dice = random.Random(1)
    lines = ["Name;Phone;Order"]
    for index in range(count):
        cell = spelled(index)
        if index % 100 == 50:
            cell = spelled(index - 7)
        elif index % 100 == 99:
            cell = "ask at the counter"
        lines.append(f"{dice.choice(NAMES)};{cell};{dice.randrange(10**6)}")
    return "\n".join(lines).encode()


def launch(stage: Stage, user: User, count: int) -> Sent:
    """Write, check and confirm a campaign of so many recipients."""
    content = "\n".join(number(index) for index in range(count)).encode()
    rules, sheet = rules_for(user.team, max_segments=10, credits_per_segment=1), sheets.read(content)

    def draft(session: Session) -> Campaign:
        upload = drafts.save_upload(session, user.team_id, "", content)
        return drafts.draft_bulk(
            session,
            user=user,
            name="Benchmark",
            text=TEXT,
            upload=upload,
            sheet=sheet,
            column=0,
            replace=None,
            rules=rules,
        )

    made = stage.database.write(draft)
    reviewing.check_rows(stage.database, made.id, rules)
    stage.database.write(lambda s: campaigns.launch(s, user.team_id, made.uuid, made.token or "", TERMS))
    return Sent(made.id, made.uuid)


def store(stage: Stage, user: User, count: int) -> UUID:
    """Store a checked draft of at most a million recipients, on PostgreSQL, and confirm it as its page does."""

    def draft(session: Session) -> Campaign:
        numbers = {"rows": count, "checked_rows": count, "total": count, "segments": count, "price": count}
        campaign = Campaign(
            team_id=user.team_id,
            user_id=user.id,
            kind=Kind.BULK,
            name="Benchmark",
            text=TEXT,
            token=TOKEN,
            checked_at=now(),
            countries={"US": count},
            **numbers,
        )
        session.add(campaign)
        session.flush()
        session.execute(sa.text(INSERT), {"campaign": campaign.id, "count": count})
        return campaign

    campaign = stage.database.write(draft)
    with stage.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    stage.database.write(lambda s: campaigns.launch(s, user.team_id, campaign.uuid, TOKEN, TERMS))
    with stage.database.reading() as session:
        assert credits.held(session, user.team_id) == count
    return campaign.uuid
