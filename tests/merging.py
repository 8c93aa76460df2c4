"""Merges, splits and dead nodes by hand, for tests of what follows them."""

from __future__ import annotations

from uuid import UUID

from horizon.identity.stage import QUERIES
from horizon.postgres.database import Role
from tests.world import World


def node(world: World, value: str) -> UUID:
    found: UUID = world.rows("SELECT node FROM nodes WHERE value = %s", value)[0].node
    return found


def profile(world: World, value: str) -> int:
    return int(world.rows("SELECT profile_id FROM nodes WHERE value = %s", value)[0].profile_id)


def merge(world: World, keeps: str, *others: str) -> None:
    """The profiles of these identifiers become one, which keeps the first one's id."""
    for other in others:
        old = profile(world, other)
        moved = [row.node for row in world.rows(
            "UPDATE nodes SET profile_id = %s, born_as = coalesce(born_as, profile_id)"
            " WHERE profile_id = %s RETURNING node", profile(world, keeps), old,
        )]  # fmt: skip
        world.rows(
            "UPDATE profiles SET points_to = %s WHERE %s IN (profile_id, points_to) RETURNING 1",
            profile(world, keeps), old,
        )  # fmt: skip
        carry(world, moved)


def split(world: World, value: str) -> None:
    """The identifier goes back to the profile that was made for it."""
    moved = world.rows(
        "UPDATE nodes SET profile_id = born_as WHERE value = %s RETURNING node, profile_id", value
    )[0]
    world.rows(
        "UPDATE profiles SET points_to = NULL WHERE profile_id = %s RETURNING 1", moved.profile_id
    )
    carry(world, [moved.node])


def bury(world: World, value: str) -> None:
    """Too many share it."""
    moved = world.rows(
        "UPDATE nodes SET dead = 'hub', profile_id = NULL WHERE value = %s RETURNING node", value
    )[0]
    carry(world, [moved.node])


def tie(world: World, strong: str, weak: str) -> None:
    """An edge, as one event that holds both makes it."""
    world.rows(
        "INSERT INTO edges (weak, strong, how, time) VALUES (%s, %s, 'event', %s)"
        " ON CONFLICT DO NOTHING RETURNING 1", node(world, weak), node(world, strong), world.now,
    )  # fmt: skip


def carry(world: World, nodes: list[UUID]) -> None:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        tx.execute(QUERIES["carry"], {"nodes": nodes})
