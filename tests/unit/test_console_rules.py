"""The console's pure parts: what is masked, and what a spreadsheet is given."""

from __future__ import annotations

import csv
import io
import tomllib
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.console.masking import HIDDEN, PLAIN, class_of, hidden, shown
from horizon.console.rules import Permission
from horizon.console.spreadsheet import cell, csv_lines

CATALOGUE = tomllib.loads((resources.files("horizon.privacy") / "catalogue.toml").read_text())
COLUMNS = [(table, column) for table, columns in CATALOGUE["table"].items() for column in columns]
SEES = frozenset({Permission.PII_READ})


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_column_is_shown_as_the_catalogue_says(table: str, column: str) -> None:
    value = "Ann Smith"
    kind = CATALOGUE["table"][table][column].partition(":")[0]
    assert (shown(table, column, value, SEES) == value) == (kind != "secret")
    assert (shown(table, column, value, frozenset()) == value) == (kind in {"none", "pseudonym"})


def test_a_column_that_nobody_declared_is_shown_to_nobody() -> None:
    with pytest.raises(KeyError):
        shown("messages", "surprise", "x", SEES)
    with pytest.raises(KeyError):
        class_of("surprises", "x")


words = st.text(min_size=1)
values = st.recursive(
    words | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for name, one in value.items() if name not in PLAIN for leaf in leaves(one)]
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]


@given(values)
def test_nothing_passes_the_mask(value: Any) -> None:
    for before, after in zip(leaves(value), leaves(hidden(value)), strict=True):
        assert before is None or isinstance(before, bool) or after != before or before == HIDDEN


@given(st.text(), st.sampled_from("=+-@\t\r"))
def test_no_cell_is_a_formula(text: str, first: str) -> None:
    assert cell(first + text).startswith("'")
    assert cell("  " + first + text).startswith("'")
    assert cell(f"a{text}") == f"a{text}"


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])), min_size=1
    )
)
def test_csv_is_read_back_as_it_was(row: list[str]) -> None:
    text = "".join(csv_lines(["x"] * len(row), [row]))
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == [cell(one) for one in row]
