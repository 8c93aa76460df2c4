"""One batch of lines to the index, asked again until every line has found its fate."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from horizon.errors import HorizonError
from horizon.observe.shipper import fault, rules
from horizon.observe.shipper.client import Answer, Client, SearchServerAwayError
from horizon.observe.shipper.rules import Fate

# What the server then says of a line that it took is 28 bytes and not 200.
REQUEST = "_bulk?filter_path=errors,items.*.status,items.*.error"

WHOLE = "filter_path=timed_out,_shards.failed"
SEARCH = f"_search?allow_partial_search_results=false&{WHOLE},hits.hits._id"


class StoppedError(Exception):
    """Told to stop while the server was away: what is under way is shipped by the next shipper."""


class GaveUpError(HorizonError):
    pass


@dataclass
class Outcome:
    indexed: int = 0
    there: int = 0  # by an earlier shipper that died before it stored its position
    refused: list[tuple[bytes, str]] = field(default_factory=list)  # item and the server's reason


@dataclass(frozen=True)
class Patience:
    """``waiting`` is told why, each time; after ``attempts`` without progress it gives up."""

    stop: threading.Event
    waiting: Callable[[str], None]
    working: Callable[[], None]
    attempts: int | None = None

    def wait(self, attempt: int, why: str) -> None:
        """Raises StoppedError, or GaveUpError with ``why``."""
        if self.attempts is not None and attempt >= self.attempts:
            raise GaveUpError(why)
        self.waiting(why)
        if self.stop.wait(rules.wait_s(attempt, random.random())):
            raise StoppedError


def ship(
    client: Client, index: str, items: Sequence[bytes], patience: Patience, *, stream: bool = False,
    doubtful: bool = False,
) -> Outcome:  # fmt: skip
    """Create every item's document. Raises StoppedError, GaveUpError.

    A data stream knows an id in its newest part only: what is doubtful, since it may have been
    sent before, is looked up there first.
    """
    outcome = Outcome()
    waiting = list(items)
    attempt = 0
    while waiting:
        attempt += 1
        before = len(waiting)
        why = ""
        try:
            if stream and doubtful:
                waiting = _absent(client, index, waiting, outcome)
            waiting, why = _try(client, index, waiting, outcome) if waiting else ([], "")
        except SearchServerAwayError as exc:
            why = str(exc)
        if waiting:
            doubtful = True
            attempt = attempt if len(waiting) == before else 1
            patience.wait(attempt, why)
    patience.working()
    return outcome


def _try(
    client: Client, index: str, items: list[bytes], outcome: Outcome
) -> tuple[list[bytes], str]:
    """What is left to do, and why."""
    answer = client.ask("POST", f"/{index}/{REQUEST}", b"".join(items))
    if answer.status == 200:
        return _sorted(client, index, items, answer, outcome)
    if answer.status in {400, 413}:
        return _halved(client, index, items, answer, outcome)
    return items, refusal(client, index, answer)


def _sorted(
    client: Client, index: str, items: list[bytes], answer: Answer, outcome: Outcome
) -> tuple[list[bytes], str]:
    fine = answer.body.startswith(b'{"errors":false')
    if fine and answer.body.count(b'"status":') == len(items):
        outcome.indexed += len(items)
        return [], ""
    left, why = [], ""
    refused: list[tuple[bytes, dict[str, Any]]] = []
    results = _results(answer)
    if len(results) != len(items):
        return items, "The search server's answer to a bulk request is none."
    for item, result in zip(items, results, strict=True):
        status, error = result
        cause = error.get("caused_by") or {}
        match rules.fate(status, error.get("type", ""), cause.get("type", "")):
            case Fate.THERE if status == 409:
                outcome.there += 1
            case Fate.THERE:
                outcome.indexed += 1
            case Fate.REFUSED:
                refused.append((item, error))
            case Fate.LATER:
                left.append(item)
                why = (
                    f"The search server takes no lines now ({_sentence(error)}): look at its log "
                    "and its disk."
                )
    held = _bury(client, index, refused, outcome, taken=len(items) - len(refused) - len(left))
    return [*left, *held], fault.sentence(index) if held else why


def _bury(
    client: Client,
    index: str,
    refused: list[tuple[bytes, dict[str, Any]]],
    outcome: Outcome,
    *,
    taken: int,
) -> list[bytes]:
    """Those whose refusal is their own fault are refused; the others are given back."""
    if not refused:
        return []
    errors = [error for _, error in refused]
    held = []
    for (item, error), blameless in zip(
        refused, fault.of_the_index(client, index, errors, taken=taken), strict=True
    ):
        if blameless:
            held.append(item)
        else:
            outcome.refused.append((item, _sentence(error)))
    return held


def _results(answer: Answer) -> list[tuple[int, dict[str, Any]]]:
    """Every item's status and error; none where the answer is no search server's."""
    told = answer.json()
    try:
        return [_status(result) for result in told["items"]]
    except (AttributeError, KeyError, StopIteration, TypeError):
        return []


def _status(result: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    told = next(iter(result.values()))
    error = told.get("error") or {}
    return int(told["status"]), error if isinstance(error, dict) else {"reason": str(error)}


def _sentence(error: dict[str, Any]) -> str:
    cause = (error.get("caused_by") or {}).get("reason")
    said = f"{error.get('type', '')}: {error.get('reason', '')}"
    if cause and cause not in said:
        said += f" ({cause})"
    return " ".join(said.split())[:500]


def _halved(
    client: Client, index: str, items: list[bytes], answer: Answer, outcome: Outcome
) -> tuple[list[bytes], str]:
    """The request as a whole was refused: its halves are asked, down to the line that spoils it."""
    if len(items) == 1:
        # A server or proxy that says 400 to everything would drain the log.
        if not answer.is_error or not fault.takes_requests(client, f"/{index}/{REQUEST}"):
            return items, refusal(client, index, answer)
        outcome.refused.append((items[0], f"{answer.status}: {answer.reason}"))
        return [], ""
    middle = len(items) // 2
    left, why = _try(client, index, items[:middle], outcome)
    if left:  # in their order, and without asking an overloaded server for the other half
        return [*left, *items[middle:]], why
    return _try(client, index, items[middle:], outcome)


def _absent(client: Client, index: str, items: list[bytes], outcome: Outcome) -> list[bytes]:
    """Those whose ids are nowhere in the data stream. What is not known for sure is no absence:
    it raises SearchServerAwayError, since a line would be there twice."""
    refreshed = client.ask("POST", f"/{index}/_refresh?{WHOLE}")
    if refreshed.status == 404:
        return items
    _whole(client, index, refreshed)
    ids = [rules.id_of(item).decode() for item in items]
    there: set[str] = set()
    for start in range(0, len(ids), 5000):  # a search gives at most 10,000
        some = ids[start : start + 5000]
        body = {"query": {"ids": {"values": some}}, "size": len(some), "_source": False}
        answer = client.ask("POST", f"/{index}/{SEARCH}", body)
        if answer.status == 404:
            return items
        hits = _whole(client, index, answer).get("hits", {}).get("hits", [])
        there.update(hit["_id"] for hit in hits)
    outcome.there += len(there)
    return [item for item, id_ in zip(items, ids, strict=True) if id_ not in there]


def _whole(client: Client, index: str, answer: Answer) -> dict[str, Any]:
    """What every shard answered. Raises SearchServerAwayError where one did not."""
    if answer.status != 200:
        raise SearchServerAwayError(refusal(client, index, answer))
    told = answer.json()
    shards = told.get("_shards") if isinstance(told, dict) else None
    if not isinstance(shards, dict) or shards.get("failed") != 0 or told.get("timed_out"):
        raise SearchServerAwayError(
            f"The search server at {client.name} cannot read all of {index}: see its shards."
        )
    return dict(told)


def refusal(client: Client, index: str, answer: Answer) -> str:
    """One sentence for an answer that is no success."""
    if answer.status == 401:
        return (
            f"The search server at {client.name} does not know who asks (401): set ES_API_KEY, or "
            "ES_USER and ES_PASSWORD."
        )
    if answer.status == 403:
        return (
            f"The search server at {client.name} forbids it (403: {answer.reason}): give the "
            f"account manage_index_templates, and create_index, create_doc and manage on {index}."
        )
    said = f"The search server at {client.name} answers {answer.status}"
    if answer.reason:
        said += f" ({answer.reason.rstrip('.')})"
    if answer.status == 429 or answer.status >= 500:
        return f"{said}: it is overloaded or ill; look at its log."
    return f"{said}: see whether ES_URL is its address, and its log."
