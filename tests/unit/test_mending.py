"""Mending a refused event's text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.errors import UsageError
from horizon.events.rejection import Rejected
from horizon.sources.mending import Mending, mended, read_renaming, read_setting

NAMES = st.text(st.characters(exclude_characters="=.", exclude_categories=["Cs"]), min_size=1)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def applied(body: object, *, sets: list[str] = [], renames: list[str] = []) -> object:  # noqa: B006
    mending = Mending([read_setting(one) for one in sets], [read_renaming(one) for one in renames])
    return json.loads(mended(json.dumps(body), mending, "rejected-7"))


def test_a_text_with_an_id_and_nothing_to_mend_stays_as_it_is() -> None:
    body = '{"messageId": "m", "n": 1e999, "n": 12345678901234567890123}'
    assert mended(body, Mending(), "rejected-7") == body.encode()


@pytest.mark.parametrize("body", [{}, {"messageId": None}, {"messageId": " "}, {"messageId": ""}])
def test_one_without_an_id_gets_the_same_each_time(body: dict[str, object]) -> None:
    assert applied(body) == {"messageId": "rejected-7"}


def test_fields_are_set_and_renamed_renamings_first() -> None:
    body = {"messageId": "m", "user_id": 5, "properties": {"a": {"b": 1}, "text": "x"}}
    assert applied(
        body,
        sets=["event=Viewed", "properties.price=5.5", "properties.text.deep=true", 'note="5"'],
        renames=["user_id=userId", "properties.a.b=context.b", "nothing.here=event", "user_id=x"],
    ) == {
        "messageId": "m", "userId": 5, "event": "Viewed", "note": "5", "context": {"b": 1},
        "properties": {"a": {}, "text": {"deep": True}, "price": 5.5},
    }  # fmt: skip


@given(st.dictionaries(NAMES, VALUES, max_size=4), PATHS, VALUES)
def test_what_is_set_can_be_read_at_its_path(
    body: dict[str, object], path: str, value: object
) -> None:
    found = applied({"messageId": "m", **body}, sets=[f"{path}={json.dumps(value)}"])
    for name in path.split("."):
        assert isinstance(found, dict)
        found = found[name]
    assert found == value


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), NAMES)
def test_a_renaming_there_and_back_changes_nothing(body: dict[str, object], new: str) -> None:
    old = next(iter(body))
    full = {**body, "messageId": "m"}
    if new in full or old == "messageId":
        return
    assert applied(full, renames=[f"{old}={new}", f"{new}={old}"]) == full


@pytest.mark.parametrize("text", ["event", "=5", "a..b=5", ".a=5", ""])
def test_a_setting_without_a_field_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="like --set event=Viewed"):
        read_setting(text)


@pytest.mark.parametrize("text", ["a", "a=", "=b", "a.=b", "a=b..c"])
def test_a_renaming_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="like --rename user_id=userId"):
        read_renaming(text)


@pytest.mark.parametrize("body", ["", "{", "5", "[]", '"x"', "null", "[" * 100_000])
def test_what_is_no_object_is_rejected(body: str) -> None:
    with pytest.raises(Rejected, match="--with FILE") as refusal:
        mended(body, Mending(), "m")
    assert refusal.value.code == "invalid_event"


def test_its_fields_are_told_without_their_values() -> None:
    mending = Mending([read_setting("userId=ann@example.com")], [read_renaming("a.b=c")])
    assert mending.fields() == ["userId", "a.b"]
