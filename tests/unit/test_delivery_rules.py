from __future__ import annotations

import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.delivery.rules import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    MOST_ATTEMPTS,
    judge,
    parse_rate,
    scrubbed,
)
from horizon.errors import TransportError, UsageError
from tests.world import NOW


def test_content_that_may_have_left_is_unknown_whatever_else() -> None:
    exc = TransportError("451 later", permanent=True, content_begun=True)
    assert judge(exc, 1, NOW).status == "unknown"


@pytest.mark.parametrize(("invalid", "status"), [(True, "bounced"), (False, "failed")])
def test_a_permanent_refusal_ends_it(invalid: bool, status: str) -> None:
    exc = TransportError("550", permanent=True, address_invalid=invalid)
    assert judge(exc, 1, NOW).status == status


def test_a_passing_refusal_waits_twice_as_long_each_time() -> None:
    waits = [judge(TransportError("451"), attempt, NOW).retry_at for attempt in (1, 2, 3)]
    assert waits == [NOW + timedelta(seconds=FIRST_WAIT_S * factor) for factor in (1, 2, 4)]


def test_a_broken_connection_says_nothing_about_the_message() -> None:
    broken = TransportError("connection lost", broken=True)
    first, last = judge(broken, 1, NOW), judge(broken, 10 * MOST_ATTEMPTS, NOW)
    assert (first.status, last.status) == ("planned", "planned")
    assert first.retry_at == NOW + timedelta(seconds=2)
    assert last.retry_at == NOW + timedelta(seconds=LONGEST_WAIT_S)


def test_patience_ends() -> None:
    assert judge(TransportError("451"), MOST_ATTEMPTS - 1, NOW).status == "planned"
    assert judge(TransportError("451"), MOST_ATTEMPTS, NOW).status == "failed"


@pytest.mark.parametrize(
    "said",
    ["550 5.1.1 <ann@example.com>: Recipient address rejected", "550 user ann@example.com unknown",
     '550 "ann@example.com" no', "550 ann@example.com, try\n later", "550 rfc822;ann@example.com",
     '550 <"ann b"@example.com>: no', '550 "ann \\"b\\" c"@example.com', '550 "<ann>,x"@[192.0.2.1]',
     "550 ann's@example.com", "550 to=ann%40example.com&x=1", "550 ann%2540example.com unknown",
     "550 ann\uff20example.com", "550 ann&#64;example.com", "550 ann&#x40;example.com",
     "550 a@ann@example.com", "550 ann@[IPv6:2001:db8::1] no", "550 ann@",
     '{"error": "550 \\"ann b\\"@example.com"}'.replace('{"error": "', "")],
)  # fmt: skip
def test_an_answer_keeps_its_words_and_no_address(said: str) -> None:
    kept = scrubbed(said)
    assert "ann" not in kept
    assert not any(at in kept for at in ("@", "\uff20", "%40", "&#"))
    assert kept.startswith("550 ")
    assert "\n" not in kept


@pytest.mark.parametrize(
    ("text", "rate"), [("20/s", 20), ("90/m", 1.5), (" 7200/h ", 2), ("0.5/s", 0.5)]
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["20", "0/s", "-1/s", "20/d", "fast", "1e9/s", ""])
def test_what_is_no_rate_says_how_one_looks(text: str) -> None:
    with pytest.raises(UsageError, match="20/s"):
        parse_rate(text)


ATS = st.sampled_from(["@", "\uff20", "%40", "%2540", "&#64;", "&#x40;"])
QUOTED = st.text("annANN <>@,;:.()[]", min_size=1, max_size=12).map(lambda text: f'"ann{text}"')
PLAIN = st.text("annANN.+-_'/=!#$", min_size=1, max_size=12).map(lambda text: f"ann{text}")
DOMAINS = st.sampled_from(["annex.example", "[192.0.2.1]", "[IPv6:2001:db8::1]", "xn--ann-0qa.de"])


@given(
    st.sampled_from("<('[:,; "), st.one_of(QUOTED, PLAIN), ATS, DOMAINS, st.sampled_from(">)'],; ")
)
def test_no_form_of_an_address_is_kept(
    before: str, local: str, at: str, domain: str, after: str
) -> None:
    kept = scrubbed(f"550 5.1.1 {before}{local}{at}{domain}{after} is unknown here")
    assert "ann" not in kept.lower()
    assert "192.0" not in kept
    assert at not in kept
    assert kept.startswith("550 5.1.1 ")
    assert kept.endswith("is unknown here")


def test_a_long_answer_takes_no_long_time() -> None:
    began = time.perf_counter()
    for text in ("a" * 200_000, '"' * 50_000, '\\"a' * 50_000, "&" * 200_000):
        scrubbed(f"{text} @ {text}")
    assert time.perf_counter() - began < 2


@given(st.text(max_size=600))
def test_an_answer_can_be_kept_and_shown(said: str) -> None:
    kept = scrubbed(f"550 {said}")
    assert kept.isprintable()
    assert len(kept) <= 500
