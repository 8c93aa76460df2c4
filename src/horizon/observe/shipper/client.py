"""Plain HTTP to Elasticsearch or OpenSearch: one connection that is kept, TLS always verified."""

from __future__ import annotations

import base64
import gzip
import http.client
import select
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from horizon.errors import HorizonError, SettingsError
from horizon.settings import LOOPBACK, Settings

TIMEOUT_S = 60.0


class SearchServerAwayError(HorizonError):
    """It gave no answer; nobody knows whether it did what was asked."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:  # a proxy's page
            return {}

    @property
    def is_error(self) -> bool:
        """Whether a search server says so, and not what stands before it."""
        answer = self.json()
        return self.status == 413 or (isinstance(answer, dict) and "error" in answer)

    @property
    def reason(self) -> str:
        """What the server says is wrong, on one line."""
        answer = self.json()
        error = answer.get("error", {}) if isinstance(answer, dict) else {}
        said = error.get("reason", error.get("type", "")) if isinstance(error, dict) else error
        return " ".join(str(said or self.body[:200].decode(errors="replace")).split())[:300]


class Client:
    """One connection; not for two threads at once. Raises SettingsError where ES_URL is none."""

    def __init__(self, settings: Settings) -> None:
        if not settings.ES_URL:
            raise SettingsError("ES_URL is not set: set it to https://HOST:9200.")
        self._url = urlsplit(settings.ES_URL)
        self._headers = _authorisation(settings, self._url)
        if self._headers and self._url.scheme == "http" and self._url.hostname not in LOOPBACK:
            raise SettingsError(
                "ES_URL has no TLS, so that anybody on the way could read the key or password: set "
                "it to https://..., with ES_CA where the authority is your own."
            )
        self._context = _tls(settings) if self._url.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None
        # To this machine it costs more than it saves.
        self._packs = self._url.hostname not in LOOPBACK

    @property
    def name(self) -> str:
        """The server without any secret."""
        return f"{self._url.hostname}:{self._port}{self._url.path.rstrip('/')}"

    @property
    def _port(self) -> int:
        return self._url.port or (443 if self._url.scheme == "https" else 9200)

    def ask(self, method: str, path: str, body: bytes | Mapping[str, Any] | None = None) -> Answer:
        """``body`` is JSON, or lines of JSON as bytes. Raises SearchServerAwayError.

        Lines are never sent again from here: a data stream may have taken them, which the caller
        finds out first.
        """
        headers = dict(self._headers)
        lines = isinstance(body, bytes)
        if isinstance(body, bytes):
            headers["Content-Type"] = "application/x-ndjson"
            if self._packs:
                headers["Content-Encoding"] = "gzip"
                body = gzip.compress(body, 1, mtime=0)
        elif body is not None:
            headers["Content-Type"] = "application/json"
            body = msgspec.json.encode(body)
        if self._ended():
            self.close()
        used = self._connection is not None
        try:
            return self._exchange(method, path, body, headers)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            if lines or not used:
                raise self._away(exc) from exc
        try:  # a kept connection that the server closed just now
            return self._exchange(method, path, body, headers)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise self._away(exc) from exc

    def _ended(self) -> bool:
        """Whether the server has closed the kept connection: nothing is due to be read from it."""
        kept = self._connection.sock if self._connection is not None else None
        if kept is None:
            return False
        waiting = select.poll()  # takes file descriptors above 1,023 too
        waiting.register(kept, select.POLLIN)
        return bool(waiting.poll(0))

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, self._url.path.rstrip("/") + path, body, headers)
        with self._connection.getresponse() as answer:
            return Answer(answer.status, answer.read())

    def _connect(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        if self._context is None:
            return http.client.HTTPConnection(host, self._port, timeout=TIMEOUT_S)
        return http.client.HTTPSConnection(
            host, self._port, timeout=TIMEOUT_S, context=self._context
        )

    def _away(self, exc: Exception) -> SearchServerAwayError:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return SearchServerAwayError(
                f"The certificate of the search server at {self.name} proves nothing "
                f"({exc.verify_message}): set ES_CA to the file of the authority that signed it."
            )
        why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        return SearchServerAwayError(
            f"The search server at {self.name} does not answer ({why}): start it, or set ES_URL."
        )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _authorisation(settings: Settings, url: SplitResult) -> dict[str, str]:
    if settings.ES_API_KEY:
        key = settings.ES_API_KEY
        if ":" in key:  # as its maker shows it: ID:KEY
            key = base64.b64encode(key.encode()).decode()
        return {"Authorization": f"ApiKey {key}"}
    user = settings.ES_USER or unquote(url.username or "")
    if not user:
        return {}
    password = settings.ES_PASSWORD or unquote(url.password or "")
    both = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {both}"}


def _tls(settings: Settings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ES_CA)
    except (OSError, ssl.SSLError) as exc:
        raise SettingsError(
            f"ES_CA: {settings.ES_CA} cannot be used ({exc.strerror or exc}): it should be a file "
            "of certificates in PEM."
        ) from exc
