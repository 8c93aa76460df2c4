"""The receiver's write key at rest: encrypted, so that neither the database nor a backup's file
opens anything."""

from __future__ import annotations

import hashlib
import secrets

from horizon.errors import HorizonError
from horizon.keys import Keys

_NONCE_BYTES = 12


def close_key(keys: Keys, url: str, key: str) -> bytes:
    """Bound to ``url``: who can write the database cannot have the key sent elsewhere."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # 20 ms to import

    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + ChaCha20Poly1305(_box_key(keys)).encrypt(nonce, key.encode(), url.encode())


def open_key(keys: Keys, url: str, box: bytes) -> str:
    """Raises HorizonError where it was closed for another address or with other keys."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    nonce, sealed = box[:_NONCE_BYTES], box[_NONCE_BYTES:]
    try:
        return ChaCha20Poly1305(_box_key(keys)).decrypt(nonce, sealed, url.encode()).decode()
    except InvalidTag as exc:
        raise HorizonError(
            "Its key was kept for another address or by another installation: give it again with "
            "`horizon forward set NAME --key KEY`."
        ) from exc


def _box_key(keys: Keys) -> bytes:
    return hashlib.blake2b(b"horizon.forward", key=keys.link, digest_size=32).digest()
