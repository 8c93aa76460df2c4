"""Tokens of the links in mails: opaque, without personal data, and for one purpose each.

A token is base64url of key id (4 bytes), purpose (1), message id (16) and MAC (16): 50 characters.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Literal, get_args
from uuid import UUID

Purpose = Literal["unsubscribe", "track", "confirm"]

# A purpose's place is its number in tokens that lie in mailboxes for years: append only.
_PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
_HEAD_BYTES = 21
_TOKEN_BYTES = 37


def sign(key: bytes, message_id: UUID, purpose: Purpose) -> str:
    head = _key_id(key) + bytes([_PURPOSES.index(purpose)]) + message_id.bytes
    return _encode(head + _mac(key, head))


def verify(keys: Sequence[bytes], token: str) -> tuple[UUID, Purpose] | None:
    """Whose message it is and what for, or None. ``keys`` holds the old ones too."""
    raw = _decode(token)
    if raw is None:
        return None
    head, mac = raw[:_HEAD_BYTES], raw[_HEAD_BYTES:]
    for key in keys:
        if _key_id(key) == head[:4] and hmac.compare_digest(_mac(key, head), mac):
            return UUID(bytes=head[5:]), _PURPOSES[head[4]]
    return None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(token: str) -> bytes | None:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (ValueError, binascii.Error):
        return None
    # The decoder skips foreign characters; one link has one spelling.
    return raw if len(raw) == _TOKEN_BYTES and _encode(raw) == token else None


def _key_id(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=4, person=b"horizon-key-id").digest()


def _mac(key: bytes, head: bytes) -> bytes:
    return hashlib.blake2b(head, digest_size=16, key=key, person=b"horizon-link").digest()
