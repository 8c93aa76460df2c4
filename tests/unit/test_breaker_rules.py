"""When the breaker opens, and for what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.delivery.breaker import (
    EVERY_DOMAIN,
    Counts,
    Health,
    Watch,
    is_block,
    judge_domains,
    judge_health,
)
from tests.smtp_answers import BLOCKS, OTHERS

COUNTS = st.builds(
    Counts, st.integers(0, 5_000), st.integers(0, 5_000), st.integers(0, 300), st.integers(0, 30)
)


@pytest.mark.parametrize("answer", BLOCKS)
def test_a_refusal_of_us_is_a_block(answer: str) -> None:
    assert is_block(answer)
    assert is_block(answer.upper())


@pytest.mark.parametrize("answer", OTHERS)
def test_any_other_refusal_is_none(answer: str) -> None:
    assert not is_block(answer)


@given(st.text(max_size=300))
def test_any_answer_can_be_judged(text: str) -> None:
    assert is_block(f"250 {text}") is False
    is_block(f"550 {text}")


@pytest.mark.parametrize(
    ("counts", "health"),
    [
        (Counts(), Health.HEALTHY),
        (Counts(attempts=99, blocked=99), Health.HEALTHY),  # no sample yet
        (Counts(attempts=100, blocked=5), Health.HEALTHY),
        (Counts(attempts=100, blocked=6), Health.BLOCKS),
        (Counts(attempts=1_000, blocked=50), Health.HEALTHY),
        (Counts(attempts=1_000, blocked=51), Health.BLOCKS),
        (Counts(attempts=50, sent=50, complained=2), Health.HEALTHY),  # two people
        (Counts(attempts=50, sent=50, complained=3), Health.COMPLAINTS),
        (Counts(attempts=1_000, sent=1_000, complained=1), Health.HEALTHY),
        (Counts(attempts=1_000, sent=1_000, complained=2), Health.WARNED),
        (Counts(attempts=1_000, sent=1_000, complained=3), Health.WARNED),
        (Counts(attempts=1_000, sent=1_000, complained=4), Health.COMPLAINTS),
        (Counts(attempts=100_000, sent=100_000, complained=100), Health.HEALTHY),
        (Counts(attempts=100_000, sent=100_000, complained=101), Health.WARNED),
        (Counts(attempts=100_000, sent=100_000, complained=300), Health.WARNED),
        (Counts(attempts=100_000, sent=100_000, complained=301), Health.COMPLAINTS),
        (Counts(attempts=2_000, sent=1_500, blocked=500, complained=9), Health.BLOCKS),
    ],
)
def test_the_lines_and_the_least_samples(counts: Counts, health: Health) -> None:
    assert judge_health(counts) is health


@given(COUNTS, st.integers(0, 50), st.integers(0, 50))
def test_more_of_the_bad_never_heals(counts: Counts, blocks: int, complaints: int) -> None:
    order = [Health.HEALTHY, Health.WARNED, Health.COMPLAINTS, Health.BLOCKS]
    worse = Counts(
        counts.attempts, counts.sent, counts.blocked + blocks, counts.complained + complaints
    )
    assert order.index(judge_health(worse)) >= order.index(judge_health(counts))


def judged(counts: dict[str, Counts], *already: str) -> dict[str, str]:
    return {one.domain: one.health.value for one in judge_domains(counts, already)}


GOOD, BAD = Counts(attempts=500, sent=500), Counts(attempts=500, sent=400, blocked=100)


def test_a_bad_domain_is_held_alone() -> None:
    assert judged({"good.example": GOOD, "bad.example": BAD}) == {"bad.example": "blocks"}
    assert judged({"good.example": GOOD, "bad.example": BAD}, "bad.example") == {}


def test_many_small_domains_hold_the_whole_campaign() -> None:
    small = {f"d{n}.example": Counts(attempts=10, sent=8, blocked=2) for n in range(10)}
    assert judged(small) == {EVERY_DOMAIN: "blocks"}
    assert judged(small, EVERY_DOMAIN) == {}
    assert judged({**small, "bad.example": BAD}) == {
        "bad.example": "blocks",
        EVERY_DOMAIN: "blocks",
    }


def test_complaints_from_many_small_domains_are_told_once() -> None:
    small = {f"d{n}.example": Counts(500, 500, 0, 1) for n in range(4)}
    assert judged(small) == {EVERY_DOMAIN: "warned"}
    large = {"large.example": Counts(2_000, 2_000, 0, 4)}
    assert judged(large) == {"large.example": "warned"}


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), COUNTS),
    st.sets(st.sampled_from(["a", "b", "*"])),
)
def test_what_is_open_is_not_opened_again(counts: dict[str, Counts], already: set[str]) -> None:
    for one in judge_domains(counts, already):
        assert one.domain not in already
        assert one.health is judge_health(one.counts) is not Health.HEALTHY


def test_a_watch_asks_rarely_and_never_for_a_healthy_campaign() -> None:
    watch = Watch()
    assert not any(watch.saw("c", "d", blocked=n % 25 == 0) for n in range(1, 5_000))
    watch = Watch()
    asked = [n for n in range(1, 1_001) if watch.saw("c", "d", blocked=True)]
    assert asked == [5, 10, 20, 40, 80, 160, 320, 640]
    watch = Watch()
    assert [watch.saw("c", f"d{n}", blocked=True) for n in range(5)] == [False] * 4 + [True]
    assert not any(watch.saw(f"c{n}", "d", blocked=True) for n in range(20))
