"""The functions that let the edge see and do a little of what its role may not."""

from __future__ import annotations

from uuid import uuid4

import pytest

from horizon.events.nodes import node_of
from horizon.keys import Keys
from horizon.postgres.database import Database, Role
from tests.link_pages import mail, suppress, suppressed


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("ann@example.com", "a***@e***.com"),
        ("a@b.co.uk", "a***@b***.uk"),
        ("ülf@grün.example", "ü***@g***.example"),
        ("root@localhost", "r***@l***"),
        ("no address", None),
        ("@x.com", None),
        (None, None),
    ],
)
def test_masked_addresses(
    address: str | None, masked: str | None, database: Database, keys: Keys
) -> None:
    message_id, _ = mail(database, keys)
    with database.transaction(Role.OWNER) as tx:
        tx.execute("UPDATE messages SET to_addr = %s", [address])
    with database.transaction(Role.EDGE) as tx:
        row = tx.execute("SELECT masked_address(%s) AS masked", [message_id]).fetchone()
    assert row is not None
    assert row.masked == masked


def test_only_the_owners_own_no_is_lifted(database: Database, keys: Keys) -> None:
    address = node_of(keys.node, "email", "ann@example.com")
    for purpose, reason in (
        ("marketing", "unsubscribed"),
        ("tracking", "manual"),
        ("*", "unsubscribed"),
    ):
        suppress(database, keys, purpose, reason)
    with database.transaction(Role.EDGE) as tx:
        for purpose in ("tracking", "*", "other"):
            tx.execute("SELECT lift_unsubscribed(%s, %s)", [address, purpose])
        tx.execute("SELECT lift_unsubscribed(%s, 'marketing')", [uuid4()])
        assert tx.execute("SELECT count(*)::int AS n FROM suppressions").fetchone() == (3,)
        tx.execute("SELECT lift_unsubscribed(%s, 'marketing')", [address])
    assert suppressed(database) == {("tracking", "manual"), ("*", "unsubscribed")}
