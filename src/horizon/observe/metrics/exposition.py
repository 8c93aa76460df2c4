"""All metrics of an installation, and their text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from horizon.counters import ROLES, folder_of, read_counters
from horizon.observe.metrics.figures import QUICK, SLOW
from horizon.observe.metrics.gauges import Gauge, Sample
from horizon.observe.metrics.place import place_samples
from horizon.observe.metrics.refresh import Group, Tables
from horizon.observe.metrics.samples import shown, shown_counters
from horizon.observe.metrics.shipper import shipper_samples
from horizon.postgres.database import Database
from horizon.settings import Settings

WAIT_S: Final = 2.0  # a scrape gives up after 10 s
UP = Gauge("horizon_database_up", "1 where the database answered the last time it was asked.")
PROCESSES = Gauge(
    "horizon_processes",
    "Processes that live: collectors, profile APIs, workers, commands that run stages.",
    ("role",),
)


class Exposition(Collector):
    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self.quick = Group("quick", Tables(database, QUICK, timeout_s=5), every_s=5)
        self.slow = Group("slow", Tables(database, SLOW, timeout_s=120), every_s=60)
        self.shipper = Group("shipper", partial(shipper_samples, settings), every_s=5)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        samples = [*place_samples(self._settings), *self.quick.samples(WAIT_S)]
        samples.append(Sample(UP, (), self.quick.up))
        samples += self.slow.samples(WAIT_S if self.quick.up else 0)
        if self._settings.ES_URL:
            samples += self.shipper.samples(WAIT_S)
        counted, alive = read_counters(folder_of(self._settings))
        samples += [Sample(PROCESSES, (role,), alive[role]) for role in ROLES]
        yield from shown(samples)
        yield from shown_counters(counted)

    def text(self, accept: str) -> tuple[bytes, str]:
        """OpenMetrics, or Prometheus' older text for who asks for text/plain and not for that."""
        wanted = {one.split(";")[0].strip().lower() for one in accept.split(",")}
        if "text/plain" in wanted and "application/openmetrics-text" not in wanted:
            return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4
        text: bytes = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
        return text, CONTENT_TYPE_LATEST
