"""A source's rate, and the origins of its pages."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.edge.limits import BURST_S, Bucket, Limits
from horizon.errors import UsageError
from horizon.events.model import Source
from horizon.events.origins import allows, read_origin

MOST = 50
RATES = st.floats(0.1, 1000)
REQUESTS = st.lists(st.tuples(st.floats(0, 5), st.integers(1, MOST)), max_size=80)


@given(RATES, st.floats(1, 500), REQUESTS)
def test_no_span_lets_in_more_than_its_rate_and_a_burst(
    rate: float, burst: float, requests: list[tuple[float, int]]
) -> None:
    bucket, at_s, taken = Bucket(rate, burst, 0.0), 0.0, [(0.0, 0)]
    for pause_s, events in requests:
        at_s += pause_s
        if not bucket.take(events, at_s):
            taken.append((at_s, events))
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            span_s = taken[last][0] - taken[first][0]
            let_in = sum(events for _, events in taken[first : last + 1])
            assert let_in <= rate * span_s + burst + MOST + 1e-6


@given(RATES, st.floats(1, 500), REQUESTS)
def test_who_waits_as_long_as_told_is_let_in(
    rate: float, burst: float, requests: list[tuple[float, int]]
) -> None:
    bucket, at_s = Bucket(rate, burst, 0.0), 0.0
    for pause_s, events in requests:
        at_s += pause_s
        wait_s = bucket.take(events, at_s)
        if wait_s:
            assert bucket.take(1, at_s + wait_s / 2)
            at_s += wait_s + 1e-6
            assert not bucket.take(events, at_s)


def test_a_batch_above_the_burst_passes_and_is_paid_for_later() -> None:
    bucket = Bucket(10.0, 10.0, 0.0)
    assert bucket.take(2500, 0.0) == 0
    assert bucket.take(1, 0.0) == pytest.approx(249.1)
    assert bucket.take(0, 0.0) == 0  # nothing is always let in
    assert bucket.take(1, 249.2) == 0


def test_a_clock_that_is_set_back_gives_nothing() -> None:
    bucket = Bucket(1.0, 1.0, 100.0)
    assert bucket.take(1, 100.0) == 0
    assert bucket.take(1, 0.0) > 0
    assert bucket.take(1, 100.5) == pytest.approx(0.5)


def test_each_source_has_its_own_bucket_and_a_changed_limit_starts_anew() -> None:
    limits = Limits()
    one, other = Source(1, "one", "server", rate=1.0), Source(2, "other", "server", rate=1.0)
    assert limits.wait_s(Source(3, "free", "server"), 10**9, 0.0) == 0
    assert limits.wait_s(one, int(BURST_S), 0.0) == 0  # what it saves where no burst is set
    assert limits.wait_s(one, 1, 0.0) == 1
    assert limits.wait_s(other, 1, 0.0) == 0
    assert limits.wait_s(Source(1, "one", "server", rate=2.0), 1, 0.0) == 0
    slow = Source(4, "slow", "server", rate=0.05)
    assert [limits.wait_s(slow, 1, 0.0), limits.wait_s(slow, 1, 0.0)] == [0, 20]


def test_the_collectors_of_one_home_count_together(tmp_path: Path) -> None:
    source = Source(7, "shop", "server", rate=1.0, burst=4.0)
    one, other = Limits(tmp_path), Limits(tmp_path)
    assert [one.wait_s(source, 2, 0.0), other.wait_s(source, 2, 0.0)] == [0, 0]
    assert [one.wait_s(source, 1, 0.0), other.wait_s(source, 1, 0.0)] == [1, 1]
    assert Limits(tmp_path / "elsewhere").wait_s(source, 4, 0.0) == 0
    assert Limits(tmp_path).wait_s(source, 1, 1e6) == 0  # time has passed
    assert one.wait_s(source, 4, 0.0) == 0  # and here the machine has started anew


def test_a_collector_waits_while_another_one_counts(tmp_path: Path) -> None:
    """Both would read the same level and let in twice as much."""
    source = Source(7, "shop", "server", rate=1.0, burst=4.0)
    limits = Limits(tmp_path)
    answers: list[int] = []
    counting = threading.Thread(target=lambda: answers.append(limits.wait_s(source, 1, 0.0)))
    with (tmp_path / "limits").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        counting.start()
        counting.join(0.2)
        assert answers == []
    counting.join(5)
    assert answers == [0]


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        (" HTTPS://Shop.Example:443/ ", "https://shop.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://*.shop.example", "https://*.shop.example"),
        ("http://[::1]:80", "http://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_origin_is_kept_as_a_browser_names_it(text: str, origin: str) -> None:
    assert read_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    ["shop.example", "https://", "https://shop.example/path", "https://*", "null", "",
     "https://shop.*.example", "https://a b", "https://x:99999", "https://x?y", "https://u@shop.example"],
)  # fmt: skip
def test_what_is_no_origin_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"like https://shop\.example"):
        read_origin(text)


def test_an_origin_is_allowed_whole_or_by_the_parent_of_its_host() -> None:
    listed = ("https://shop.example", "https://*.shop.example:8443", "https://*.b.example")
    for origin in ("https://shop.example", "https://SHOP.example", "https://a.shop.example:8443",
                   "https://x.y.b.example"):  # fmt: skip
        assert allows(listed, origin), origin
    for origin in ("http://shop.example", "https://shop.example:8443", "https://shop.example.evil",
                   "https://evilshop.example:8443", "https://b.example", "https://a.shop.example",
                   "null", "", "https://", "https://*.b.example.c"):  # fmt: skip
        assert not allows(listed, origin), origin
