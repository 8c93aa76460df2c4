"""What a domain is sent at most, whoever sends and however many connections there are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.delivery.limits import DomainLimits, Limit, parse_limits
from horizon.errors import SettingsError
from horizon.pipeline import outgoing
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}\.(com|example)", fullmatch=True),
        st.tuples(st.integers(1, 500), st.integers(1, 50)),
        max_size=4,
    )
)
def test_limits_are_read_as_they_are_written(limits: dict[str, tuple[int, int]]) -> None:
    text = ", ".join(f"{domain}={rate}/s:{lanes}" for domain, (rate, lanes) in limits.items())
    assert parse_limits(text) == {
        domain: Limit(float(rate), lanes) for domain, (rate, lanes) in limits.items()
    }


@pytest.mark.parametrize("text", ["gmail.com", "gmail.com=", "gmail.com=fast", "a=1/s:0", "=1/s"])
def test_a_limit_that_cannot_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(SettingsError, match=r"gmail\.com=20/s:2"):
        parse_limits(text)


def test_a_domain_has_so_many_connections_and_frees_them() -> None:
    limits = DomainLimits(parse_limits("*=:1"))
    assert limits.take("a.example", set()) == 0
    assert limits.take("a.example", {"a.example"}) == 0  # the same lane's next message
    assert limits.take("a.example", set()) > 0
    assert limits.take("b.example", set()) == 0
    limits.leave({"a.example"})
    assert limits.take("a.example", set()) == 0


def test_who_has_to_wait_is_asked_for_one_after_the_other() -> None:
    limits = DomainLimits(parse_limits("a.example=10/s"))
    waits = [limits.take("a.example", set()) for _ in range(30)]
    later = [wait for wait in waits if wait]
    assert 3 <= waits.count(0) <= 5
    assert later == sorted(later)
    assert 2 < later[-1] < 4
    assert limits.waiting


def test_one_domain_is_slow_and_the_others_are_not(world: World, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port, SMTP_DOMAIN_LIMITS="slow.example=10/s:1")
        for number in range(15):
            world.person(f"slow{number}", 13 * DAY, email=f"slow{number}@slow.example")
        world.planned(*(f"quick{number}" for number in range(30)))
        started = time.time()
        outgoing.send(world.horizon)
        took_s = time.time() - started
        received = recorder.messages()
    assert set(world.states().values()) == {"sent"}
    assert len(received) == 45
    slow = [one["time"] for one in received if one["rcpt"][0].endswith("@slow.example")]
    quick = [one["time"] for one in received if one["rcpt"][0].endswith("@example.com")]
    assert max(quick) - started < 1
    assert max(slow) - min(slow) > 0.7  # 1.1 from turn to turn; a busy machine delays the first
    assert took_s < 6
