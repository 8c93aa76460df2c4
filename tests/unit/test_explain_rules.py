"""The arithmetic, masks and readings of an explanation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.observe.explain import rules
from horizon.personal import looks_personal, masked
from horizon.scoring import rules as scoring


@given(st.floats(-1e9, 1e9), st.floats(0.001, 36500), st.floats(0, 1), st.floats(0, 1))
def test_the_sum_is_the_scorer_s(
    silent_s: float, window_days: float, one: float, two: float
) -> None:
    score = min(1.0, rules.ratio(silent_s, window_days))
    assert score == scoring.score(silent_s, window_days)
    medium, high = sorted((one, two))
    wanted = scoring.tier(score, scoring.ScoreRules(window_days, high, medium))
    assert rules.tier(score, high, medium) == wanted


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("250 2.0.0 Ok: queued as 4XyZ1w", (250, "2.0.0", "4XyZ1w")),
        ("250 OK id=1tAbCd-0000AB-2x", (250, None, "1tAbCd-0000AB-2x")),
        ("250 2.0.0 Kept as 0179542-dd3f", (250, "2.0.0", "0179542-dd3f")),
        ("250 Great success", (250, None, None)),
        ("550 5.1.1 (address): user unknown", (550, "5.1.1", None)),
        ("the connection ended", (None, None, None)),
    ],
)
def test_an_answer_is_read(text: str, read: tuple[object, ...]) -> None:
    answer = rules.read_answer(text)
    assert answer is not None
    assert (answer.code, answer.status, answer.queue_id) == read
    assert answer.text == text


def test_no_answer_is_none() -> None:
    assert rules.read_answer(None) is None
    assert rules.read_answer("") is None


@given(st.text(max_size=30).filter(lambda text: not looks_personal(text)))
def test_what_is_no_address_and_no_phone_stays(text: str) -> None:
    assert masked(text) == text
    assert masked(text, "anonymous_id") == text


@given(
    st.sampled_from(["phone", "Phone", "phone_number", "user_id", ""]),
    st.sampled_from(["+", "tel:+", "%2B", "(0"]),
    st.text("0123456789", min_size=7, max_size=15),
)
def test_of_a_phone_number_two_digits_are_shown(kind: str, plus: str, digits: str) -> None:
    assert masked(plus + digits, kind) == f"***{digits[-2:]}"
    assert masked(digits, "phone") == f"***{digits[-2:]}"
    assert masked(digits, "user_id") == digits, "a customer's number"
    assert masked("0" + digits[:2], "phone") == "***"


@given(st.text("ann.", min_size=1, max_size=9), st.sampled_from(["%40", "%2540", "\uff20"]))
def test_an_encoded_address_is_masked(local: str, at: str) -> None:
    assert masked(f"{local}{at}example.com") == "***"


@pytest.mark.parametrize("audience", ["alerts", "engaged", "opt_in", "operator", "new"])
@pytest.mark.parametrize(
    ("status", "reason"),
    [("sent", None), ("skipped", "refused"), ("failed", "odd_thing"), ("unknown", None)],
)
def test_why_is_a_sentence(audience: str, status: str, reason: str | None) -> None:
    said = rules.why(audience, status, reason)
    assert said.startswith("Chosen because ")
    assert said.endswith(".")
    assert "_" not in said
