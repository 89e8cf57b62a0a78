"""Texts that come in: kept once, put together from their pieces, and obeyed where they say "no more"."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.bulk import insert_new
from smsqueue.core.clock import now as moment
from smsqueue.db import Database, changed, table_of
from smsqueue.domain import limits, optouts
from smsqueue.domain.errors import NotFound
from smsqueue.domain.goodbye import Goodbye
from smsqueue.domain.meanings import Meaning, meaning_of, own_words, words_of_country
from smsqueue.domain.storable import clean
from smsqueue.gateways.base import Inbound
from smsqueue.models import Campaign, InboundText, Recipient, Team
from smsqueue.queue.events import emit_once_committed

texts, recipients, campaigns = table_of(InboundText), table_of(Recipient), table_of(Campaign)
PIECE, JOINED = "piece", "joined"
"""What stands in place of a meaning: the rest is missing; it stands in another row."""
PIECES_KEPT = timedelta(days=1)
"""References of pieces are small numbers that come again."""
LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class Texted:
    """A team that has sent texts to a number."""

    team_id: int
    own_words: list[str]
    """Those of its country's languages, too."""


def receive(database: Database, gateway: str, told: Inbound, now: datetime, goodbye: Goodbye | None = None) -> None:
    """Keep a text that came in and do what it asks for; the same one again changes nothing."""
    database.write(lambda session: keep(session, gateway, told, now, goodbye))
    if told.piece:
        # In a transaction of its own: of two that keep the last two pieces at once, neither sees the other's.
        database.write(lambda session: join(session, gateway, told, now, goodbye))


def keep(session: Session, gateway: str, told: Inbound, now: datetime, goodbye: Goodbye | None) -> None:
    """Store a text, and obey it unless it is only a piece."""
    piece, number, count = told.piece or (None, None, None)
    sender, text = clean(told.sender, 20), clean(told.text, LONGEST)
    row = {
        "gateway": gateway,
        "gateway_reference": _reference(told),
        "sender": sender,
        "to": clean(told.to, 20),
        "text": text,
        "meaning": PIECE,
        "piece_reference": clean(piece, 40) if piece is not None else None,
        "piece_number": number,
        "piece_count": count,
        "at": told.at,
        "received_at": now,
    }
    insert_new(session, texts, [row])
    if told.piece is None:
        mine = (texts.c.gateway == gateway, texts.c.sender == sender, texts.c.piece_reference.is_(None))
        new = sa.select(texts.c.id).where(*mine, texts.c.meaning == PIECE)  # none: it was there already
        for id_ in session.scalars(new).all():
            _obey(session, _understand(session, id_, sender, text, goodbye), sender, now, goodbye)


def join(session: Session, gateway: str, told: Inbound, now: datetime, goodbye: Goodbye | None) -> None:
    """Put the pieces of a text together when all are there, and obey it."""
    reference, _, count = told.piece or ("", 0, 0)
    pieces = sa.select(texts.c.id, texts.c.piece_number, texts.c.text).where(
        texts.c.gateway == gateway,
        texts.c.sender == clean(told.sender, 20),
        texts.c.piece_reference == clean(reference, 40),
        texts.c.piece_count == count,
        texts.c.meaning == PIECE,
        texts.c.received_at > now - PIECES_KEPT,
    )
    found = {row.piece_number: row for row in session.execute(pieces.order_by(texts.c.id).with_for_update())}
    if not count or any(number not in found for number in range(1, count + 1)):
        return
    text = "".join(found[number].text for number in range(1, count + 1))[:LONGEST]
    others = [row.id for number, row in found.items() if number != 1]
    session.execute(sa.update(texts).where(texts.c.id.in_(others)).values(meaning=JOINED, text=""))
    sender = clean(told.sender, 20)
    _obey(session, _understand(session, found[1].id, sender, text, goodbye), sender, now, goodbye)


