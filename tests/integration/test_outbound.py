"""The guarded client against real servers on loopback, good ones and bad ones."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from horizon.errors import ForbiddenTargetError, OutboundError, UntrustedServerError
from horizon.outbound import HttpOutbound, NullOutbound, Outbound, read_target
from horizon.outbound import client as outbound_client
from horizon.outbound.rules import AllowList
from horizon.outbound.wire import Deadline, Wire
from tests.parts import system_program
from tests.servers.http_recorder import HttpRecorder, answer

NAME = "hooks.example"


def _client(
    *allow: str, resolve: Callable[[str, int], Sequence[str]] | None = None, timeout_s: float = 5
) -> HttpOutbound:
    return HttpOutbound(
        AllowList.read(allow),
        timeout_s=timeout_s,
        most_bytes=10_000,
        resolve=resolve or (lambda host, port: ["127.0.0.1"]),
    )


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    openssl = system_program(["openssl"], "openssl")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key,
         "-out", cert, "-subj", "/CN=hooks", "-addext", f"subjectAltName=DNS:{NAME}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_a_post_arrives_as_it_was_given() -> None:
    with HttpRecorder([answer(200, {"X-Two": "first", "x-two": "second"}, b"thanks")]) as server:
        client = _client(server.place)
        said = client.post(server.url + "?a=b", b'{"x":1}', {"Content-Type": "application/json"})
        client.close()
    assert (said.status, said.body, said.cut, said.headers["x-two"]) == (
        200,
        b"thanks",
        False,
        "first",
    )
    [request] = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=b", b'{"x":1}')
    assert request.headers["host"] == server.place
    assert request.headers["content-type"] == "application/json"
    assert "cookie" not in request.headers


def test_a_get_and_the_null_twin() -> None:
    with HttpRecorder([answer(200, body=b"x" * 10_000)]) as server:
        client = _client(server.place)
        assert client.get(server.url).body == b"x" * 10_000
        client.close()
    null: Outbound = NullOutbound()
    assert (
        null.post("https://hooks.example/", b"").status
        == null.get("https://a.example/").status
        == 204
    )
    with pytest.raises(ForbiddenTargetError):
        null.post("https://user@hooks.example/", b"")
    null.close()


def test_one_connection_serves_many_requests_and_a_closed_one_none() -> None:
    bye = answer(200, {"Connection": "close"})
    with HttpRecorder([answer(), answer(200, body=b"x"), bye, answer()]) as server:
        client = _client(server.place)
        assert [client.post(server.url, b"").status for _ in range(4)] == [204, 200, 200, 204]
        client.close()
    assert server.connections == 2


def test_a_connection_that_waited_or_that_the_server_closed_is_not_reused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def and_close(connection: socket.socket) -> None:
        connection.sendall(answer(200))

    with HttpRecorder([and_close, answer(), answer()]) as server:
        client = _client(server.place)
        client.post(server.url, b"")
        time.sleep(0.1)
        client.post(server.url, b"")
        assert server.connections == 2
        monkeypatch.setattr(outbound_client, "REUSED_WITHIN_S", 0)
        client.post(server.url, b"")
        client.close()
    assert server.connections == 3


def test_few_idle_connections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound_client, "MOST_IDLE", 0)
    with HttpRecorder() as server:
        client = _client(server.place)
        for _ in range(3):
            client.post(server.url, b"")
    assert server.connections == 3


def test_what_a_connection_carried_before_is_not_this_request() -> None:
    here, there = socket.socketpair()
    with here, there:
        wire = Wire(here)
        wire.begin(Deadline(5), 100)
        wire.sendall(b"x")
        assert wire.begun
        wire.begin(Deadline(0), 100)
        with pytest.raises(TimeoutError):
            wire.sendall(b"x")
        assert not wire.begun


def test_threads_share_a_client() -> None:
    statuses = []
    with HttpRecorder() as server:
        client = _client(server.place)
        ask = lambda: statuses.extend(client.post(server.url, b"").status for _ in range(20))  # noqa: E731
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
    assert statuses == [204] * 80
    assert len(server.requests) == 80


def test_a_redirect_is_not_followed() -> None:
    with HttpRecorder() as inside:
        with HttpRecorder([answer(302, {"Location": inside.url})]) as server:
            client = _client(server.place, inside.place)
            said = client.post(server.url, b"")
            client.close()
        assert said.status == 302
        assert inside.requests == []


def test_private_addresses_are_refused_before_a_byte_leaves() -> None:
    with HttpRecorder() as server:
        for url in (
            server.url,
            f"https://{NAME}:{server.port}/",
            f"http://localhost:{server.port}/",
        ):
            with pytest.raises(ForbiddenTargetError, match="OUTBOUND_ALLOW"):
                _client().post(url, b"")
        assert server.connections == 0


@pytest.mark.parametrize(
    "also", ["10.0.0.1", "::1", "169.254.169.254", "fe80::1%lo", "::ffff:10.0.0.1"]
)
def test_one_private_address_among_public_ones_is_enough(also: str) -> None:
    client = _client(resolve=lambda host, port: ["1.1.1.1", also])
    with pytest.raises(ForbiddenTargetError, match="not public"):
        client.post("https://hooks.example/", b"")


def test_a_name_that_changes_its_address_while_it_is_asked() -> None:
    """DNS rebinding: whoever resolves for the check and again for the connection is led inside."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.255.255.1"]

    with HttpRecorder() as server:
        client = _client(f"{NAME}:{server.port}", resolve=resolve)
        for _ in range(3):
            assert client.post(f"http://{NAME}:{server.port}/", b"").status == 204
        assert server.requests[0].headers["host"] == f"{NAME}:{server.port}"
        assert (asked, server.connections) == ([NAME], 1)
        client.close()
    with HttpRecorder() as server:
        first = iter([["1.1.1.1"], ["127.0.0.1"]])
        client = _client(resolve=lambda host, port: next(first))
        with pytest.raises(OutboundError):  # goes where the check was, and nobody answers there
            _quick(client).post(f"https://{NAME}:{server.port}/", b"")
        assert server.connections == 0


