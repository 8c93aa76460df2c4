"""Run time of a score against how much history lies behind its window:
``python -m bench.history docs/pictures/score-history.png``.

The fourteen days of the window hold the same million events each time; the rest are earlier days of
the same size. Beside it DuckDB's bare query, which reads all of them. A JSON line a point, and then
the picture. All of it takes 8 GB of disk; ``--most 3`` ends at 3 million events.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.harness import Figure, medians, scratch_installation
from bench.score import PAIRS, _bare, _fill, _people, _view
from horizon import clock
from horizon.errors import HorizonError
from horizon.lake import resting
from horizon.lake.engines import engine_of
from horizon.lake.table import Lake
from horizon.pipeline.stages import score_stage

MILLIONS = (1, 3, 10, 30, 100)
WINDOW_DAYS = 14
PROFILES = 100_000
PART_DAYS = 200  # filled at once: a commit a part


def points(most: int) -> Iterator[Figure]:
    with scratch_installation() as horizon:
        now = clock.now()
        today = now.astimezone(UTC).date()
        _people(horizon, {"profiles": PROFILES, "now": now})
        lake = Lake.of(horizon.settings, horizon.database)
        table, stage = lake.for_writing(), score_stage(horizon.settings)
        engine, people, filled = engine_of(horizon.settings), _view(horizon), 0
        for millions in (one for one in MILLIONS if one <= most):
            days = [today - timedelta(days=n) for n in range(filled, millions * WINDOW_DAYS)]
            for at in range(0, len(days), PART_DAYS):
                part = days[at : at + PART_DAYS]
                _fill(table, people, len(part) * 1_000_000 // WINDOW_DAYS, part)
            filled += len(days)
            resting.refresh(lake, engine, now - timedelta(days=WINDOW_DAYS + 1))
            view = _view(horizon)
            value, bare = medians(
                PAIRS, lambda: horizon.runner.run(stage, now), partial(_bare, horizon, view, now)
            )
            yield Figure(
                "score.against_history", round(value, 3), "s", round(bare, 3), millions * 1_000_000
            )


def picture(found: list[Figure]) -> bytes:
    import vl_convert  # of the tests' lock

    rows = [
        {"events": one.size, "seconds": seconds, "of": name}
        for one in found
        for name, seconds in (
            ("horizon score", one.value),
            ("DuckDB over all files", one.reference),
        )
    ]
    return vl_convert.vegalite_to_png(_spec(rows, [one.size for one in found]), scale=2)


def _spec(rows: list[dict[str, Any]], sizes: list[int]) -> dict[str, Any]:
    across = {"values": sizes, "format": "~s", "grid": False}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": "A score of 14 days (1 M events) against all events in the lake",
        "width": 640, "height": 320, "data": {"values": rows},
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": "events", "type": "quantitative", "title": "events in the lake",
                  "scale": {"type": "log", "nice": False}, "axis": across},
            "y": {"field": "seconds", "type": "quantitative", "title": "seconds"},
            "color": {"field": "of", "type": "nominal", "title": None,
                      "legend": {"orient": "bottom"}},
        },
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("picture", type=Path, help="where the picture goes, a .png")
    parser.add_argument("--most", type=int, default=MILLIONS[-1], metavar="MILLIONS")
    chosen = parser.parse_args()
    found = []
    try:
        for figure in points(chosen.most):
            print(figure.line(), flush=True)
            found.append(figure)
    except HorizonError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    chosen.picture.write_bytes(picture(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
