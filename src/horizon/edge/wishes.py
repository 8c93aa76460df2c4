"""What a preference form asks for, and what of it is a change. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from urllib.parse import parse_qs

PAUSE_DAYS = 30
# How often, by the form's names. "other" is a number of days that the form cannot ask for.
EVERY_DAYS: Mapping[str, float | None] = MappingProxyType(
    {"always": None, "week": 7.0, "month": 30.0}
)
OTHER = "other"
MARK = "horizon"  # a field that tells our form from what else may be posted
_FIELDS = 500


@dataclass(frozen=True, slots=True)
class State:
    """What holds for an address and channel, as far as its owner may choose it."""

    granted: Mapping[str, bool | None]  # by purpose; None: nobody ever said anything
    every_days: float | None = None
    paused_until: datetime | None = None

    def pause_at(self, now: datetime) -> datetime | None:
        """The end of a pause that still lasts."""
        return self.paused_until if self.paused_until and self.paused_until > now else None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a form asks to be other than what it showed."""

    consents: Mapping[str, bool] = field(default_factory=dict)  # by purpose
    every: str | None = None  # a name of EVERY_DAYS; None: as it is
    pause: bool | None = None  # None: as it is
    everything: bool = False  # unsubscribe from everything, whatever else was chosen


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written."""

    granted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    preference: tuple[float | None, datetime | None] | None = None  # every_days, paused_until

    def __bool__(self) -> bool:
        return bool(self.granted or self.refused or self.preference)


def every_name(every_days: float | None) -> str:
    names = {days: name for name, days in EVERY_DAYS.items()}
    return names.get(every_days, OTHER)


def fields_of(body: bytes) -> dict[str, list[str]] | None:
    """The fields of an urlencoded form of ours, or None for anything else."""
    try:
        fields = parse_qs(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS
        )
    except ValueError:
        return None
    return fields if MARK in fields else None


def read_wish(fields: Mapping[str, list[str]]) -> Wish:
    """The form tells what it showed: an old one, or one of two tabs, undoes nothing by chance."""
    if "everything" in fields:
        return Wish(everything=True)
    ticked, shown = set(fields.get("purpose", ())), set(fields.get("granted", ()))
    every = fields.get("every", [OTHER])[-1]
    kept = every not in EVERY_DAYS or every == fields.get("every_shown", [""])[-1]
    pause = {"pause": True, "resume": False}
    return Wish(
        consents={
            purpose: purpose in ticked
            for purpose in dict.fromkeys(fields.get("listed", ()))
            if (purpose in ticked) != (purpose in shown)
        },
        every=None if kept else every,
        pause=next((wanted for name, wanted in pause.items() if name in fields), None),
    )


def change_of(wish: Wish, state: State, now: datetime) -> Change:
    """What of the wish does not hold yet: the same form sent twice changes something once."""
    if wish.everything:
        asked = dict.fromkeys(state.granted, False)
    else:
        asked = {name: yes for name, yes in wish.consents.items() if name in state.granted}
    differing = [name for name, yes in asked.items() if state.granted[name] is not yes]
    every_days = EVERY_DAYS[wish.every] if wish.every else state.every_days
    pause = state.pause_at(now)
    paused_until = pause if wish.pause is None else _paused_until(pause, now, wanted=wish.pause)
    moved = (every_days, paused_until) != (state.every_days, pause)
    return Change(
        granted=tuple(name for name in differing if asked[name]),
        refused=tuple(name for name in differing if not asked[name]),
        preference=(every_days, paused_until) if moved else None,
    )


def _paused_until(pause: datetime | None, now: datetime, *, wanted: bool) -> datetime | None:
    if not wanted:
        return None
    return pause or now + timedelta(days=PAUSE_DAYS)