def _quick(client: HttpOutbound) -> HttpOutbound:
    client._timeout_s = 0.3
    return client


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    with HttpRecorder() as server:
        client = _client("127.0.0.0/8", resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
        assert client.post(f"http://{NAME}:{server.port}/", b"").status == 204
        client.close()


def test_an_address_that_swallows_everything_leaves_time_for_the_next() -> None:
    with HttpRecorder() as server, socket.socket() as full:
        full.bind(("127.0.0.2", server.port))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        try:
            for one in waiting:  # once the queue is full, the kernel drops who comes
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            client = _client(
                "127.0.0.0/8", resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"], timeout_s=1
            )
            assert client.post(f"http://{NAME}:{server.port}/", b"").status == 204
            client.close()
        finally:
            for one in waiting:
                one.close()


def test_what_never_arrived_is_told_from_what_may_have(free_port: Callable[[], int]) -> None:
    place = f"127.0.0.1:{free_port()}"
    with pytest.raises(OutboundError, match="cannot be reached") as refused:
        _client(place).post(f"http://{place}/", b"")
    assert not refused.value.begun
    with HttpRecorder([lambda connection: None]) as server:
        with pytest.raises(OutboundError, match="the connection broke") as broke:
            _client(server.place).post(server.url, b"")
        assert broke.value.begun


def _fails(error: OSError) -> Callable[[str, int], Sequence[str]]:
    def resolve(host: str, port: int) -> Sequence[str]:
        raise error

    return resolve


def test_a_name_without_an_address() -> None:
    for resolve in (
        _fails(socket.gaierror(-2, "Name or service not known")),
        lambda host, port: [],
    ):
        with pytest.raises(OutboundError, match="has no address") as unknown:
            _client(resolve=resolve).get("https://hooks.example/")
        assert not unknown.value.begun


def test_a_name_service_that_hangs_is_left_behind() -> None:
    woken = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        woken.wait(10)
        return ["1.1.1.1"]

    began = time.monotonic()
    with pytest.raises(OutboundError, match="name service"):
        _client(resolve=resolve, timeout_s=0.3).get("https://hooks.example/")
    assert time.monotonic() - began < 2
    woken.set()


def _drip(server: HttpRecorder, connection: socket.socket, head: bytes, drop: bytes) -> None:
    connection.sendall(head)
    while not server.stopped.wait(0.05):
        connection.sendall(drop)


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 1"]
)
def test_a_byte_now_and_then_does_not_hold_us_beyond_the_deadline(head: bytes) -> None:
    with HttpRecorder([lambda connection: _drip(server, connection, head, b"1")]) as server:
        began = time.monotonic()
        with pytest.raises(OutboundError, match=r"within 0\.5 s") as late:
            _client(server.place, timeout_s=0.5).post(server.url, b"")
        assert 0.4 < time.monotonic() - began < 1.5
        assert late.value.begun


