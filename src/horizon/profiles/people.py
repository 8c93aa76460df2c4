"""Whom a person means by KIND:VALUE or by a profile's number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from horizon.errors import UsageError
from horizon.events.nodes import node_of
from horizon.profiles.evidence import QUERIES, Evidence
from horizon.profiles.model import Node

MOST_NODES = 10_000  # of a profile that are shown; it may have more

_ID = re.compile(r"p?(\d{1,18})")


@dataclass(frozen=True)
class Person:
    """``node`` is the identifier that was named, else the profile's strongest oldest one."""

    profile_id: int
    node: Node
    named: bool
    asked: int | None = None  # the profile that was asked for, where another one absorbed it


def find(evidence: Evidence, text: str, node_key: bytes) -> Person:
    """Raises UsageError where nobody is meant."""
    number = _ID.fullmatch(text.strip())
    if number is not None:
        return _by_number(evidence, int(number[1]))
    node = find_node(evidence, text, node_key)
    if node.profile_id is None:
        raise UsageError(f"{text} {_no_one(node)}")
    return Person(node.profile_id, node, named=True)


def find_node(evidence: Evidence, text: str, node_key: bytes) -> Node:
    """The identifier that is written as KIND:VALUE; it may belong to no profile."""
    kind, colon, value = text.strip().partition(":")
    if not (kind and colon and value):
        raise UsageError(
            f"{text!r} names nobody: write KIND:VALUE, like email:ann@example.com, or a profile's "
            "number."
        )
    wanted = node_of(node_key, kind.lower(), value)
    found = evidence.nodes([wanted]).get(wanted)
    if found is None:
        raise UsageError(
            f"Nobody is known by {text}: look at its spelling, or wait for the next run of the "
            "identity stage (`horizon status`)."
        )
    return found


def _by_number(evidence: Evidence, asked: int) -> Person:
    row = evidence.tx.execute(QUERIES["profile"], {"profile_id": asked}).fetchone()
    if row is None:
        raise UsageError(
            f"There is no profile {asked}: `horizon profile show KIND:VALUE` finds one."
        )
    profile_id = row.points_to or asked
    strongest = evidence.strongest(profile_id)
    if strongest is None:
        raise UsageError(f"Profile {asked} has no identifier any more: ask for a person by one.")
    merged = asked if row.points_to else None
    return Person(profile_id, strongest, named=False, asked=merged)


def _no_one(node: Node) -> str:
    if node.dead == "hub":
        return (
            "is a hub, which so many people share that it tells nobody apart: `horizon identity "
            "hubs` lists them."
        )
    if node.dead == "blocked":
        return "is blocked by the rules: `horizon identity blocked` lists such values."
    return "belongs to nobody any more: it was erased."
