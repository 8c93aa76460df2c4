"""Merges, splits and dead nodes by the real stage, for tests of what follows them."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from horizon.identity import rules
from horizon.identity.stage import QUERIES, resolve
from horizon.postgres.database import Role
from tests.world import World


def node(world: World, value: str) -> UUID:
    """Of a user id; else of another identifier."""
    found: UUID = _row(world, value).node
    return found


def profile(world: World, value: str) -> int:
    return int(_row(world, value).profile_id)


def _row(world: World, value: str) -> Any:
    return world.rows("SELECT * FROM nodes WHERE value = %s ORDER BY kind DESC", value)[0]


def merge(world: World, user: str, previous: str) -> None:
    """A trusted source says that these user ids are of one person."""
    world.put({"type": "alias", "userId": user, "previousId": previous})
    world.identify_all()
    assert profile(world, user) == profile(world, previous)


def split(world: World, user: str, other: str) -> None:
    """An operator cuts them apart."""
    ends = [node(world, user), node(world, other)]
    world.rows(
        "INSERT INTO cuts (node, anchor, made_at) VALUES (%s, %s, %s) RETURNING 1", *ends, world.now
    )
    with world.horizon.database.transaction(Role.WORKER) as tx:
        resolve(tx, ends, world.now, uuid4())
    assert profile(world, user) != profile(world, other)


def block(world: World, *values: str) -> None:
    """User ids and anonymous ids that identify nobody, by a new version of the rules."""
    text = rules.shipped_text()
    for kind in ("user_id", "anonymous_id"):
        text = text.replace(f"[kinds.{kind}]", f"[kinds.{kind}]\nblocked = {list(values)!r}")
    world.rows(
        "INSERT INTO identity_rules (rules, adopted_at) VALUES (%s, %s) RETURNING 1",
        text,
        world.now,
    )


def carry(world: World, nodes: list[UUID]) -> None:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        tx.execute(QUERIES["carry"], {"nodes": nodes})
