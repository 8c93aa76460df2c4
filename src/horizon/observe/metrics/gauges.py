"""A number under a name, apart from prometheus_client, for whose 40 ms no command should wait."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    gauge: Gauge
    labels: tuple[str, ...]
    value: float
