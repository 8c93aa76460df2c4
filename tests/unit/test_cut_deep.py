"""One event that is nested without end is cut out of its batch, and nothing else is."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.events.json_text import cut_deep

TEXT = st.text(st.sampled_from('[]{}"\\a,:'), max_size=8)
JSON = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, list | dict) else 0


@given(st.lists(JSON, max_size=5), st.integers(0, 4))
def test_only_what_is_too_deep_is_cut_and_it_is_given_back_whole(
    items: list[Any], most: int
) -> None:
    rest, cut = cut_deep(json.dumps({"batch": items}).encode(), 2, most)
    found = json.loads(rest)["batch"]
    assert [json.loads(cut.get(json.dumps(item).encode(), b'"kept"')) for item in found] == [
        item if depth(item) > most else "kept" for item in items
    ]
    for item, left in zip(items, found, strict=True):
        assert depth(item) > most or left == item


@given(st.text(st.sampled_from('[]{}"\\a')))
def test_what_is_no_json_is_gone_through_without_an_error(text: str) -> None:
    rest, cut = cut_deep(text.encode(), 2, 3)
    assert len(rest) >= len(text) - sum(map(len, cut.values()))


@pytest.mark.parametrize("part", [b"[", b"[]", b'"', b'\\"', b'"\\"', b'""', b'[""]', b"\\"])
@pytest.mark.parametrize("start", [b'{"a":"', b'{"a":'])
def test_the_worst_bodies_take_no_time(start: bytes, part: bytes) -> None:
    body = start + part * (512_000 // len(part))
    began_s = time.process_time()
    with contextlib.suppress(RecursionError):
        cut_deep(body, 2, 200)
    assert time.process_time() - began_s < 1
