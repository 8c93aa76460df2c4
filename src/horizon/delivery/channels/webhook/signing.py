"""Signatures as Standard Webhooks 1.0.0 has them (github.com/standard-webhooks, its spec folder).

``v1,`` and the base64 of HMAC-SHA256 over ``ID.TIMESTAMP.BODY``; one for each secret, apart by a
blank, so that a secret can be changed without a message that is refused.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence


def headers(
    secrets: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """``timestamp`` is the attempt's, in whole seconds; ``webhook_id`` stays from try to try."""
    content = f"{webhook_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, content) for secret in secrets),
    }


def _signature(secret: bytes, content: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(secret, content, "sha256")).decode()
