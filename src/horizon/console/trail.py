"""What is done in the console goes to the audit, in the transaction that does it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from horizon.console.rows import tx
from horizon.postgres.audit import write_audit


def record(
    request: HttpRequest,
    action: str,
    thing: str,
    *,
    before: object = None,
    after: object = None,
    who: str | None = None,
    **more: Any,
) -> None:
    """``before`` and ``after`` as JSON takes them; ``who``, where nobody is signed in yet."""
    states = {"before": before, "after": after}
    details = {name: value for name, value in states.items() if value is not None}
    write_audit(
        tx(), action, thing, {**details, **more},
        who=f"console:{who or getattr(request.user, 'email', '') or 'nobody'}",
        origin=request.META.get("REMOTE_ADDR"),
    )  # fmt: skip
