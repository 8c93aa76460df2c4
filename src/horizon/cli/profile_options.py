"""What commands about profiles share: whom they are about, and one moment of everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import psycopg
import typer

from horizon.cli.options import installed
from horizon.identity.rules import read
from horizon.keys import Keys
from horizon.postgres.database import Connection, Role, closing_connection
from horizon.profiles.evidence import Evidence
from horizon.profiles.in_force import rules_in_force

Who = Annotated[
    str,
    typer.Argument(
        metavar="PROFILE", help="KIND:VALUE, like email:ann@example.com, or its number."
    ),
]
Other = Annotated[
    str, typer.Argument(metavar="OTHER", help="The other one, KIND:VALUE or a profile's number.")
]
Unmasked = Annotated[
    bool, typer.Option("--unmasked", help="Addresses and phone numbers whole, not a***@e***.com.")
]


@contextmanager
def reading(
    database: str | None, *, unmasked: bool = False, role: Role = Role.WORKER
) -> Iterator[tuple[Evidence, Keys]]:
    """One moment of everything, and nothing is changed."""
    horizon = installed(database)
    connection = horizon.database.connect(role)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with closing_connection(connection) as tx:
        yield evidence_in(tx, unmasked=unmasked), horizon.keys


def evidence_in(tx: Connection, *, unmasked: bool) -> Evidence:
    rules = read(rules_in_force(tx).text)
    return Evidence(tx, lambda kind: (rules.of(kind).limit, rules.of(kind).window), unmasked)
