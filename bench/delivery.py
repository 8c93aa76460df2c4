"""[delivery.smtp], [delivery.plan], [delivery.first]."""

from __future__ import annotations

from collections.abc import Iterator

from bench.delivery_first import first_figures
from bench.delivery_plan import plan_figures
from bench.delivery_smtp import smtp_figures
from bench.harness import Figure


def figures(quick: bool) -> Iterator[Figure]:
    yield from smtp_figures(quick)
    yield from plan_figures(quick)
    yield from first_figures(quick)
