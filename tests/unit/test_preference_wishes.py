"""What a preference form changes: only what differs from what it showed, and only once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from horizon.edge.wishes import (
    EVERY_DAYS,
    MARK,
    PAUSE_DAYS,
    Change,
    State,
    Wish,
    change_of,
    every_name,
    fields_of,
    read_wish,
)

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
PURPOSES = ("marketing", "tracking", "events", "surveys")

states = st.builds(
    State,
    granted=st.fixed_dictionaries(dict.fromkeys(PURPOSES, st.sampled_from([True, False, None]))),
    every_days=st.sampled_from([None, 7.0, 14.0, 30.0]),
    paused_until=st.none() | st.integers(-40, 40).map(lambda days: NOW + timedelta(days, 1)),
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "toggled": st.sets(st.sampled_from(PURPOSES)),
        "every": st.sampled_from([*EVERY_DAYS]),
        "pause": st.just(True),
    },
)


def form(
    shown: State, *, toggled: Iterable[str] = (), every: str = "", pause: bool = False
) -> bytes:
    """What a browser posts of the page that was made of ``shown``."""
    ticked = {name for name, yes in shown.granted.items() if yes} ^ set(toggled)
    fields = [
        (MARK, "preferences"),
        *(("listed", name) for name in shown.granted),
        *(("granted", name) for name, yes in shown.granted.items() if yes),
        *(("purpose", name) for name in ticked),
        ("every_shown", every_name(shown.every_days)),
        ("every", every or every_name(shown.every_days)),
    ]
    if pause:
        fields.append(("resume" if shown.pause_at(NOW) else "pause", "1"))
    return urlencode(fields).encode()


def wish_of(body: bytes) -> Wish:
    fields = fields_of(body)
    assert fields is not None
    return read_wish(fields)


def applied(change: Change, state: State) -> State:
    granted = {
        **state.granted, **dict.fromkeys(change.granted, True), **dict.fromkeys(change.refused, False)
    }  # fmt: skip
    if change.preference is None:
        return replace(state, granted=granted)
    return State(granted, *change.preference)


def saved(body: bytes, state: State) -> State:
    return applied(change_of(wish_of(body), state, NOW), state)


@given(states, states)
def test_a_form_that_nobody_touched_changes_nothing_whatever_holds_now(
    shown: State, now: State
) -> None:
    assert not change_of(wish_of(form(shown)), now, NOW)


@given(states, changes)
def test_what_was_chosen_holds_and_the_rest_stays(shown: State, chosen: dict[str, object]) -> None:
    after = saved(form(shown, **chosen), shown)  # type: ignore[arg-type]
    toggled = chosen.get("toggled", set())
    for name, before in shown.granted.items():
        assert after.granted[name] is (not before if name in toggled else before)  # type: ignore[operator]
    every = chosen.get("every")
    assert after.every_days == (EVERY_DAYS[str(every)] if every else shown.every_days)
    if chosen.get("pause"):
        assert (after.pause_at(NOW) is None) == (shown.pause_at(NOW) is not None)
    else:
        assert after.pause_at(NOW) == shown.pause_at(NOW)


@given(states, states, changes)
def test_the_same_form_twice_changes_something_once(
    shown: State, now: State, chosen: dict[str, object]
) -> None:
    body = form(shown, **chosen)  # type: ignore[arg-type]
    assert not change_of(wish_of(body), saved(body, now), NOW)


@given(states, st.sets(st.sampled_from(PURPOSES[:2])), st.sets(st.sampled_from(PURPOSES[2:])))
def test_two_tabs_do_not_undo_each_other(shown: State, one: set[str], other: set[str]) -> None:
    first, second = form(shown, toggled=one, every="week"), form(shown, toggled=other, pause=True)
    there, back = saved(second, saved(first, shown)), saved(first, saved(second, shown))
    assert there == back
    assert {
        name for name in PURPOSES if there.granted[name] is not shown.granted[name]
    } == one | other


@given(states, changes)
def test_everything_refuses_each_purpose_and_nothing_else(
    state: State, chosen: dict[str, object]
) -> None:
    body = form(state, **chosen) + b"&everything=1"  # type: ignore[arg-type]
    after = saved(body, state)
    assert set(after.granted.values()) == {False}
    assert (after.every_days, after.paused_until) == (state.every_days, state.paused_until)
    assert not change_of(wish_of(body), after, NOW)


@given(
    states,
    st.binary(max_size=200)
    | st.text().map(lambda text: urlencode({MARK: text, "listed": text, "purpose": text}).encode()),
)
def test_whatever_is_posted_no_purpose_is_made_up(state: State, body: bytes) -> None:
    fields = fields_of(body)
    if fields is not None:
        change = change_of(read_wish(fields), state, NOW)
        assert {*change.granted, *change.refused} <= set(state.granted)


def test_what_is_no_form_of_ours_is_not_read() -> None:
    assert fields_of(b"") is None
    assert fields_of(b"List-Unsubscribe=One-Click") is None
    assert fields_of(b"horizon=%ff&listed=marketing") is None
    assert fields_of("horizon=ä".encode()) is None
    assert fields_of(b"horizon=1" + b"&listed=x" * 1000) is None
    multipart = b'--x\r\nContent-Disposition: form-data; name="horizon"\r\n\r\n1\r\n--x--\r\n'
    assert fields_of(multipart) is None


def test_a_pause_lasts_30_days_and_a_second_one_does_not_lengthen_it() -> None:
    change = change_of(Wish(pause=True), State({}), NOW)
    assert change.preference == (None, NOW + timedelta(days=PAUSE_DAYS))
    later = NOW + timedelta(days=3)
    assert not change_of(Wish(pause=True), applied(change, State({})), later)
    ended = change_of(Wish(pause=False), applied(change, State({})), later)
    assert ended.preference == (None, None)


def test_an_unusual_frequency_is_kept_until_another_is_chosen() -> None:
    shown = State({}, every_days=14.0)
    assert not change_of(wish_of(form(shown)), shown, NOW)
    assert change_of(wish_of(form(shown, every="always")), shown, NOW).preference == (None, None)


def test_a_made_up_frequency_is_none() -> None:
    wish = wish_of(urlencode({MARK: "1", "every": "0.001", "every_shown": "week"}).encode())
    assert wish.every is None
