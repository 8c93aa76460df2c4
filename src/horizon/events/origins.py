"""The origins of web pages, as browsers name them in the Origin header."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from horizon.errors import UsageError

_ANY_LABEL = "*."
_HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_PORTS = {"http": 80, "https": 443}


def read_origin(text: str) -> str:
    """An origin as a browser would send it; ``https://*.shop.example`` stands for subdomains.

    Raises UsageError.
    """
    try:
        parts = urlsplit(text.strip().lower())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if not parts.scheme or not _HOST.fullmatch(host) or parts.path not in ("", "/") or (
        parts.query or parts.fragment
    ):  # fmt: skip
        raise UsageError(
            f"{text!r} is no origin: write it like https://shop.example, https://*.shop.example "
            "or http://localhost:3000, without a path."
        )
    shown = "" if port in (None, _PORTS.get(parts.scheme)) else f":{port}"
    return f"{parts.scheme}://{host}{shown}"


def allows(origins: Sequence[str], origin: str) -> bool:
    """Whether one of these, as ``read_origin`` gives them, is this page's origin."""
    origin = origin.lower()
    if origin in origins:
        return True
    scheme, _, rest = origin.partition("://")
    host, colon, port = rest.partition(":")
    return any(
        origin_of_all == f"{scheme}://{_ANY_LABEL}{parent}{colon}{port}"
        for parent in _parents(host)
        for origin_of_all in origins
    )


def _parents(host: str) -> list[str]:
    labels = host.split(".")
    return [".".join(labels[start:]) for start in range(1, len(labels))]
