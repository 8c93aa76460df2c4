"""Django's and allauth's own tables, in the schema ``console``: their migrations make them."""

from __future__ import annotations

from horizon.console.project import OWNER
from horizon.postgres.database import Database, Role
from horizon.postgres.migrate import LOCK

GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON console.django_session, console.account_emailaddress,
    console.account_emailconfirmation, console.mfa_authenticator,
    console.usersessions_usersession TO horizon_console;
GRANT SELECT ON console.django_migrations, console.django_content_type TO horizon_console;
"""


def migrate_console(database: Database) -> None:
    """Bring them up to date, as the owner; ``setup`` has to be done. One process at a time."""
    from django.core.management import call_command
    from django.db import connections

    with database.transaction(Role.OWNER) as tx:
        tx.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        try:
            call_command("migrate", database=OWNER, verbosity=0, interactive=False)
        finally:
            connections[OWNER].close()
        tx.execute(GRANTS)
