"""What is kept of a refused event holds no key and no whole address of a client."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from horizon.events.rejection import CUT_BYTES, Rejected, refused, storable_body

KEY = "k3y-of-a-source"


@pytest.mark.parametrize(
    "body",
    [
        f'{{"properties": {{"sent_with": "{KEY}"}}}}',  # anywhere: the one that it was sent with
        f'{{"note": "key {KEY} of the shop"}}',
        f"not JSON at all: {KEY}",
    ],
)
def test_the_key_that_it_was_sent_with_is_removed_wherever_it_stands(body: str) -> None:
    kept = storable_body(body.encode(), KEY)
    assert KEY not in kept
    assert "[removed]" in kept


@pytest.mark.parametrize(
    "body",
    [
        f'{{"writeKey": "{KEY}", "event": "x"}}',
        f'{{"writeKey" : "{KEY}\\" and more", "event": "x"}}',
        f'{{"event": "x", "writeKey":"{KEY}',  # cut off within
    ],
)
def test_a_key_that_nobody_knows_is_removed_by_its_name(body: str) -> None:
    kept = storable_body(body.encode(), "another")
    assert KEY not in kept
    assert '"event": "x"' in kept
    assert "and more" not in kept


def test_an_address_is_shortened_and_a_huge_line_cut() -> None:
    assert storable_body(b'{"ip": "203.0.113.77"}') == '{"ip": "203.0.113.0"}'
    assert storable_body(b'{"ip": "who knows"}') == '{"ip": ""}'
    assert len(storable_body(b"x" * 600_000)) == CUT_BYTES


@given(
    st.binary()
    | st.text().map(
        lambda text: b'{"messageId":"m","' + text.encode("utf-8", "surrogatepass") + b'":1}'
    )
)
@example(b'{"messageId":"m","typ\x91":1}')
@example(b'{"messageId":"m","a":' + b"[" * 5000)
def test_whatever_is_refused_can_be_kept(body: bytes) -> None:
    kept = refused(
        1, datetime(2026, 11, 3, tzinfo=UTC), 0, Rejected("x", "X."), body + b'"messageId"'
    )
    assert (kept.code, kept.key is None) == ("x", False)
    refused(1, datetime(2026, 11, 3, tzinfo=UTC), 0, Rejected("x", "X."), body)
