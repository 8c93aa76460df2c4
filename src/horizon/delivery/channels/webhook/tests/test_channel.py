"""The channel as it is opened, against real receivers on loopback."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from horizon import clock
from horizon.delivery import channels
from horizon.delivery.channels.webhook import WebhookChannel, check_campaign
from horizon.delivery.channels.webhook.settings import WebhookSettings
from horizon.delivery.channels.webhook.tests.test_body import message
from horizon.delivery.channels.webhook.transport import WebhookTransport
from horizon.delivery.ports import Channel, Claimed, Means, Parcel, Transport
from horizon.errors import SettingsError, TemplateError, TransportError, UsageError
from horizon.keys import Keys
from horizon.outbound import NullOutbound
from horizon.settings import Settings
from tests.servers.http_recorder import HttpRecorder, Request, answer

KEY, OLD = bytes(range(32)), b"o" * 24
SECRETS = " ".join("whsec_" + base64.b64encode(key).decode() for key in (KEY, OLD))
KEYS = Keys(node=b"n" * 32, link=b"l" * 32)


def _channel(server: HttpRecorder | None, tmp_path: Path, **own: str) -> Channel:
    settings = Settings(OUTBOUND_ALLOW=server.place if server else "")
    environ = {"WEBHOOK_SECRET": SECRETS, "WEBHOOK_TIMEOUT_S": "5", **own}
    return channels.open_channel("webhook", _means(settings, environ, tmp_path))


def _means(settings: Settings, environ: dict[str, str], folder: Path) -> Means:
    return Means(settings, KEYS, lambda urls: dict.fromkeys(urls, 1), environ, folder)


def _send(channel: Channel, messages: Iterable[Claimed]) -> list[str | TransportError]:
    transport: Transport = channel.transport()
    transport.connect()
    assert transport.connected
    try:
        return list(transport.send(channel.compose(one) for one in messages))
    finally:
        transport.close()


def _error(said: str | TransportError) -> TransportError:
    assert isinstance(said, TransportError)
    return said


def _verified(request: Request, key: bytes) -> bool:
    """What a receiver does, as the specification says it: each signature is tried."""
    headers = request.headers
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    mine = base64.b64encode(hmac.new(key, content, "sha256").digest()).decode()
    versions = [one.split(",") for one in headers["webhook-signature"].split(" ")]
    fresh = abs(int(headers["webhook-timestamp"]) - clock.now().timestamp()) < 300
    return fresh and any(v == "v1" and hmac.compare_digest(mine, one) for v, one in versions)


def test_the_receiver_gets_one_signed_post_a_message(tmp_path: Path) -> None:
    with HttpRecorder([answer(200, body=b"ok"), answer(202)]) as server:
        several = [message(message_id=uuid4(), to_addr=server.url) for _ in range(3)]
        said = _send(_channel(server, tmp_path), several)
    assert said == ["200 OK", "202 Accepted", "204 No Content"]
    assert [one.headers["webhook-id"] for one in server.requests] == [
        str(m.message_id) for m in several
    ]
    assert server.connections == 1
    for request in server.requests:
        assert (request.method, request.path) == ("POST", "/hook")
        assert request.headers["content-type"] == "application/json"
        assert json.loads(request.body)["data"]["message_id"] == request.headers["webhook-id"]
        assert _verified(request, KEY)
        assert _verified(request, OLD)
        assert not _verified(request, b"x" * 32)
        assert not _verified(replace(request, body=request.body + b" "), KEY)


def test_a_repeat_has_the_same_id_and_the_same_body(tmp_path: Path) -> None:
    with HttpRecorder([answer(503, {"Retry-After": "30"})]) as server:
        channel = _channel(server, tmp_path)
        first, second = (_send(channel, [message(to_addr=server.url)])[0] for _ in range(2))
    assert _error(first).retry_after_s == 30
    assert second == "204 No Content"
    assert server.requests[0].body == server.requests[1].body
    assert {one.headers["webhook-id"] for one in server.requests} == {str(UUID(int=7))}


def test_each_answer_is_its_message_s_own(tmp_path: Path) -> None:
    script = [answer(status) for status in (200, 410, 500, 429, 404, 204)]
    with HttpRecorder(script) as server:
        several = [message(message_id=uuid4(), to_addr=server.url) for _ in script]
        said = _send(_channel(server, tmp_path), several)
    assert [str(one)[:3] for one in said] == ["200", "410", "500", "429", "404", "204"]
    assert [isinstance(one, TransportError) and one.permanent for one in said] == [
        False, True, False, False, True, False,
    ]  # fmt: skip


def test_what_a_receiver_says_is_not_repeated(tmp_path: Path) -> None:
    rude = b"HTTP/1.1 400 ann@example.com\r\nContent-Length: 15\r\n\r\nann@example.com"
    with HttpRecorder([rude]) as server:
        assert (
            str(_send(_channel(server, tmp_path), [message(to_addr=server.url)])[0])
            == "400 Bad Request"
        )


def test_a_redirect_is_not_followed_and_no_message_fails_of_it(tmp_path: Path) -> None:
    with HttpRecorder() as inside, HttpRecorder([answer(307, {"Location": inside.url})]) as server:
        [said] = _send(_channel(server, tmp_path), [message(to_addr=server.url)])
        assert inside.requests == []
    assert _error(said).away
    assert "no redirect is followed" in str(said)


def _silent(connection: socket.socket) -> None:
    connection.recv(1)  # until we hang up


def _hang_up(connection: socket.socket) -> None:
    pass


@pytest.mark.parametrize("behaviour", [_silent, _hang_up])
@pytest.mark.parametrize("again", ["false", "true"])
def test_an_answer_that_does_not_come_is_unknown_unless_repeats_are_welcome(
    behaviour: Callable[[socket.socket], None], again: str, tmp_path: Path
) -> None:
    with HttpRecorder([behaviour]) as server:
        channel = _channel(server, tmp_path, WEBHOOK_TIMEOUT_S="0.5", WEBHOOK_RETRY_UNKNOWN=again)
        began = time.monotonic()
        said = _send(channel, [message(to_addr=server.url), message(to_addr=server.url)])
        assert time.monotonic() - began < 2
    lost = _error(said[0])
    assert lost.broken
    assert lost.content_begun == (again == "false")
    assert said[1] == "204 No Content"  # the next one has a connection of its own


def test_a_target_that_is_not_there_burns_no_message(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    place = f"127.0.0.1:{free_port()}"
    environ = {"WEBHOOK_SECRET": SECRETS}
    settings = Settings(OUTBOUND_ALLOW=place)
    channel = channels.open_channel("webhook", _means(settings, environ, tmp_path))
    lost = _error(_send(channel, [message(to_addr=f"http://{place}/")])[0])
    assert (lost.broken, lost.content_begun, lost.permanent, lost.away) == (
        True,
        False,
        False,
        False,
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_a_private_address_is_refused_unless_it_is_allowed(host: str, tmp_path: Path) -> None:
    with HttpRecorder() as server:
        for scheme in ("http", "https"):
            url = f"{scheme}://{host}:{server.port}/hook"
            said = _error(_send(_channel(None, tmp_path), [message(to_addr=url)])[0])
            assert said.away
            assert "OUTBOUND_ALLOW" in str(said)
        assert server.connections == 0


def test_a_receiver_that_cannot_be_trusted_burns_no_message(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"

        def answer_plainly() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(answer(400))

        thread = threading.Thread(target=answer_plainly)
        thread.start()
        environ = {"WEBHOOK_SECRET": SECRETS}
        allowed = Settings(OUTBOUND_ALLOW=place)
        channel = channels.open_channel("webhook", _means(allowed, environ, tmp_path))
        said = _error(_send(channel, [message(to_addr=f"https://{place}/")])[0])
        thread.join()
    assert (said.away, said.broken, said.content_begun) == (True, False, False)


def test_without_a_secret_nothing_leaves(tmp_path: Path) -> None:
    with HttpRecorder() as server:
        only = "hooks.example=" + SECRETS.split()[0]
        for secrets in ("", only):
            channel = _channel(server, tmp_path, WEBHOOK_SECRET=secrets)
            said = _error(_send(channel, [message(to_addr=server.url)])[0])
            assert said.away
            assert "set WEBHOOK_SECRET" in str(said)
        assert server.connections == 0


def test_a_body_that_cannot_be_made_is_said_before_it_is_sent(tmp_path: Path) -> None:
    with pytest.raises(TemplateError):
        _channel(None, tmp_path).compose(message(variables={}))


def test_the_null_twin_is_told_everything() -> None:
    transport = WebhookTransport(WebhookSettings(WEBHOOK_SECRET=SECRETS), NullOutbound())
    parcel = Parcel(UUID(int=7), "https://hooks.example/", b"{}", "digest")
    assert list(transport.send(iter([parcel, parcel]))) == ["204 No Content"] * 2
    transport.close()


def test_a_next_parcel_is_taken_only_after_the_answer(tmp_path: Path) -> None:
    """So that a message whose turn did not come has surely not left."""
    taken = []
    with HttpRecorder() as server:
        channel = _channel(server, tmp_path)
        several = [message(message_id=uuid4(), to_addr=server.url) for _ in range(3)]

        def parcels() -> Iterable[Parcel]:
            for one in several:
                taken.append(one.message_id)
                yield channel.compose(one)

        transport = channel.transport()
        answers = transport.send(iter(parcels()))
        for count in range(1, 4):
            next(answers)
            assert (len(taken), len(server.requests)) == (count, count)
        transport.close()


def test_it_is_opened_by_its_name(tmp_path: Path) -> None:
    channel = _channel(None, tmp_path)
    assert isinstance(channel, WebhookChannel)
    assert channel.name == "webhook"
    with pytest.raises(SettingsError, match="WEBHOOK_SECRET"):
        _channel(None, tmp_path, WEBHOOK_SECRET="x")


@pytest.mark.parametrize(
    ("template", "target", "said"),
    [
        ("full", None, "needs --target"),
        ("full", "hooks.example", "no web address"),
        ("full", "https://user@hooks.example/", "user name"),
        ("full", "https://10.0.0.1/", "OUTBOUND_ALLOW"),
        ("full", "http://hooks.example/", "without TLS"),
        ("miss_you", "https://hooks.example/", "use one of full, thin"),
    ],
)
def test_a_campaign_that_could_not_be_sent(template: str, target: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_campaign(Settings(), audience="alerts", template=template, target=target)


def test_a_campaign_that_can(tmp_path: Path) -> None:
    allowed = Settings(OUTBOUND_ALLOW="10.0.0.0/8, hooks.internal:80")
    for target in ("https://hooks.example/", "https://10.0.0.1/", "http://hooks.internal/"):
        digest = check_campaign(allowed, audience="alerts", template="thin", target=target)
        assert len(digest) == 64
