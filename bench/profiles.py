"""[profiles.api]: the profile API at 500 requests a second, while events come in beside it; each
answer is timed from when its request was due. The reference is a bare look at a node by its primary
key, at the same rate and through the same threads and connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from time import perf_counter
from urllib.parse import quote
from uuid import UUID

import uvloop

from bench.harness import Figure, scratch_installation
from bench.ingest import collectors
from bench.ingest_load import BATCH, Load, compile_sender, request, send, write_batches
from horizon import clock
from horizon.api.readers import Readers
from horizon.api.scopes import Scope
from horizon.api.tokens import add_token
from horizon.events.nodes import node_of
from horizon.events.sources import add_source
from horizon.log import open_log
from horizon.pipeline import processes
from horizon.pipeline.installation import Installation
from horizon.postgres.database import Connection, Role
from horizon.postgres.queries import Queries

RATE = 500  # requests a second
INGEST_RATE = 5_000  # events a second beside them
CONNECTIONS = 32
INGEST_CONNECTIONS = 8
ROUNDS = 3
WARM_S = 2
P99_S = 0.025  # the limit kept to
# What is asked for, as a support desk and a shop's page do: so many of a hundred.
MIX = {"": 30, "/traits": 30, "/events": 15, "/identifiers": 10, "/scores": 5, "/segments": 5,
       "/messages": 5}  # fmt: skip

QUERIES = Queries("bench")


def figures(quick: bool) -> Iterator[Figure]:
    people, seconds = (100_000, 10) if quick else (1_000_000, 30)
    with scratch_installation() as horizon:
        key, token = _prepare(horizon, people)
        with collectors(horizon) as (ingest_port, _), _api(horizon) as port:
            bench = _Bench(horizon, people, seconds, key, token)
            rounds = [(bench.asked(port, ingest_port), bench.looked(ingest_port))
                      for _ in range(ROUNDS)]  # fmt: skip
        middle = ROUNDS // 2
        api, bare = (sorted(one[side][0] for one in rounds) for side in (0, 1))
        taken = min(one[side][1] for one in rounds for side in (0, 1))
        yield Figure("profiles.api", api[middle], "s", bare[middle], people)
        yield Figure("profiles.api.p99", api[middle], "s", P99_S, people)
        yield Figure("profiles.api.ingest", round(taken), "events/s", INGEST_RATE, people)


class _Bench:
    def __init__(
        self, horizon: Installation, people: int, seconds: int, key: str, token: str
    ) -> None:
        self._horizon = horizon
        self._people = people
        self._seconds = seconds
        self._key = key
        self._token = token
        self._folder = horizon.settings.home
        self._sender = compile_sender(self._folder)

    def asked(self, port: int, ingest_port: int) -> tuple[float, float]:
        """The API's p99, and events/s beside it."""
        file = self._folder / "asked"
        with file.open("wb") as out:
            for _ in range(RATE * (WARM_S + self._seconds)):
                (part,) = random.choices(list(MIX), list(MIX.values()))
                name = quote(_user(random.randrange(self._people)))
                out.write(request("GET", f"/v1/profiles/user_id:{name}{part}", self._token))
        with self._ingesting(ingest_port) as events:
            load = send(self._sender, port, CONNECTIONS, file, RATE * WARM_S, RATE)
        return load.p99_s, _rate(events.result())

    def looked(self, ingest_port: int) -> tuple[float, float]:
        """The same of the bare look."""
        with self._ingesting(ingest_port) as events:
            taken = uvloop.run(self._look())
        return sorted(taken)[len(taken) * 99 // 100], _rate(events.result())

    async def _look(self) -> list[float]:
        readers = Readers(self._horizon.database, open_log(self._horizon.settings))
        readers.start()

        async def ask(number: int) -> None:
            node = node_of(self._horizon.keys.node, "user_id", _user(number))
            assert await readers.ask(lambda tx: _find(tx, node))

        try:
            await paced(ask, self._people, WARM_S)
            return await paced(ask, self._people, self._seconds)
        finally:
            readers.stop()

    @contextmanager
    def _ingesting(self, port: int) -> Iterator[Future[Load]]:
        """Events for as long as the round lasts."""
        file, batches = self._folder / "events", INGEST_RATE // BATCH
        write_batches(file, self._key, INGEST_RATE * (WARM_S + self._seconds))
        with ThreadPoolExecutor(1) as thread:
            yield thread.submit(
                send, self._sender, port, INGEST_CONNECTIONS, file, batches, batches
            )


async def paced(ask: Callable[[int], Awaitable[None]], people: int, seconds: int) -> list[float]:
    """Ask RATE times a second; each answer's seconds from when it was due."""
    taken: list[float] = []
    begun_s = perf_counter()

    async def one(due_s: float) -> None:
        await ask(random.randrange(people))
        taken.append(perf_counter() - due_s)

    async with asyncio.TaskGroup() as group:
        for number in range(RATE * seconds):
            due_s = begun_s + number / RATE
            await asyncio.sleep(max(0.0, due_s - perf_counter()))
            group.create_task(one(due_s))
    return taken


def _find(tx: Connection, node: UUID) -> object:
    return tx.execute(QUERIES["profile_node"], {"node": node}, prepare=True).fetchone()


def _rate(load: Load) -> float:
    return (load.requests - INGEST_RATE // BATCH) * BATCH / load.seconds


def _user(number: int) -> str:
    return f"user-{number:08d}@shop"


def _prepare(horizon: Installation, people: int) -> tuple[str, str]:
    """Two identifiers, five traits, three events, a score and, each tenth, a message a person."""
    now, key = clock.now(), horizon.keys.node
    seen = now - timedelta(days=31)
    with horizon.database.transaction(Role.OWNER) as tx:
        with tx.cursor().copy(QUERIES["copy_profile_nodes"]) as copy:
            for number in range(people):
                for kind, value in (("user_id", _user(number)), ("anonymous_id", f"c{number}")):
                    copy.write_row((node_of(key, kind, value), kind, value, number + 1, seen))
        for name in ("make_month", "profile_rows", "profile_trait_rows", "profile_event_rows"):
            tx.execute(QUERIES[name], {"now": now})
        tx.execute(QUERIES["plan_score_run"], {"now": now})
        tx.execute("SELECT open_score_run(1)")
        tx.execute(QUERIES["plan_scores"], {"now": now})
        tx.execute("SELECT close_score_run(1)")
        tx.execute(QUERIES["profile_message_rows"], {"now": now})
        write_key = add_source(tx, "bench", "server")
        token = add_token(tx, "bench", list(Scope), now=now, expires_at=None)
    with horizon.database.connect(Role.OWNER, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) profiles, nodes, traits, events, messages")
    return write_key, token


@contextmanager
def _api(horizon: Installation) -> Iterator[int]:
    port = processes.free_port(0)
    child = processes.api(port, processes.environment_of(horizon.settings, API_PORT=port))
    try:
        child.start()
        yield port
    finally:
        child.stop()