def _understand(session: Session, text_id: int, sender: str, text: str, goodbye: Goodbye | None) -> dict[int, Meaning]:
    """Find whose text it is; return what it means to each team that has texted its sender, the last one first."""
    teams = _teams_that_texted(session, sender)
    meanings = {each.team_id: meaning_of(text, each.own_words) for each in teams}
    last = teams[0].team_id if teams else None
    meaning = meanings[last] if last is not None else meaning_of(text)
    if goodbye and last is not None and meaning is Meaning.STOP:
        limits.take_turn(session, last)  # as every launch, before its team's row is held for the text that names it
    values = {"team_id": last, "meaning": meaning, "text": text}
    session.execute(sa.update(texts).where(texts.c.id == text_id).values(values))
    emit_once_committed(session, "text.received", team_id=last, meaning=meaning)
    return meanings


def _obey(
    session: Session, meanings: Mapping[int, Meaning], sender: str, now: datetime, goodbye: Goodbye | None
) -> None:
    """Do what a text asks for; whoever was texted has a number that fits into the list."""
    last = next(iter(meanings), None)
    is_answered = last is not None and meanings[last] is Meaning.STOP and not optouts.out_of(session, last, [sender])
    out = {(team_id, sender) for team_id, what in meanings.items() if what is Meaning.STOP}
    back = {(team_id, sender) for team_id, what in meanings.items() if what is Meaning.START}
    optouts.add_all(session, out, source="stop", at=now)  # of two at once, the second waits here for the first
    if goodbye and last is not None and is_answered:
        goodbye.say(session, last, sender)
    optouts.let_back(session, back)


def _teams_that_texted(session: Session, number: str) -> list[Texted]:
    """Return the teams that have sent something to a number, the last one first."""
    latest = sa.func.max(recipients.c.id).label("latest")
    mine = (
        sa.select(campaigns.c.team_id, latest)
        .join(campaigns, campaigns.c.id == recipients.c.campaign_id)
        .where(recipients.c.number == number, recipients.c.attempts > 0)
        .group_by(campaigns.c.team_id)
        .subquery()
    )
    teams = sa.select(Team.id, Team.opt_out_words, Team.country).join(mine, mine.c.team_id == Team.id)
    found = session.execute(teams.order_by(mine.c.latest.desc()))
    return [Texted(team_id, own_words(words) + words_of_country(country)) for team_id, words, country in found]


def _reference(told: Inbound) -> str | None:
    """Name a text so that it is known again: the gateway's word, or else what it says and when it was written."""
    if told.gateway_reference:
        return clean(told.gateway_reference, 100)
    if told.at is None:
        return None
    facts = "\n".join((told.sender, told.to, told.text, told.at.isoformat()))
    return f"sha256:{hashlib.sha256(facts.encode('utf-8', 'replace')).hexdigest()}"


def listing(
    session: Session, team_id: int, *, before: int | None = None, search: str = "", limit: int = 50
) -> Sequence[InboundText]:
    """Return the texts to a team, newest first, from below id `before`, all or those from such a number."""
    statement = sa.select(InboundText).where(*_shown(team_id)).order_by(InboundText.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(InboundText.id < before)
    if search:
        digits = "".join(filter(str.isdigit, search)).lstrip("0")
        statement = statement.where(InboundText.sender.contains(digits) if digits else sa.false())
    return session.scalars(statement).all()


def unread(session: Session, team_id: int) -> int:
    """Count the texts that nobody of the team has seen."""
    statement = sa.select(sa.func.count()).select_from(InboundText)
    return session.scalar(statement.where(*_shown(team_id), InboundText.read_at.is_(None))) or 0


def mark_read(session: Session, team_id: int, up_to: int) -> int:
    """Mark a team's texts as read up to an id, those that came later stay new; return how many."""
    mine = (texts.c.team_id == team_id, texts.c.id <= up_to, texts.c.read_at.is_(None))
    return changed(session, sa.update(texts).where(*mine).values(read_at=moment()))


def opt_out_by_hand(session: Session, team_id: int, text_id: int, user_id: int) -> str:
    """Put whoever wrote a text to the team on its list, as a person has read it; return the number. Raises NotFound."""
    mine = sa.select(InboundText.sender).where(InboundText.id == text_id, *_shown(team_id))
    number = session.scalar(mine)
    if number is None:
        raise NotFound("text")
    note = "read from a text that came in"
    optouts.add_all(session, {(team_id, number[:16])}, source=optouts.PERSON, note=note, user_id=user_id)
    return number


def _shown(team_id: int) -> tuple[Any, ...]:
    return InboundText.team_id == team_id, InboundText.meaning.notin_((PIECE, JOINED))
