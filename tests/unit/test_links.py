"""The tokens of links in mails."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon import links

KEY, OLD_KEY = b"k" * 32, b"o" * 32
MESSAGE = UUID("0b6ad02f-9d0e-4b5f-9a4d-0f0a2f9a1c11")
TOKEN = links.sign(KEY, MESSAGE, "unsubscribe")


def test_a_token_names_its_message_and_purpose() -> None:
    assert links.verify([KEY], TOKEN) == (MESSAGE, "unsubscribe")


def test_a_token_lies_in_mailboxes_for_years_and_stays_as_it_is() -> None:
    assert TOKEN == "u-nHPAALatAvnQ5LX5pNDwovmhwRrppqHBPWpmBOnyphOfYSww"


def test_an_old_key_still_verifies() -> None:
    assert links.verify([KEY, OLD_KEY], links.sign(OLD_KEY, MESSAGE, "unsubscribe"))
    assert links.verify([KEY], links.sign(OLD_KEY, MESSAGE, "unsubscribe")) is None


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_a_changed_character_does_not_verify(place: int) -> None:
    other = "A" if TOKEN[place] != "A" else "B"
    assert links.verify([KEY], TOKEN[:place] + other + TOKEN[place + 1 :]) is None


@given(st.one_of(st.text(), st.text(alphabet="abcDEF019-_=", min_size=48, max_size=52)))
def test_anything_else_does_not_verify(text: str) -> None:
    assert links.verify([KEY], text) is None


@pytest.mark.parametrize(
    "text", ["", "\n" + TOKEN, TOKEN + "=", TOKEN + "==", TOKEN[:-1], "€" * 50]
)
def test_one_token_has_one_spelling(text: str) -> None:
    assert links.verify([KEY], text) is None


def test_two_messages_have_two_tokens() -> None:
    assert links.sign(KEY, uuid4(), "unsubscribe") != links.sign(KEY, uuid4(), "unsubscribe")
