"""Signatures: as the specification's own example, and as another implementation verifies them."""

from __future__ import annotations

import base64
import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from horizon.delivery.channels.webhook import signing

SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def test_the_published_example() -> None:
    """The vector of the reference libraries (libraries/python/tests/test_webhooks.py there)."""
    made = signing.headers(
        [SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_is_changed_both_sign() -> None:
    new, old = b"n" * 32, b"o" * 32
    made = signing.headers([new, old], "id", 1, b"x")["webhook-signature"].split(" ")
    alone = [signing.headers([key], "id", 1, b"x")["webhook-signature"] for key in (new, old)]
    assert made == alone
    assert made[0] != made[1]


def _hmac_by_hand(key: bytes, content: bytes) -> bytes:
    """RFC 2104 from its two hashes, so that nothing is checked against itself."""
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(one ^ 0x36 for one in key) + content).digest()
    return hashlib.sha256(bytes(one ^ 0x5C for one in key) + inner).digest()


@given(st.binary(min_size=24, max_size=64), st.uuids(), st.integers(0, 2**40), st.binary())
def test_another_implementation_verifies_it(
    key: bytes, webhook_id: object, timestamp: int, body: bytes
) -> None:
    made = signing.headers([key], str(webhook_id), timestamp, body)
    version, _, signature = made["webhook-signature"].partition(",")
    content = b".".join([made["webhook-id"].encode(), made["webhook-timestamp"].encode(), body])
    assert version == "v1"
    assert hmac.compare_digest(base64.b64decode(signature), _hmac_by_hand(key, content))
