"""What the simulator can be told, from the environment at the start and by PUT /settings while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from typing import Self

PREFIX = "SIMULATED_"
# Names with the prefix that are read elsewhere: by the adapter, and as arguments of the command.
NOT_OURS = frozenset({"url", "log", "port", "smtp_port", "max_per_second"})
YES = frozenset({"1", "on", "true", "yes"})
NO = frozenset({"0", "off", "false", "no"})
SECRET = frozenset({"callback_secret"})

Value = str | int | float | bool | None


class WrongOption(ValueError):
    """A setting of the simulator that is unknown or has a value that is not allowed; its text is a full sentence."""


@dataclass(frozen=True, slots=True)
class Options:
    """Every setting of the simulator; the environment's name is `SIMULATED_` and the field's name in capitals.

    `rate` counts segments a second (0 = no limit); names starting with `p_` are probabilities from 0 to 1.
    `down` answers every message with "unreachable", which is surely not taken.
    """

    latency_ms: int = 0
    jitter_ms: int = 0
    rate: float = 0.0
    p_500: float = 0.0
    p_429: float = 0.0
    p_lost_reply: float = 0.0
    p_cut: float = 0.0
    down: bool = False
    report_delay_ms: int = 1000
    p_report_lost: float = 0.0
    p_report_twice: float = 0.0
    p_report_swapped: float = 0.0
    p_undelivered: float = 0.0
    seed: int | None = None
    fates: bool = True
    idempotent: bool = False
    lookup: bool = False
    lookup_lag_ms: int = 0
    callback_url: str | None = None
    callback_secret: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the `SIMULATED_…` variables; an unknown name is refused, for a typing error would void a drill."""
        given = {name[len(PREFIX) :].lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
        return cls().changed({name: value for name, value in given.items() if name not in NOT_OURS})

    def changed(self, values: Mapping[str, object]) -> Self:
        """A copy with other values; names in small or capital letters, with or without the prefix."""
        new: dict[str, Value] = {}
        for given, value in values.items():
            name = given.lower().removeprefix(PREFIX.lower())
            if name not in READERS:
                allowed = ", ".join(sorted(PREFIX + known.upper() for known in READERS))
                raise WrongOption(f"{given} is not a setting of the simulator. Allowed: {allowed}.")
            new[name] = _read(name, value)
        changed = replace(self, **new)  # type: ignore[arg-type]  # each reader returns its field's type
        if changed.callback_url and not changed.callback_secret:
            raise WrongOption("SIMULATED_CALLBACK_URL needs SIMULATED_CALLBACK_SECRET, for every report is signed.")
        return changed

    def shown(self) -> dict[str, Value]:
        """All settings as JSON shows them; secrets only as set or not."""
        return {name: bool(value) if name in SECRET else value for name, value in asdict(self).items()}


def _milliseconds(value: object) -> int:
    number = int(str(value))
    if not 0 <= number <= 3_600_000:
        raise ValueError(value)
    return number


def _probability(value: object) -> float:
    number = float(str(value))
    if not 0 <= number <= 1:
        raise ValueError(value)
    return number


def _rate(value: object) -> float:
    number = float(str(value))
    if not isfinite(number) or number < 0:
        raise ValueError(value)
    return number


def _switch(value: object) -> bool:
    word = str(value).lower()
    if word not in YES | NO:
        raise ValueError(value)
    return word in YES


def _seed(value: object) -> int | None:
    return None if value in (None, "") else int(str(value))


def _text(value: object) -> str | None:
    return None if value in (None, "") else str(value)


HINTS: dict[Callable[[object], Value], str] = {
    _milliseconds: "whole milliseconds from 0 to 3600000",
    _probability: "a probability from 0 to 1",
    _rate: "segments a second, 0 for no limit",
    _switch: "on or off",
    _seed: "a whole number",
}


def _reader(name: str) -> Callable[[object], Value]:
    if name.endswith("_ms"):
        return _milliseconds
    if name.startswith("p_"):
        return _probability
    special: dict[str, Callable[[object], Value]] = {"rate": _rate, "seed": _seed}
    return special.get(name, _text if name.startswith("callback_") else _switch)


READERS: dict[str, Callable[[object], Value]] = {field.name: _reader(field.name) for field in fields(Options)}


def _read(name: str, value: object) -> Value:
    reader = READERS[name]
    try:
        return reader(value)
    except ValueError as error:
        hint = HINTS.get(reader, "a text")
        raise WrongOption(f"{PREFIX}{name.upper()} ({value}) must be {hint}.") from error
