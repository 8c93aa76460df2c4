"""The circuit breaker: a campaign stops writing to a domain that blocks it or complains of it.

Gmail and Yahoo want complaints under 0.1 % and never at 0.3 %. Who goes on against blocks is soon
blocked for every campaign.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from horizon.delivery.outbox import QUERIES
from horizon.postgres.database import Connection, row_dicts
from horizon.stage import Line

WINDOW_H = 24
EVERY_DOMAIN = "*"

WARN_COMPLAINTS = 0.001
MOST_COMPLAINTS = 0.003
MOST_BLOCKS = 0.05

# Below these one person's bad day would stop a campaign. Of 100 attempts six are more than 5 %;
# where really 2 % are blocked, so many come by chance once in 65 times. Of 1,000 sent four are
# more than 0.3 %, by chance once in 50 at a healthy 0.1 %; three complaints are three people and
# count at any number.
LEAST_ATTEMPTS = 100
LEAST_SENT = 1_000
LEAST_COMPLAINTS = 3
_SUSPICIOUS = 5  # blocks that one sender saw: 5 % of the least sample

# What a server says that refuses us, and not this one address: enhanced status x.7.z (security or
# policy, RFC 3463), or the words of those that send no such status. It has to mean the same to
# Python and to PostgreSQL's ~*, which counts the deferred ones: no \b, no named group. Not blocks:
# greylisting, which wants a second try; Gmail's own troubles under 4.7.0; mailboxes that are
# disabled or changed hands (x.7.13, 17, 18: IANA's registry); what is about the address or the
# mailbox (x.1.z, x.2.z) or the server's size and load (x.3.z), whatever words it uses.
BLOCK = (
    r"^[45][0-9][0-9]"
    r"(?!.*(gr[ae]y.?list|temporary system problem|user unknown|unknown user|no such user))"
    r"(?![ -][45][.]7[.]1[378]([^0-9]|$))"
    r"(?![ -][45][.][123][.][0-9])"
    r"([ -][45][.]7[.][0-9]"
    r"|.*(block|black ?list|black ip|banned|spam|unsolicited|polic(y|ies)|reputation|dns[bw]l"
    r"|[^a-z]rbl[^a-z]))"
)
_BLOCK = re.compile(BLOCK, re.IGNORECASE)


class Health(StrEnum):
    HEALTHY = "healthy"
    WARNED = "warned"
    COMPLAINTS = "complaints"  # the last two open the breaker: they are its reasons
    BLOCKS = "blocks"

    @property
    def opens(self) -> bool:
        return self in (Health.COMPLAINTS, Health.BLOCKS)


@dataclass(frozen=True)
class Counts:
    """Of the messages of 24 hours: ``attempts`` were answered, ``sent`` of them taken."""

    attempts: int = 0
    sent: int = 0
    blocked: int = 0
    complained: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.attempts + other.attempts, self.sent + other.sent,
            self.blocked + other.blocked, self.complained + other.complained,
        )  # fmt: skip


def is_block(answer: str) -> bool:
    """Whether a refusal is about us: our address, our reputation, what we write."""
    return _BLOCK.search(answer) is not None


def judge_health(counts: Counts) -> Health:
    if counts.attempts >= LEAST_ATTEMPTS and counts.blocked > MOST_BLOCKS * counts.attempts:
        return Health.BLOCKS
    if counts.sent < LEAST_SENT and counts.complained < LEAST_COMPLAINTS:
        return Health.HEALTHY
    if counts.complained > MOST_COMPLAINTS * counts.sent:
        return Health.COMPLAINTS
    return Health.WARNED if counts.complained > WARN_COMPLAINTS * counts.sent else Health.HEALTHY


@dataclass(frozen=True)
class Judged:
    domain: str
    health: Health
    counts: Counts


def judge_domains(counts: Mapping[str, Counts], already_open: Collection[str]) -> list[Judged]:
    """What there is to say of each domain that is not held yet, and of the rest together.

    A domain that is over the line is held alone. '*' is judged by those that are not: many small
    domains of which none has its sample hold the whole campaign, one large domain does not.
    """
    if EVERY_DOMAIN in already_open:
        return []
    judged = [
        Judged(domain, judge_health(counted), counted)
        for domain, counted in sorted(counts.items())
        if domain not in already_open
    ]
    rest = sum((one.counts for one in judged if not one.health.opens), Counts())
    told = [one for one in judged if one.health is not Health.HEALTHY]
    together = Judged(EVERY_DOMAIN, judge_health(rest), rest)
    if together.health.opens or (together.health is Health.WARNED and not told):
        told.append(together)
    return told


class Watch:
    """What one run of a sender saw, so that the database is asked only where there is suspicion.

    Counting reads all of a campaign's messages; for a healthy one nobody asks.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], list[int]] = {}

    def saw(self, campaign: str, domain: str, *, blocked: bool) -> bool:
        """Note one answered attempt; say whether ``check`` should be called now."""
        suspicious = [self._note(campaign, name, blocked) for name in (domain, EVERY_DOMAIN)]
        return any(suspicious)

    def _note(self, campaign: str, domain: str, blocked: bool) -> bool:
        seen = self._seen.setdefault((campaign, domain), [0, 0, _SUSPICIOUS])
        seen[0] += 1
        seen[1] += blocked
        attempts, blocks, enough = seen
        if not blocked or blocks < enough or blocks <= MOST_BLOCKS * attempts:
            return False
        seen[2] = 2 * blocks  # other senders see the rest: ask again, but ever more rarely
        return True


