"""What the documents name exists, and what exists is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from horizon.delivery.channels import sections
from horizon.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_setting_is_described_and_no_other() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)]
    kinds = [Settings, *sections()]
    assert sorted(named) == sorted(name for kind in kinds for name in kind.__struct_fields__)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert link.startswith("http") or (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_tests_that_are_named_exist(document: Path) -> None:
    found = [path for folder in ("tests", "src") for path in (ROOT / folder).rglob("test_*.py")]
    everything = {path.name: path.read_text() for path in found}
    for file, test in re.findall(r"(test_\w+\.py)(?:::(test_\w+))?", document.read_text()):
        assert file in everything, file
        assert not test or f"def {test}(" in everything[file], test
    for test in re.findall(r"(?<![\w:/])(test_\w+)\b(?!\.py)", document.read_text()):
        assert any(f"def {test}(" in text for text in everything.values()), test
