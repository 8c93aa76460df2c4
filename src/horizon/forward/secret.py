"""The receiver's write key at rest."""

from __future__ import annotations

from horizon.errors import HorizonError
from horizon.keys import Keys
from horizon.sealed import seal, unseal

_PURPOSE = "horizon.forward"


def close_key(keys: Keys, url: str, key: str) -> bytes:
    """Bound to ``url``: who can write the database cannot have the key sent elsewhere."""
    return seal(keys.link, _PURPOSE, url, key)


def open_key(keys: Keys, url: str, box: bytes) -> str:
    """Raises HorizonError where it was closed for another address or with other keys."""
    key = unseal(keys.link, _PURPOSE, url, box)
    if key is None:
        raise HorizonError(
            "Its key was kept for another address or by another installation: give it again with "
            "`horizon forward set NAME --key KEY`."
        )
    return key
