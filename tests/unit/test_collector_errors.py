"""The documentation has every code that the collector can answer, and its status."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "collector.md").read_text()
REQUESTS, EVENTS = (
    TEXT[TEXT.index(f"### {title}") :].split("\n### ")[0]
    for title in ("Of a request", "Of one event")
)


def raised(name: str) -> Iterator[list[object]]:
    """The constants that each such exception is made with, by the edge or what it reads with."""
    for folder in ("edge", "events", "serving"):
        for path in (ROOT / "src" / "horizon" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                    constants = [one for one in node.args if isinstance(one, ast.Constant)]
                    if constants:  # else it hands on what another one said
                        yield [one.value for one in constants]


def test_every_refusal_of_a_request_is_in_the_table_with_its_status() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", REQUESTS, re.MULTILINE)
    found = {(str(code), str(status)) for status, code, *_ in raised("Refusal")}
    assert {(code, status) for code, status in rows} == found
    assert len(rows) == len(found)


def test_every_refusal_of_an_event_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", EVENTS, re.MULTILINE)
    found = {code for code, *_ in raised("Rejected")}
    assert set(rows) == found
    assert len(rows) == len(found)
