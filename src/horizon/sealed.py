"""Secrets at rest: encrypted, so that neither the database nor a backup's file opens anything."""

from __future__ import annotations

import hashlib
import secrets

_NONCE_BYTES = 12


def seal(key: bytes, purpose: str, bound_to: str, text: str) -> bytes:
    """A box that opens with the same key, for the same purpose and ``bound_to`` alone: who can
    write the database cannot have it used for something else."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # 20 ms to import

    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = ChaCha20Poly1305(_key(key, purpose)).encrypt(nonce, text.encode(), bound_to.encode())
    return nonce + sealed


def unseal(key: bytes, purpose: str, bound_to: str, box: bytes) -> str | None:
    """None where it was sealed for something else or with another key."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    nonce, sealed = box[:_NONCE_BYTES], box[_NONCE_BYTES:]
    try:
        opened = ChaCha20Poly1305(_key(key, purpose)).decrypt(nonce, sealed, bound_to.encode())
    except InvalidTag:
        return None
    return opened.decode()


def _key(key: bytes, purpose: str) -> bytes:
    return hashlib.blake2b(purpose.encode(), key=key, digest_size=32).digest()
