"""Identity nodes: 128 keyed bits in place of an identifier, computed without a look-up."""

from __future__ import annotations

import hashlib
import string
from uuid import UUID

# str.lower and str.strip follow the interpreter's Unicode tables. A node must be the same in
# ten years, so both are limited to ASCII here. Whatever is richer is an edge between nodes.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SPACE = " \t\n\r\f\v"


def normalised(kind: str, value: str) -> str:
    """The frozen normalisation: white space off both ends, an e-mail address in lower case."""
    value = value.strip(_SPACE)
    return value.translate(_LOWER) if kind == "email" else value


def node_of(key: bytes, kind: str, value: str) -> UUID:
    """BLAKE2b-128 keyed with NODE_KEY over the length-prefixed kind and normalised value."""
    kind_bytes = kind.encode()
    value_bytes = normalised(kind, value).encode()
    framed = b"%d:%b%d:%b" % (len(kind_bytes), kind_bytes, len(value_bytes), value_bytes)
    return UUID(bytes=hashlib.blake2b(framed, digest_size=16, key=key).digest())
