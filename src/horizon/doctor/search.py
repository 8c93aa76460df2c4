"""The search server that the log is shipped to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from horizon.doctor.finding import Case, Finding, ok, problem, warning
from horizon.errors import SettingsError
from horizon.observe.shipper.client import Answer, Client, SearchServerAwayError
from horizon.observe.shipper.state import lag
from horizon.settings import Settings

PART: Final = "search server"
DISK_WARNING: Final = 0.85  # from here on a server by its own defaults takes no new shards,
DISK_PROBLEM: Final = 0.95  # and from here on no line
LAG_S: Final = 300.0


def check_search_server(case: Case) -> Iterator[Finding]:
    settings = case.settings
    if not settings.ES_URL:
        yield ok(PART, "none is set, so the log is not shipped")
        return
    try:
        with closing(Client(settings)) as client:
            yield from _answers(client, client.ask("GET", "/_cluster/health"), settings)
    except (SearchServerAwayError, SettingsError) as exc:
        found, _, todo = str(exc).rpartition(": ")
        yield problem(PART, found, f"{todo[:1].upper()}{todo[1:]}")
    yield from _shipper(case)


def _answers(client: Client, health: Answer, settings: Settings) -> Iterator[Finding]:
    if health.status in (401, 403):
        yield problem(
            PART, f"{client.name} does not let us in ({health.status})",
            "Set ES_API_KEY, or ES_USER and ES_PASSWORD, to what its administrator gives you.",
        )  # fmt: skip
        return
    if health.status == 429 or health.status >= 500:
        said = f" ({health.reason.rstrip('.')})" if health.reason else ""
        yield problem(
            PART, f"{client.name} is ill: it answers {health.status}{said}",
            "Look at its log, or at that of a proxy before it; lines wait until it is well.",
        )  # fmt: skip
        return
    if health.status != 200:
        yield problem(
            PART, f"{client.name} is no search server: it answers {health.status}",
            "Set ES_URL to the address of Elasticsearch or OpenSearch, like https://HOST:9200.",
        )  # fmt: skip
        return
    troubles = [
        *_health(client, health.json()),
        *_index(client, settings.ES_INDEX),
        *_disks(client.ask("GET", "/_nodes/stats/fs")),
    ]
    yield from troubles or [ok(PART, f"{client.name} answers{_version(client)}")]


def _version(client: Client) -> str:
    """A server of the tests does not say it."""
    told = client.ask("GET", "/").json()
    version = told.get("version", {}) if isinstance(told, dict) else {}
    if not isinstance(version, dict) or "number" not in version:
        return ""
    return f": {version.get('distribution', 'elasticsearch')} {version['number']}"


def _health(client: Client, told: Any) -> Iterator[Finding]:
    if isinstance(told, dict) and told.get("status") == "red":
        yield problem(
            PART, f"{client.name} is red: parts of its data are missing",
            "Look at its log, and at GET /_cluster/allocation/explain.",
        )  # fmt: skip


def _index(client: Client, index: str) -> Iterator[Finding]:
    """Whether lines would be taken: its disk watermark makes an index read-only."""
    answer = client.ask("GET", f"/{index}/_settings?flat_settings=true")
    if answer.status == 403:
        yield problem(
            PART, f"who signs in may not see index {index}",
            f"Give that user or key the rights to create and write {index}.",
        )  # fmt: skip
    told = answer.json() if answer.status == 200 else {}
    for name, one in told.items() if isinstance(told, dict) else ():
        blocks = [
            key.removeprefix("index.blocks.") for key, on in one.get("settings", {}).items()
            if key.startswith("index.blocks.") and str(on).lower() == "true"
        ]  # fmt: skip
        if blocks:
            yield problem(
                PART, f"index {name} takes no lines ({', '.join(sorted(blocks))})",
                "Free disk on the server; it then lifts the block, or do it by PUT "
                f"/{name}/_settings with null for it.",
            )  # fmt: skip


def _disks(answer: Answer) -> Iterator[Finding]:
    told = answer.json() if answer.status == 200 else {}
    nodes = told.get("nodes", {}) if isinstance(told, dict) else {}
    for node in nodes.values():
        total = node.get("fs", {}).get("total", {})
        size, free = total.get("total_in_bytes", 0), total.get("available_in_bytes", 0)
        used = 1 - free / size if size else 0.0
        if used >= DISK_WARNING:
            yield (problem if used >= DISK_PROBLEM else warning)(
                PART, f"the disk of its node {node.get('name', '')} is {used:.0%} full",
                "Free some there: at 95 % the server makes every index read-only.",
            )  # fmt: skip


def _shipper(case: Case) -> Iterator[Finding]:
    behind = lag(case.settings, case.clock)
    waiting = f"{behind.lines:,} log line{' waits' if behind.lines == 1 else 's wait'}"
    if behind.said:
        found, _, todo = behind.said.rpartition(": ")
        yield problem("shipper", found, f"{todo[:1].upper()}{todo[1:]}")
    elif behind.seconds > LAG_S:
        yield warning(
            "shipper", f"{waiting}, the oldest for {behind.seconds:,.0f} s",
            "Let it catch up." if behind.running else "Start `horizon up` or `horizon ship`.",
        )  # fmt: skip
    else:
        yield ok("shipper", waiting)
    if behind.lost_bytes:
        yield warning(
            "shipper", f"rotation took {behind.lost_bytes:,} bytes of the log before they were "
            "shipped",
            "Raise LOG_KEEP, so that its files outlast the server's longest absence.",
        )  # fmt: skip
    if behind.status is not None and behind.status.refused:
        yield warning(
            "shipper", f"{behind.status.refused:,} lines were refused",
            "Read the reasons in dead-letters.jsonl in the home's folder of the shipper.",
        )  # fmt: skip
