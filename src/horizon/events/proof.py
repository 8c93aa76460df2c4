"""Signed identity: which identifiers a site's own server vouches for, through a browser.

A token is a JSON Web Token (RFC 7519) of HS256 with ``sub``, the user's id, and ``exp``; ``email``
and ``phone`` are optional. A hash is the hex HMAC-SHA256 of the user's id.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeGuard

from horizon.events.kinds import Identifier, identifier_of

TOKEN_LENGTH: Final = 4096
LEEWAY_S: Final = 60.0  # between the clocks of who signs and who checks
_HEX_LENGTH: Final = 64

Trouble = Literal[
    "no_secret", "malformed", "bad_signature", "no_expiry", "expired", "not_yet_valid", "other_user"
]
Secrets = tuple[str, ...]


class Voucher(NamedTuple):
    """What an event's context brings; it is never stored."""

    token: object = None
    user_hash: object = None


class Proof(NamedTuple):
    identifiers: tuple[Identifier, ...] = ()
    trouble: Trouble | None = None


NO_PROOF: Final = Proof()


def prove(voucher: Voucher, user_id: str | None, secrets: Secrets, now: datetime) -> Proof:
    """What is proven of this user. One that does not hold is as good as none, with a reason."""
    if user_id is None:  # a batch's context stands with what happened before the sign-in too
        return NO_PROOF
    if not secrets:
        return Proof(trouble="no_secret")
    if voucher.token is not None:
        return _by_token(voucher.token, user_id, secrets, now)
    return _by_hash(voucher.user_hash, user_id, secrets)


def _by_token(token: object, user_id: str, secrets: Secrets, now: datetime) -> Proof:
    if not isinstance(token, str) or len(token) > TOKEN_LENGTH:
        return Proof(trouble="malformed")
    claims = _claims(token, secrets)
    if isinstance(claims, str):
        return Proof(trouble=claims)
    if trouble := _untimely(claims, now.timestamp()):
        return Proof(trouble=trouble)
    if identifier_of("user_id", claims.get("sub")) != ("user_id", user_id):
        return Proof(trouble="other_user")
    found = (identifier_of(kind, claims.get(kind)) for kind in ("email", "phone"))
    return Proof((("user_id", user_id), *(one for one in found if one)))


def _untimely(claims: Mapping[str, Any], now_s: float) -> Trouble | None:
    until, since = claims.get("exp"), claims.get("nbf", 0)
    if not _is_number(until):
        return "no_expiry"
    if not now_s < until + LEEWAY_S:  # so that NaN is over too
        return "expired"
    return None if _is_number(since) and since - LEEWAY_S <= now_s else "not_yet_valid"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


@lru_cache(maxsize=4096)  # a page sends its token with each event
def _claims(token: str, secrets: Secrets) -> dict[str, Any] | Trouble:
    """What one of these secrets signed."""
    import jwt  # 30 ms to import

    for secret in secrets:
        try:
            return dict(jwt.decode(token, secret, algorithms=["HS256"], options=_SIGNATURE_ALONE))
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, RecursionError):
            return "malformed"
    return "bad_signature"


# The times are checked for each event, as what is remembered here would grow old.
_SIGNATURE_ALONE: Final[Any] = {
    f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
}


def _by_hash(user_hash: object, user_id: str, secrets: Secrets) -> Proof:
    if not isinstance(user_hash, str) or len(user_hash) != _HEX_LENGTH or not user_hash.isascii():
        return Proof(trouble="malformed")
    for secret in secrets:
        wanted = hmac.new(secret.encode(), user_id.encode(), hashlib.sha256).hexdigest()
        if hmac.compare_digest(wanted, user_hash.lower()):
            return Proof((("user_id", user_id),))
    return Proof(trouble="bad_signature")
