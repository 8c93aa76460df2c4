"""Webhooks: one POST a message, each with an answer of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from horizon import clock
from horizon.delivery.channels.webhook import signing
from horizon.delivery.channels.webhook.body import load_template, values_of
from horizon.delivery.channels.webhook.rules import read_answer
from horizon.delivery.channels.webhook.settings import WebhookSettings
from horizon.delivery.limits import Limit
from horizon.delivery.ports import Claimed, Parcel
from horizon.errors import (
    ForbiddenTargetError,
    OutboundError,
    TransportError,
    UntrustedServerError,
)
from horizon.outbound import HttpOutbound, Outbound, read_target
from horizon.outbound.rules import AllowList

MOST_ANSWER_BYTES = 4096  # nothing of it is kept; read so that the connection can serve again


class WebhookChannel:
    """See delivery.ports.Channel. The address of every message is the campaign's target."""

    name = "webhook"
    one_server = False
    limits: Mapping[str, Limit] = MappingProxyType({})

    def __init__(self, own: WebhookSettings, allow: AllowList) -> None:
        self._own = own
        self._allow = allow
        self.connections = own.WEBHOOK_CONNECTIONS

    def compose(self, message: Claimed) -> Parcel:
        template = load_template(message.template)
        body = template.render(values_of(message))
        return Parcel(message.message_id, message.to_addr, body, template.digest)

    def transport(self) -> WebhookTransport:
        outbound = HttpOutbound(
            self._allow, timeout_s=self._own.WEBHOOK_TIMEOUT_S, most_bytes=MOST_ANSWER_BYTES
        )
        return WebhookTransport(self._own, outbound)


class WebhookTransport:
    """See delivery.ports.Transport. There is no session to open: each target is asked anew."""

    connected = True

    def __init__(self, own: WebhookSettings, outbound: Outbound) -> None:
        self._own = own
        self._outbound = outbound

    def connect(self) -> None:
        pass

    def send(self, parcels: Iterator[Parcel]) -> Iterator[str | TransportError]:
        for parcel in parcels:
            yield self._answer(parcel)

    def close(self) -> None:
        self._outbound.close()

    def _answer(self, parcel: Parcel) -> str | TransportError:
        try:
            return self._post(parcel)
        except TransportError as exc:
            return exc

    def _post(self, parcel: Parcel) -> str | TransportError:
        try:
            host = read_target(parcel.to_addr).host
            headers = self._headers(parcel, host)
            answer = self._outbound.post(parcel.to_addr, parcel.content, headers)
        except (ForbiddenTargetError, UntrustedServerError) as exc:
            raise TransportError(str(exc), away=True) from exc
        except OutboundError as exc:
            # The id stays the same, so who knows that the receiver drops repeats may send again.
            unknown = exc.begun and not self._own.WEBHOOK_RETRY_UNKNOWN
            raise TransportError(str(exc), broken=True, content_begun=unknown) from exc
        return read_answer(answer.status, host, answer.headers.get("retry-after"), clock.now())

    def _headers(self, parcel: Parcel, host: str) -> dict[str, str]:
        secrets = self._own.secrets_of(host)
        if not secrets:
            raise TransportError(
                f"There is no secret to sign for {host}: set WEBHOOK_SECRET.", away=True
            )
        timestamp = int(clock.now().timestamp())
        signed = signing.headers(secrets, str(parcel.message_id), timestamp, parcel.content)
        return {"Content-Type": "application/json", **signed}
