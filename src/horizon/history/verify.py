"""Computes the chain anew and compares what it sealed with the tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from horizon.history.rules import FIRST, OPEN, Body, Problem, Seal, check_chain, check_head
from horizon.history.stage import QUERIES
from horizon.postgres.database import Connection

MOST = 1_000  # problems of each kind; who planted more is found out all the same

_COMPARED = (
    "differing_messages", "differing_alerts", "differing_consents", "differing_audit",
)  # fmt: skip


@dataclass(frozen=True)
class Verified:
    batches: int
    entries: int
    head: str
    after_head: int | None  # batches since the head that was asked for
    problems: Sequence[Problem]


def verify(tx: Connection, head: str | None = None) -> Verified:
    """``tx`` has to be REPEATABLE READ, so that the tables and the history are of one moment."""
    tx.execute(QUERIES["pin_forms"])
    seals = [
        Seal(row.batch, row.entries, bytes(row.previous), bytes(row.body), bytes(row.hash),
             row.sealed_at)
        for row in tx.execute(QUERIES["seals"])
    ]  # fmt: skip
    bodies = [
        Body(row.batch, row.entries, bytes(row.body))
        for row in tx.execute(QUERIES["bodies"], {"last_batch": 0})
    ]
    problems = check_chain(seals, bodies)
    if head is not None and (cut_off := check_head(seals, head)):
        problems.insert(0, cut_off)
    problems += _missing_entries(tx, seals, bodies)
    problems += _differing(tx)
    return Verified(
        batches=len(seals), entries=sum(seal.entries for seal in seals),
        head=seals[-1].hash.hex() if seals else FIRST.hex(), after_head=_after(seals, head),
        problems=problems,
    )  # fmt: skip


def _after(seals: Sequence[Seal], head: str | None) -> int | None:
    found = [seal.batch for seal in seals if head and seal.hash.hex() == head.lower()]
    return len(seals) - found[0] if found else None


def _missing_entries(
    tx: Connection, seals: Sequence[Seal], bodies: Sequence[Body]
) -> Iterator[Problem]:
    there = {one.batch: one.entries for one in bodies}
    for seal in seals:
        if there.get(seal.batch, 0) < seal.entries:
            values = {"batch": seal.batch, "entries": seal.entries, "most": MOST}
            for row in tx.execute(QUERIES["gaps"], values):
                yield Problem("the entry is gone", seal.batch, row.place)


def _differing(tx: Connection) -> Iterator[Problem]:
    values = {"open": list(OPEN), "most": MOST}
    for query in _COMPARED:
        for row in tx.execute(QUERIES[query], values):
            yield Problem(row.what, row.batch, row.place, row.thing, row.id)
    for row in tx.execute(QUERIES["never_sealed"], values):
        yield Problem("was slipped in: no pass has met it", thing=row.thing, id=row.id)
