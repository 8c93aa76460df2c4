"""Questions to the database: a few threads, each with a connection that it holds open.

Measured beside psycopg's asynchronous pool, both with four connections and 500 asks a second: the
same share of a core, and threads answered the slowest hundredth in 5 to 7 ms, the pool in 7 to 9.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import psycopg

from horizon.log import Logger
from horizon.postgres.database import Connection, Database, Role
from horizon.serving.held import HeldConnection
from horizon.serving.http import Refusal

T = TypeVar("T")
Question = Callable[[Connection], T]

THREADS: Final = 4
MOST_WAITING: Final = 500  # questions; who comes after them is told to come again
STATEMENT_MS: Final = 2_000
ANSWER_S: Final = 5.0  # from the question to its answer, whatever the database does

# A transaction sees one moment: nobody is half merged in an answer. One plan for all people, since
# planning over a year of partitions takes longer than asking. Nor does a plan that was made while a
# day's partition was empty read all of it when it is full: each question has its index.
OPTIONS: Final = (
    f"-c statement_timeout={STATEMENT_MS} -c default_transaction_read_only=on "
    r"-c default_transaction_isolation=repeatable\ read "
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"
)


class Readers:
    def __init__(self, database: Database, log: Logger) -> None:
        self._waiting: SimpleQueue[tuple[Question[Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._threads = [
            # Daemons: one that waits for a database which hangs must not hold up the end.
            threading.Thread(
                target=self._serve, args=(HeldConnection(database, log, Role.READER, OPTIONS),),
                name=f"reader-{number}", daemon=True,
            )
            for number in range(THREADS)
        ]  # fmt: skip

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        for _ in self._threads:
            self._waiting.put(None)

    async def ask(self, question: Question[T]) -> T:
        """Raises Refusal where it takes too long, Unavailable where there is no database."""
        if self._waiting.qsize() >= MOST_WAITING:
            raise Refusal(
                503, "busy", "More is asked than can be answered: ask again later.",
                {"retry-after": "1"},
            )  # fmt: skip
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.put((question, future))
        try:
            async with asyncio.timeout(ANSWER_S):
                return await future
        except (TimeoutError, TooSlowError) as exc:
            raise too_slow() from exc

    def _serve(self, held: HeldConnection) -> None:
        while (asked := self._waiting.get()) is not None:
            question, future = asked
            if future.done():  # nobody waits for it any more
                continue
            try:
                answer = held.run(_in_time(question))
            except BaseException as exc:  # noqa: BLE001 - it is the asker's
                _tell(future, _set_exception, exc)
            else:
                _tell(future, _set_result, answer)
        held.close()


class TooSlowError(Exception):
    """The database ended a statement at its time limit."""


def too_slow() -> Refusal:
    return Refusal(
        503, "too_slow", "The answer took too long: ask for less, or again later.",
        {"retry-after": "2"},
    )  # fmt: skip


def _in_time(question: Question[T]) -> Callable[[Connection, int], T]:
    def ask(tx: Connection, _: int) -> T:
        try:
            return question(tx)
        except psycopg.errors.QueryCanceled as exc:  # else it would be asked three times
            raise TooSlowError from exc

    return ask


def _tell(
    future: asyncio.Future[Any], put: Callable[[asyncio.Future[Any], Any], None], what: Any
) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        future.get_loop().call_soon_threadsafe(put, future, what)


def _set_result(future: asyncio.Future[Any], answer: Any) -> None:
    if not future.done():
        future.set_result(answer)


def _set_exception(future: asyncio.Future[Any], exc: BaseException) -> None:
    if not future.done():
        future.set_exception(exc)
