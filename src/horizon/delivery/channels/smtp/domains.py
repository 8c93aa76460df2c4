"""The recipients' domains: those that take no mail are written to no more (RFC 7505)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from horizon import clock
from horizon.delivery.channels.smtp.resolver import Answer, Resolver
from horizon.delivery.outbox import QUERIES
from horizon.postgres.database import Connection
from horizon.stage import StageResult, Window

AHEAD = 50_000  # messages of a campaign that are looked at: more than leaves until the next look
MOST = 500  # domains a turn, so that what was learnt counts a second later
AT_ONCE = 64


def take(tx: Connection) -> list[str]:
    """Domains to ask about now; once taken, nobody takes them again for an hour."""
    values = {"clock": clock.now(), "ahead": AHEAD, "most": MOST}
    return [row.domain for row in tx.execute(QUERIES["ask_domains"], values)]


def ask(resolver: Resolver, domains: Sequence[str], more: Callable[[], bool]) -> dict[str, Answer]:
    """What each says; those that ``more`` left no time for are missing."""
    answers: dict[str, Answer] = {}
    waiting = iter(domains)

    async def one_after_the_other() -> None:
        for domain in waiting:
            if not more():
                return
            answers[domain] = await resolver.ask(domain)

    async def all_of_them() -> None:
        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))

    asyncio.run(all_of_them())
    return answers


def run(tx: Connection, _window: Window, *, answers: Mapping[str, Answer]) -> StageResult:
    """Write down what was said, and count it."""
    row = tx.execute(QUERIES["note_domains"], {
        "domains": list(answers), "answers": list(answers.values()), "clock": clock.now(),
    }).fetchone()  # fmt: skip
    assert row is not None
    counted = Counter(answers.values())
    return StageResult({
        "asked": len(answers), "null_mx": counted[Answer.NULL_MX], "freed": row.freed,
        "nowhere": counted[Answer.NOWHERE], "unanswered": counted[Answer.UNANSWERED],
    })  # fmt: skip
