"""Times as people type them: `90s`, `30m`, `2h`, `1d`, or a moment."""

import re
from datetime import UTC, datetime, timedelta

import click

from smsqueue.core.clock import now

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
LONGEST = 365 * SECONDS["d"]


class Duration(click.ParamType[float]):
    """A length of time: a number with s, m, h or d behind it; the value is seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds; refuse what is none, or longer than a year."""
        if isinstance(value, int | float):
            return float(value)
        found = _LENGTH.fullmatch(str(value).strip().lower())
        seconds = float(found[1]) * SECONDS[found[2]] if found else 0
        if not 0 < seconds <= LONGEST:
            self.fail(f"{value!r} is no length of time; write 90s, 30m, 2h or 1d, at most a year", param, ctx)
        return seconds


class Since(click.ParamType[datetime]):
    """A moment in the past: so long ago, or a time in ISO 8601 (UTC where it names no zone)."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment, in UTC."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        if _LENGTH.fullmatch(text.lower()):
            return now() - timedelta(seconds=DURATION.convert(text, param, ctx))
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{value!r} is no time; write 2h, 1d or {now():%Y-%m-%dT%H:%M}", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


DURATION = Duration()
SINCE = Since()