def check(tx: Connection, campaign: str, clock: datetime) -> list[Line]:
    """Count the last 24 hours, open what is over the line and hold what waits for it.

    A line for each domain that was opened or is close to it. Call it in a transaction of its own,
    after a block bounce that ``Watch`` finds suspicious, and after each complaint.
    """
    values = {"campaign": campaign, "clock": clock, "window_h": WINDOW_H, "block": BLOCK}
    tx.execute(QUERIES["hold_breakers"], values)  # senders ask one after the other
    counts = {
        row.domain: Counts(row.attempts, row.sent, row.blocked, row.complained)
        for row in tx.execute(QUERIES["domain_counts"], values)
    }
    already = {row.domain for row in tx.execute(QUERIES["open_domains"], values)}
    judged = judge_domains(counts, already)
    opened = [one for one in judged if one.health.opens]
    for one in opened:
        tx.execute(
            QUERIES["open_breaker"], {**values, "domain": one.domain, "reason": one.health.value}
        )
    if already or opened:
        tx.execute(QUERIES["hold_waiting"], values)
    return [_line(campaign, one) for one in judged]


def _line(campaign: str, one: Judged) -> Line:
    return Line(
        "breaker_opened" if one.health.opens else "breaker_warned",
        {
            "campaign_id": campaign, "domain": one.domain, "reason": one.health.value,
            "attempts": one.counts.attempts, "sent": one.counts.sent,
            "blocked": one.counts.blocked, "complained": one.counts.complained,
        },
    )  # fmt: skip


def close(tx: Connection, campaign: str, clock: datetime) -> int:
    """Close a campaign's breakers and let what they held go on; give back how many messages.

    What was counted until now does not open them again.
    """
    values = {"campaign": campaign, "clock": clock}
    tx.execute(QUERIES["hold_breakers"], values)
    tx.execute(QUERIES["close_breakers"], values)
    return tx.execute(QUERIES["release_unheld"], values).rowcount


def open_breakers(tx: Connection) -> list[dict[str, Any]]:
    """What is held back, since when, why, and how many messages."""
    return row_dicts(tx.execute(QUERIES["open_breakers"]))


def told_held(breakers: Iterable[Mapping[str, Any]], campaign: str) -> str:
    """``gmail.com (blocks)``: what of a campaign is held; empty where nothing is."""
    held = [one for one in breakers if one["campaign"] == campaign]
    return ", ".join(
        f"{'all' if one['domain'] == EVERY_DOMAIN else one['domain']} ({one['reason']})"
        for one in held
    )
