"""The chain's arithmetic.

A seal's hash is SHA-256 over the hash before it, the batch's number, how many entries it has, when
it was sealed, and SHA-256 of its entries; each of fixed length, so that it can be read in one way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

FIRST = bytes(32)  # what the first batch has in place of a hash before it
BATCH = 1_000  # entries at most: so closely a change within the history itself is located

OPEN = ("planned", "unknown")  # messages of which more will be sealed


@dataclass(frozen=True)
class Seal:
    batch: int
    entries: int
    previous: bytes
    body: bytes
    hash: bytes
    sealed_at: datetime


@dataclass(frozen=True)
class Body:
    """A batch's entries, as they are."""

    batch: int
    entries: int
    body: bytes


@dataclass(frozen=True)
class Problem:
    """``batch`` is where the history says otherwise, None where it says nothing."""

    what: str
    batch: int | None = None
    place: int | None = None
    thing: str | None = None
    id: str | None = None


def seal_hash(seal: Seal) -> bytes:
    at = seal.sealed_at.astimezone(UTC)
    microseconds = int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond
    head = b"".join(
        number.to_bytes(8, "big") for number in (seal.batch, seal.entries, microseconds)
    )
    return hashlib.sha256(seal.previous + head + seal.body).digest()


def chained(previous: bytes, bodies: Iterable[Body], sealed_at: datetime) -> list[Seal]:
    """The seals of new batches, after one with the hash ``previous``."""
    seals = []
    for one in bodies:
        seal = Seal(one.batch, one.entries, previous, one.body, b"", sealed_at)
        seal = replace(seal, hash=seal_hash(seal))
        seals.append(seal)
        previous = seal.hash
    return seals


def check_chain(seals: Sequence[Seal], bodies: Sequence[Body]) -> list[Problem]:
    """What is wrong with the chain and with the batches that it seals, in their order."""
    found = {one.batch: one for one in bodies}
    problems = []
    previous = FIRST
    for number, seal in enumerate(seals, 1):
        if seal.batch != number:
            problems.append(
                Problem(f"batches {number} to {seal.batch - 1} have no seal", seal.batch)
            )
            return problems
        problems += _check_seal(seal, previous, found.pop(number, Body(number, 0, b"")))
        previous = seal.hash
    return problems + [Problem("has entries and no seal", batch) for batch in sorted(found)]


def _check_seal(seal: Seal, previous: bytes, body: Body) -> list[Problem]:
    problems = []
    if seal.previous != previous:
        problems.append(Problem("its seal does not follow the one before it", seal.batch))
    if seal.hash != seal_hash(seal):
        problems.append(Problem("its seal was changed", seal.batch))
    if body.entries != seal.entries:
        told = f"{body.entries:,} of its {seal.entries:,} entries are there"
        problems.append(Problem(told, seal.batch))
    elif body.body != seal.body:
        problems.append(Problem("an entry was changed, or two have changed places", seal.batch))
    return problems


def check_head(seals: Sequence[Seal], head: str) -> Problem | None:
    """Whether the chain holds a hash that was noted earlier; batches may have come since."""
    if any(seal.hash.hex() == head.lower() for seal in seals):
        return None
    return Problem(f"the chain has no hash {head}: its end was cut off, or it was written anew")
