"""100,000 requests that are wrong in every way: no 5xx, and no good event is lost beside them.

The corpus' requests are made from good ones by chance; hypothesis' hold whatever JSON can say. Two collectors take
them at one port, as `horizon up` starts them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from horizon.events.sources import add_source
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.servers.collector import Answer, Collectors
from tests.servers.fuzz import CORPUS, JUNK, Maker, Sender, Sent
from tests.servers.wire import request

SENDERS = 64  # each waits for the commits of its requests, one after the other
IN_EXAMPLE = 10  # requests of one example of hypothesis
RSS_MB = 250
GROWTH_MB = 60  # from the first tenth to the end

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(JUNK)
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
FIELDS = st.sampled_from(
    [*CORPUS[0], "messageId", "previousId", "groupId", "name", "category", "sentAt"]
)
MESSAGES = ANYTHING | st.builds(
    lambda message, changes: {**message, **changes},
    st.sampled_from(CORPUS),
    st.dictionaries(FIELDS, ANYTHING, min_size=1, max_size=3),
)
BODIES = st.binary(max_size=200) | st.fixed_dictionaries(
    {"batch": st.lists(MESSAGES, max_size=3)}, optional={"sentAt": ANYTHING, "context": ANYTHING}
)
HEADER = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
PLACES = st.sampled_from(["/v1/batch", "/v1/t", "/v1/identify", "/v1/g"])
NAMES = st.sampled_from(["Content-Type", "Content-Encoding", "Origin", "Cookie", "X-Anything"])


@dataclass
class Target:
    collectors: Collectors
    database: Database
    key: str

    def stored(self) -> Counter[str]:
        with self.database.transaction(Role.OWNER) as tx:
            rows = tx.execute("SELECT message_id FROM events WHERE message_id LIKE 'good-%'")
            return Counter(row.message_id for row in rows)


@pytest.fixture
def target(settings: Settings, database: Database) -> Iterator[Target]:
    with database.transaction(Role.WORKER) as tx:
        key = add_source(tx, "shop", "server")
    with Collectors(settings) as collectors:
        assert len(collectors.each) == 2
        yield Target(collectors, database, key)
        for one in collectors.each:
            assert one.process.poll() is None, "a collector died"


def of_the_corpus(target: Target, count: int, seed: int) -> list[Sender]:
    senders = [Sender(target.collectors.port) for _ in range(SENDERS)]
    with ThreadPoolExecutor(SENDERS) as threads:
        done = [
            threads.submit(
                sender.send_all, Maker(seed + number, target.key).requests(count // SENDERS)
            )
            for number, sender in enumerate(senders)
        ]
    for one in done:
        one.result()
    return senders


def of_hypothesis(target: Target, count: int, seed: int) -> list[Sender]:
    sender = Sender(target.collectors.port)
    maker = Maker(seed, target.key)
    made = st.builds(
        lambda body, path, headers: Sent(request(body, target.key, path, headers=headers)),
        BODIES, PLACES, st.dictionaries(NAMES, HEADER, max_size=2),
    ) | st.builds(maker.mixed, st.lists(MESSAGES, max_size=4))  # fmt: skip

    @hypothesis_settings(
        max_examples=max(1, count // IN_EXAMPLE), deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(made, min_size=IN_EXAMPLE - 1, max_size=IN_EXAMPLE - 1))
    def send(requests: list[Sent]) -> None:
        try:
            sender.send([*requests, maker.good()])
        finally:
            sender.close()  # the next example begins anew: so what fails can be made smaller

    send()
    return [sender]


OF_HYPOTHESIS = 0.04  # of all; one takes ten times as long as one of chance


def both(target: Target, count: int, seed: int) -> list[Sender]:
    """At the same time; each with seeds, and so good events, of its own."""
    with ThreadPoolExecutor(1) as beside:
        corpus = beside.submit(of_the_corpus, target, int(count * (1 - OF_HYPOTHESIS)), seed)
        senders = of_hypothesis(target, int(count * OF_HYPOTHESIS), seed + SENDERS)
        return [*senders, *corpus.result()]


def fuzz(target: Target, count: int) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    senders = both(target, count // 10, seed)
    begun_mb = target.collectors.rss_mb()
    senders += both(target, count * 9 // 10, seed + 10**6)
    ended_mb = target.collectors.rss_mb()
    statuses = sum((sender.statuses for sender in senders), Counter[int]())
    answered: set[str] = set().union(*(sender.answered for sender in senders))
    stored = target.stored()
    print(f"{statuses.total()} answers {dict(sorted(statuses.items()))}, {len(answered)} good events, "
          f"{begun_mb:.0f} to {ended_mb:.0f} MB")  # fmt: skip
    assert statuses.total() > 0.8 * count
    assert min(statuses[200], statuses[400], statuses[404]) > 0
    assert len(answered) > count / 10
    assert set(stored) == answered, "a good event is lost"
    assert set(stored.values()) == {1}, "a good event is there twice"
    assert ended_mb < min(RSS_MB, begun_mb + GROWTH_MB)
    assert_no_error(target)


def assert_no_error(target: Target) -> None:
    log = Path(target.collectors.settings.LOG_PATH)
    assert not log.exists() or "ERROR" not in log.read_text()


def test_2_000_requests(target: Target) -> None:
    fuzz(target, 2_000)


@pytest.mark.slow
def test_100_000_requests(target: Target) -> None:
    fuzz(target, 100_000)


def test_the_sender_notices_what_it_is_there_for() -> None:
    sender: Any = Sender(1)
    json = {"content-type": "application/json"}
    for answer in (
        Answer(500, json, b'{"code":"a","message":"b"}'), Answer(400, json, b'{"code":"a"}'),
        Answer(400, json, b'{"code":"","message":"b"}'), Answer(400, json, b'{"code":"a","message":"b"}'),
    ):  # fmt: skip
        with pytest.raises((AssertionError, KeyError)):
            sender._look(Sent(b"", ("good",)), answer)
    assert sender.answered == set()
