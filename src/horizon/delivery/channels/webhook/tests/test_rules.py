"""What an answer means."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.delivery.channels.webhook.rules import read_answer
from horizon.errors import TransportError
from horizon.outbound.answers import LONGEST_PATIENCE_S, read_patience

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
OF_THE_MOMENT = {408, 425, 429}


@given(st.integers(200, 999))
def test_every_answer_is_one_of_four(status: int) -> None:
    said = read_answer(status, "hooks.example", "7", NOW)
    if status < 300:
        assert isinstance(said, str)
        assert said.startswith(str(status))
        return
    assert isinstance(said, TransportError)
    assert said.away == (status < 400)
    assert said.permanent == (400 <= status < 500 and status not in OF_THE_MOMENT)
    again = not said.away and not said.permanent
    assert said.retry_after_s == (7 if again else None)
    assert not said.content_begun
    assert not said.address_invalid


def test_the_receiver_s_answer_in_our_words() -> None:
    assert read_answer(202, "h", None, NOW) == "202 Accepted"
    assert read_answer(299, "h", None, NOW) == "299"
    assert str(read_answer(410, "h", None, NOW)) == "410 Gone"
    assert "no redirect is followed" in str(read_answer(307, "hooks.example", None, NOW))


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("120", 120), ("0", 0), ("99999999999", LONGEST_PATIENCE_S), ("9" * 5000, LONGEST_PATIENCE_S),
        ("Mon, 15 Jun 2026 12:01:00 GMT", 60), ("Mon, 15 Jun 2026 11:59:00 GMT", 0),
        ("Mon, 15 Jun 2026 12:01:00", 60), ("Mon, 15 Jun 2026 14:01:00 +0200", 60),
        ("Tue, 15 Jun 2038 12:01:00 GMT", LONGEST_PATIENCE_S),
        (None, None), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("nan", None),
        ("inf", None), ("٣", None), ("Mon, 99 Jun 2026 12:01:00 GMT", None),
    ],
)  # fmt: skip
def test_patience(text: str | None, wait_s: float | None) -> None:
    assert read_patience(text, NOW) == wait_s


@given(st.text())
def test_any_patience_is_read_or_none(text: str) -> None:
    wait_s = read_patience(text, NOW)
    assert wait_s is None or 0 <= wait_s <= LONGEST_PATIENCE_S