def test_a_slow_body_leaves_the_status_that_was_said() -> None:
    head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5000\r\n\r\n"
    with HttpRecorder([lambda connection: _drip(server, connection, head, b"x")]) as server:
        began = time.monotonic()
        said = _client(server.place, timeout_s=0.5).post(server.url, b"")
        assert time.monotonic() - began < 1.5
    assert (said.status, said.cut) == (202, True)


def _endless(head: bytes, chunk: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(chunk)

    return talk


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 65_536),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1000\r\n" + b"x" * 4096 + b"\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X: " + b"y" * 1000 + b"\r\n",
        ),
    ],
)
def test_an_endless_body_is_cut(head: bytes, chunk: bytes) -> None:
    with HttpRecorder([_endless(head, chunk)]) as server:
        said = _client(server.place).post(server.url, b"")
    assert (said.status, said.cut) == (200, True)
    assert len(said.body) <= 10_000


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 65_536),
        (b"HTTP/1.1 ", b"2" * 65_536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"", b"\x00\xff\xfe\r\n" * 100),
    ],
)
def test_an_endless_head_is_no_answer(head: bytes, chunk: bytes) -> None:
    with HttpRecorder([_endless(head, chunk)]) as server:
        with pytest.raises(OutboundError) as none:
            _client(server.place).post(server.url, b"")
        assert none.value.begun
        assert "\x00" not in str(none.value)


HEADS = [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n",
         b"\r\n", b"\r\n\r\n", b"ffffffffffffffff\r\n", b"-1\r\n", b"0\r\n\r\n", b"Set-Cookie: \xff\r\n",
         b"HTTP/1.1 99999 \r\n", b"HTTP/1.1 204 \r\n", b"Connection: keep-alive\r\n", b" folded\r\n"]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(HEADS) | st.binary(max_size=20), max_size=8).map(b"".join))
