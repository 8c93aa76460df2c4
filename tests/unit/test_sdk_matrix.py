"""The matrix in docs/collector.md says which SDKs are tested: those that are installed."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "collector.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT[TEXT.index("\n| SDK |") :].split("\n\n")[0].splitlines()
    if line.startswith("|")
][2:]


def test_the_matrix_names_the_versions_that_are_tested() -> None:
    named = {
        tuple(row[0].replace(",", "").split(" ")[:2]) for row in ROWS if re.search(r" \d", row[0])
    }
    old = {
        tuple(path.stem.removesuffix(".post1").split("=="))
        for path in (ROOT / "requirements" / "sdks").glob("*==*.lock")  # the others are no SDKs
    }
    lock = (ROOT / "requirements.lock").read_text()
    new = (
        "segment-analytics-python",
        re.findall(r"^segment-analytics-python==(\S+)", lock, re.MULTILINE)[0],
    )
    npm = json.loads((ROOT / "tests" / "sdks" / "package.json").read_text())["devDependencies"]
    sdks = {(name, npm[name]) for name in npm if name.startswith("@") and "snippet" not in name}
    vendored = (ROOT / "src" / "horizon" / "edge" / "analytics_js" / "VERSION").read_text().strip()
    assert ("analytics.js", vendored) in {tuple(row[0].split(" ")[-2:]) for row in ROWS}
    pom = (ROOT / "requirements" / "sdks" / "kotlin.xml").read_text()
    kotlin = ("analytics-kotlin", re.findall(r"<version>(.*?)</version>", pom)[1])
    assert {one for one in named if one[0] != "Segment's"} == old | {new, kotlin} | sdks


def test_every_row_has_the_test_that_reads_its_calls_back() -> None:
    assert len(ROWS) == 15
    for row in ROWS:
        assert re.fullmatch(r"test_\w+_(is|are)_read_back", row[2]), row
