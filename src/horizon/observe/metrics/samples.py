"""A number under a name, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from horizon.counters.families import BY_NAME, Family
from horizon.counters.reading import Counted
from horizon.observe.metrics.gauges import Gauge, Sample


def shown(samples: Iterable[Sample]) -> list[Metric]:
    metrics: dict[Gauge, GaugeMetricFamily] = {}
    for one in samples:
        gauge = one.gauge
        if gauge not in metrics:
            metrics[gauge] = GaugeMetricFamily(
                gauge.name, gauge.help, labels=gauge.labels, unit=gauge.unit
            )
        metrics[gauge].add_metric(one.labels, one.value)
    return list(metrics.values())


AnyFamily = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def shown_counters(counted: Counted) -> list[Metric]:
    metrics: dict[str, AnyFamily] = {}
    for (name, labels), slots in sorted(counted.items()):
        family = BY_NAME[name]
        if name not in metrics:
            metrics[name] = _metric(family)
        _add(metrics[name], family, labels, slots)
    return list(metrics.values())


KINDS: Final[dict[str, type[AnyFamily]]] = {
    "counter": CounterMetricFamily, "histogram": HistogramMetricFamily,
}  # fmt: skip


def _metric(family: Family) -> AnyFamily:
    kind = KINDS.get(family.kind, GaugeMetricFamily)
    return kind(family.name, family.help, labels=family.labels, unit=family.unit)


def _add(metric: AnyFamily, family: Family, labels: tuple[str, ...], slots: list[float]) -> None:
    if isinstance(metric, HistogramMetricFamily):
        metric.add_metric(labels, cumulated(family, slots), slots[-1])
    else:
        metric.add_metric(labels, slots[0])


def cumulated(family: Family, slots: list[float]) -> list[tuple[str, float]]:
    """Of counts by bucket (the last slot is the sum) how many were at most so large."""
    bounds = [*(str(float(bound)) for bound in family.buckets), "+Inf"]
    total, found = 0.0, []
    for bound, count in zip(bounds, slots, strict=False):
        total += count
        found.append((bound, total))
    return found
