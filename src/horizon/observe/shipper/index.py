"""The index template and the index itself, put before the first line."""

from __future__ import annotations

from collections.abc import Callable

from horizon.observe.shipper import schema
from horizon.observe.shipper.bulk import Patience, refusal
from horizon.observe.shipper.client import Client, SearchServerAwayError
from horizon.settings import Settings


def prepare(
    client: Client, settings: Settings, patience: Patience, say: Callable[[str], None]
) -> None:
    """Raises StoppedError, GaveUpError."""
    attempt = 0
    while True:
        try:
            why = _put(client, settings.ES_INDEX, settings.ES_DATA_STREAM == "on", say)
        except SearchServerAwayError as exc:
            why = str(exc)
        if not why:
            return patience.working()
        attempt += 1
        patience.wait(attempt, why)


def _put(client: Client, index: str, stream: bool, say: Callable[[str], None]) -> str:
    """Why it could not be put, or nothing."""
    answer = client.ask("PUT", f"/_index_template/{index}", schema.template(index, stream))
    if answer.status != 200:
        return refusal(client, index, answer)
    if stream:  # the first line makes it
        return ""
    answer = client.ask("PUT", f"/{index}")
    if answer.status == 400 and b"already_exists" in answer.body:
        _add_fields(client, index, say)
        return ""
    return "" if answer.status == 200 else refusal(client, index, answer)


def _add_fields(client: Client, index: str, say: Callable[[str], None]) -> None:
    """An index of an older version learns the fields that came since."""
    answer = client.ask("PUT", f"/{index}/_mapping", schema.mappings())
    if answer.status != 200:
        say(
            f"the index {index} has another schema ({answer.reason}): lines go in as it lets them; "
            "set ES_INDEX to a new name to have Horizon's."
        )
