"""Identity nodes: 128 keyed bits in place of an identifier, computed without a look-up."""

from __future__ import annotations

import hashlib
import string
from functools import lru_cache
from uuid import UUID

# str.lower and str.strip follow the interpreter's Unicode tables. A node must be the same in
# ten years, so both are limited to ASCII here. Whatever is richer is an edge between nodes.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SPACE = " \t\n\r\f\v"
_LENGTHS = [b"%d:" % length for length in range(256)]  # formatting one costs 0.1 us


def normalised(kind: str, value: str) -> str:
    """The frozen normalisation: white space off both ends, an e-mail address in lower case."""
    value = value.strip(_SPACE)
    return value.translate(_LOWER) if kind == "email" else value


def node_of(key: bytes, kind: str, value: str) -> UUID:
    return UUID(bytes=node_bytes(key, kind, value))


def node_bytes(key: bytes, kind: str, value: str) -> bytes:
    """BLAKE2b-128 keyed with NODE_KEY over the length-prefixed kind and normalised value."""
    value_bytes = normalised(kind, value).encode()
    digest = _begun(key, kind).copy()
    length = len(value_bytes)
    digest.update((_LENGTHS[length] if length < 256 else b"%d:" % length) + value_bytes)
    return digest.digest()


@lru_cache(maxsize=64)
def _begun(key: bytes, kind: str) -> hashlib.blake2b:
    """All nodes of a kind begin alike: a copy costs two thirds of a new one, which mixes the key
    in first."""
    kind_bytes = kind.encode()
    return hashlib.blake2b(b"%d:%b" % (len(kind_bytes), kind_bytes), digest_size=16, key=key)
