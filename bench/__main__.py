"""Runs benches by name: ``python -m bench score --quick``; without a name, all of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

from bench import delivery, files, forward, identity, ingest, lake, profiles, score, ship
from bench.harness import Figure
from horizon.errors import HorizonError

BENCHES: dict[str, Callable[[bool], Iterator[Figure]]] = {
    "score": score.figures, "delivery": delivery.figures, "ship": ship.figures,
    "ingest": ingest.figures, "forward": forward.figures, "files": files.figures,
    "identity": identity.figures, "profiles": profiles.figures, "lake": lake.figures,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--quick", action="store_true", help="smaller, under 50 s a figure")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in BENCHES]
    if unknown:
        parser.error(f"there is no bench {unknown[0]}: choose of {', '.join(BENCHES)}")
    try:
        for name in chosen.names or BENCHES:
            for figure in BENCHES[name](chosen.quick):
                print(figure.line(), flush=True)
    except HorizonError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
