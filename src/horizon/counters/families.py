"""What is counted, by whom: names, labels and help as /metrics shows them.

Every label has few values: never a person's id, an address or a domain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

# seconds, from a request that needs no commit to one that nobody waits for
LATENCIES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
DURATIONS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
SIZES: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)


@dataclass(frozen=True, slots=True)
class Family:
    """``gauge``: holds while its process lives. ``latest``: a time; the newest of all counts."""

    name: str
    kind: Literal["counter", "histogram", "gauge", "latest"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    unit: str = ""

    @property
    def slots(self) -> int:
        """Numbers that one set of label values takes: a histogram's buckets, the rest, its sum."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1


REQUESTS = Family(
    "horizon_http_requests", "counter",
    "Requests that the collector answered, by what was asked for and by HTTP status.",
    ("route", "status"),
)  # fmt: skip
REQUEST_SECONDS = Family(
    "horizon_http_request_duration_seconds", "histogram",
    "From a request's head to its answer; for events that includes the commit.",
    ("route",), LATENCIES, "seconds",
)  # fmt: skip
API_REQUESTS = Family(
    "horizon_api_requests", "counter",
    "Requests that the profile API answered, by the part of a profile and by HTTP status.",
    ("route", "status"),
)  # fmt: skip
API_REQUEST_SECONDS = Family(
    "horizon_api_request_duration_seconds", "histogram",
    "From a request's head to the profile API's answer.", ("route",), LATENCIES, "seconds",
)  # fmt: skip
EVENTS = Family(
    "horizon_events", "counter",
    "Events that the collector took: accepted, duplicate (was there already), rejected (malformed),"
    " or failed (nobody could write them; the client was told).",
    ("result",),
)  # fmt: skip
COMMITS = Family(
    "horizon_commits", "counter", "Group commits of the collector, by result.", ("result",)
)
COMMIT_SECONDS = Family(
    "horizon_commit_duration_seconds", "histogram",
    "One group commit of the collector, repeats after a broken connection included.",
    (), LATENCIES, "seconds",
)  # fmt: skip
COMMIT_EVENTS = Family(
    "horizon_commit_events", "histogram", "Events in one group commit.", (), SIZES
)
WAITING_EVENTS = Family(
    "horizon_collector_waiting_events", "gauge",
    "Events that the collector holds in memory and has not answered yet.",
)  # fmt: skip
SENDS = Family(
    "horizon_sends", "counter",
    "Messages that a sender handed to a provider: sent, refused (asked for later or never), "
    "unknown (the answer was lost).",
    ("channel", "result"),
)  # fmt: skip
SEND_SECONDS = Family(
    "horizon_send_duration_seconds", "histogram",
    "From a message's hand-over to the provider's answer.",
    ("channel",), LATENCIES, "seconds",
)  # fmt: skip
CONNECTS = Family(
    "horizon_provider_connects", "counter",
    "Connections that senders opened to a provider, or could not.",
    ("channel", "result"),
)  # fmt: skip
CONNECTIONS = Family(
    "horizon_provider_connections", "gauge", "Connections to a provider open now.", ("channel",)
)
SENDER_RAN = Family(
    "horizon_sender_last_run_timestamp_seconds", "latest",
    "When a sender last ended its work.", (), (), "seconds",
)  # fmt: skip
RUNS = Family(
    "horizon_stage_runs", "counter", "Runs of a stage, by how they ended.", ("stage", "result")
)
RUN_SECONDS = Family(
    "horizon_stage_duration_seconds", "histogram", "One run of a stage, its lock included.",
    ("stage",), DURATIONS, "seconds",
)  # fmt: skip

FAMILIES: Final = (
    REQUESTS, REQUEST_SECONDS, API_REQUESTS, API_REQUEST_SECONDS, EVENTS, COMMITS, COMMIT_SECONDS,
    COMMIT_EVENTS, WAITING_EVENTS, SENDS, SEND_SECONDS, CONNECTS, CONNECTIONS, SENDER_RAN,
    RUNS, RUN_SECONDS,
)  # fmt: skip
BY_NAME: Final = {family.name: family for family in FAMILIES}