@example(b"HTTP/1.1 200 OK\r\n" * 3)
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
@example(b"HTTP/1.1 103 Early Hints\r\n\r\n")
def test_whatever_is_answered_is_an_answer_or_none(said: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(said)
        there.shutdown(socket.SHUT_WR)
        wire = Wire(here)
        wire.begin(Deadline(5), 10_000)
        try:
            found, whole = outbound_client._exchange(
                wire, read_target("https://hooks.example/"), "POST", b"{}", {}, 100
            )
        except OutboundError as none:
            assert none.begun
            return
        assert 200 <= found.status < 1000
        assert len(found.body) <= 100
        assert not (found.cut and whole)


def test_a_body_that_breaks_off_is_cut_and_its_connection_not_reused() -> None:
    def half(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    with HttpRecorder([half]) as server:
        client = _client(server.place)
        assert client.post(server.url, b"").cut
        assert client.post(server.url, b"").status == 204
        client.close()
    assert server.connections == 2


def test_a_server_that_reads_nothing_does_not_hold_us() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        place = f"127.0.0.1:{deaf.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(OutboundError) as late:
            _client(place, timeout_s=0.5).post(f"http://{place}/", b"x" * 20_000_000)
        assert time.monotonic() - began < 2
        assert late.value.begun


def test_a_server_that_reads_slowly_does_not_hold_us() -> None:
    """Each write gets through, and all of them together take too long."""
    with socket.create_server(("127.0.0.1", 0)) as slow:
        place = f"127.0.0.1:{slow.getsockname()[1]}"
        ended = threading.Event()

        def sip() -> None:
            connection, _ = slow.accept()
            with connection, contextlib.suppress(OSError):
                while not ended.wait(0.05) and connection.recv(200_000):
                    pass

        thread = threading.Thread(target=sip)
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(OutboundError, match="within"):
                _client(place, timeout_s=0.5).post(f"http://{place}/", b"x" * 50_000_000)
            assert time.monotonic() - began < 2
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nY: b"}, {"X": "a\nb"}, {"X": "a\r\n b"}, {"X\r\nY": "b"}, {"X:": "b"}, {"": "b"},
        {"X": "a\x00"}, {"X": "☃"}, {"Host": "inside.example"}, {"content-length": "0"},
        {"Transfer-Encoding": "chunked"},
    ],
)  # fmt: skip
def test_a_header_is_one_header(headers: dict[str, str]) -> None:
    with HttpRecorder() as server:
        with pytest.raises(ForbiddenTargetError, match="header"):
            _client(server.place).post(server.url, b"", headers)
        assert server.connections == 0


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpRecorder() as proxy, HttpRecorder() as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy.place}")
        client = _client(server.place)
        client.post(server.url, b"")
        client.close()
        assert (len(server.requests), proxy.connections) == (1, 0)


def test_no_cookie_is_kept() -> None:
    with HttpRecorder([answer(200, {"Set-Cookie": "a=b"})]) as server:
        client = _client(server.place)
        client.post(server.url, b"")
        client.post(server.url, b"")
        client.close()
    assert "cookie" not in server.requests[1].headers


def test_tls_is_verified_for_the_name_and_the_name_is_asked_for(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpRecorder(tls=certificate) as server:
        allow = [f"{NAME}:{server.port}", f"other.example:{server.port}"]
        with pytest.raises(UntrustedServerError, match="self-signed") as unknown:
            _client(*allow).post(f"https://{NAME}:{server.port}/", b"secret")
        assert not unknown.value.begun
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        client = _client(*allow)
        for _ in range(2):
            assert client.post(f"https://{NAME}:{server.port}/", b"x").status == 204
        with pytest.raises(UntrustedServerError, match=r"other\.example"):
            client.post(f"https://other.example:{server.port}/", b"secret")
        client.close()
        assert [request.body for request in server.requests] == [b"x", b"x"]
        assert server.requests[0].headers["host"] == f"{NAME}:{server.port}"
        assert server.connections == 3


def test_a_server_without_tls_is_not_trusted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"{NAME}:{listener.getsockname()[1]}"
        heard = []

        def answer_plainly() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(10_000))
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer_plainly)
        thread.start()
        with pytest.raises(UntrustedServerError):
            _client(place).post(f"https://{place}/", b"secret")
        thread.join()
    assert b"secret" not in heard[0]


def test_a_server_that_hangs_up_on_tls_may_be_there_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"{NAME}:{listener.getsockname()[1]}"

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(OutboundError, match="hung up") as gone:
            _client(place).post(f"https://{place}/", b"")
        thread.join()
    assert not isinstance(gone.value, UntrustedServerError)
    assert not gone.value.begun


def test_a_handshake_that_hangs_ends_with_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(OutboundError, match="began no TLS") as late:
            _client(place, timeout_s=0.5).post(f"https://{place}/", b"")
        assert time.monotonic() - began < 2
        assert not late.value.begun
