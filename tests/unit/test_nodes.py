"""Nodes are for ever: what they are made of may not change."""

from __future__ import annotations

import hashlib
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from horizon.events.nodes import node_of, normalised

KEY = bytes(range(32))
TEXT = st.text(st.characters(exclude_categories=("Cs",)))


@pytest.mark.parametrize(
    ("kind", "value", "node"),
    [
        ("user_id", "u1", "68e31a2f-ca5d-8a0f-ddd1-b2b178d6c5d2"),
        ("email", "Ann@Example.com ", "e33d8dcf-2e8b-12b6-2f20-d44f3c07a7cd"),
        ("anonymous_id", "ä€😀", "78392221-c2f0-7003-81a5-750853b4b330"),
    ],
)
def test_a_node_never_changes(kind: str, value: str, node: str) -> None:
    assert node_of(KEY, kind, value) == UUID(node)


def test_it_is_blake2b_over_the_framed_kind_and_value() -> None:
    digest = hashlib.blake2b(b"5:email5:a@b.c", digest_size=16, key=KEY).digest()
    assert node_of(KEY, "email", "A@b.C") == UUID(bytes=digest)


def test_kind_and_value_cannot_run_into_each_other() -> None:
    assert node_of(KEY, "ab", "c") != node_of(KEY, "a", "bc")


def test_another_key_makes_another_node() -> None:
    assert node_of(KEY, "user_id", "u1") != node_of(bytes(32), "user_id", "u1")


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("email", " ANN@Example.COM\n", "ann@example.com"),
        ("email", "İ@example.com", "İ@example.com"),  # only ASCII: Unicode's tables change
        ("user_id", "\tAbc ", "Abc"),
        ("user_id", "\u00a0x", "\u00a0x"),
    ],
)
def test_the_normalisation_is_frozen(kind: str, value: str, wanted: str) -> None:
    assert normalised(kind, value) == wanted


@given(kind=TEXT, value=TEXT)
def test_normalising_twice_changes_nothing(kind: str, value: str) -> None:
    assert normalised(kind, normalised(kind, value)) == normalised(kind, value)


@given(first=st.tuples(TEXT, TEXT), second=st.tuples(TEXT, TEXT))
def test_two_identifiers_have_two_nodes(first: tuple[str, str], second: tuple[str, str]) -> None:
    assume((first[0], normalised(*first)) != (second[0], normalised(*second)))
    assert node_of(KEY, *first) != node_of(KEY, *second)
