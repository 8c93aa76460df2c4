"""Who asks, and whether the token reads this part of a profile."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from horizon import clock
from horizon.api.scopes import Scope
from horizon.api.tokens import Token
from horizon.serving.http import Refusal
from horizon.serving.known_keys import KnownKeys

TOKEN_LENGTH = 200  # of a longer one nothing is kept, not even its digest
_ASK = {"www-authenticate": 'Bearer realm="profiles"'}


async def check(known: KnownKeys[Token], headers: Mapping[bytes, bytes], scope: Scope) -> Token:
    """Raises Refusal; Unavailable for a token nobody remembers while the database is away."""
    text = token_in(headers.get(b"authorization", b""))
    if not text:
        raise _refused(
            "missing_token", "Send a read token: `Authorization: Bearer TOKEN`, or as the user of "
            "HTTP Basic."
        )  # fmt: skip
    token = await known.find(text) if len(text) <= TOKEN_LENGTH else None
    if token is None:
        raise _refused(
            "unknown_token", "There is no such read token: copy it whole, or make one with "
            "`horizon token add NAME --scope SCOPE`."
        )  # fmt: skip
    if token.revoked_at is not None:
        raise _refused("revoked_token", f"The token {token.name} was revoked: use another one.")
    if token.expires_at is not None and token.expires_at <= clock.now():
        raise _refused("expired_token", f"The token {token.name} has ended: use another one.")
    if scope not in token.scopes:
        raise Refusal(
            403, "missing_scope", f"The token {token.name} does not read this: use one that has "
            f"the scope {scope}."
        )  # fmt: skip
    return token


def token_in(header: bytes) -> str:
    """Of ``Bearer TOKEN`` or ``Basic``; empty where there is none."""
    scheme, _, rest = header.partition(b" ")
    rest = rest.strip()
    if scheme.lower() == b"bearer":
        return rest.decode("latin-1")
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(rest, validate=True).partition(b":")[0].decode("latin-1")
        except (binascii.Error, ValueError):
            return ""
    return ""


def _refused(code: str, message: str) -> Refusal:
    return Refusal(401, code, message, _ASK)
