"""What a team may send, from its own row and the installation's settings."""

from smsqueue.domain.checking import Rules
from smsqueue.models import Team


def rules_for(team: Team, *, max_segments: int, credits_per_segment: int) -> Rules:
    """Return the rules by which a team's rows are checked."""
    return Rules(team.country, team.allowed_countries, max_segments, credits_per_segment)
