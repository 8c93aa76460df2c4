"""Requests that are wrong in some way, made at random from good ones, and who sends them."""

from __future__ import annotations

import copy
import gzip
import itertools
import json
import random
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from tests.servers.collector import Answer
from tests.servers.wire import Closed, Wire, request

# asked: an answer comes, and the connection stays; broken: an answer or its end; cut: we go.
Way = Literal["asked", "broken", "cut"]

EVENT: dict[str, Any] = {
    "type": "track", "event": "Order Completed", "userId": "u-7", "anonymousId": "a-7",
    "timestamp": "2026-11-03T11:00:00.000Z", "integrations": {"All": True},
    "properties": {"total": 12.5, "items": [{"sku": "a", "n": 1}, {"sku": "ä€😀", "n": 2}]},
    "traits": {"email": "ann@example.com", "plan": "pro", "address": {"city": "X"}},
    "context": {"ip": "203.0.113.7", "library": {"name": "x", "version": "1"}, "locale": "de-DE",
                "consent": {"categoryPreferences": {"marketing.email": True}}},
}  # fmt: skip
CALLS = ("track", "identify", "page", "screen", "group", "alias")
CORPUS: list[dict[str, Any]] = [
    *({**EVENT, "type": call} for call in CALLS),
    {"type": "track", "event": "x", "anonymousId": 17, "messageId": "m-7"},
    {"type": "alias", "previousId": "a-7", "userId": "u-7"},
    {"type": "group", "groupId": "g", "userId": "u-7"},
    {
        "type": "identify",
        "userId": "u-7",
        "traits": {},
        "context": {
            "externalIds": [{"id": 1, "type": "crm", "collection": "users", "encoding": "none"}],
            "device": {"id": "d1", "advertisingId": "a1"},
            "identityToken": "e30.e30.e30",
            "userHash": "0" * 64,
        },
    },
]
JUNK: list[Any] = [
    None, True, 0, -1, 2**63, 2**64, -(2**70), 10**400, 1e308, "", " ", "\0", "a\0b", "\ud83d", "\udc00x",
    "null", "undefined", "0000-0000", "ann@example.com", "x" * 600, "x" * 40_000, "9" * 5_000, [], {},
    [[]], [{}], {"": ""}, {"\0": "\0"}, {"a": {"b": {"c": [None]}}}, "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00", "yesterday", "2026-11-03", 1e15, {"$oid": 1}, "../../etc/passwd",
    "'; DROP TABLE events; --", "\u202e\ufeff\u2028", "{{7*7}}", "%s%n", ["x"] * 2_000,
]  # fmt: skip
PATHS = [
    *("/v1/" + call for call in CALLS), *("/v1/" + call[0] for call in CALLS), "/v1/b",
    "/v1/import", "/v1/batch?x=%00", "/v1/%62atch", "/v1/", "/v1/batch/", "/v1/nothing", "/",
    "//", "/healthz", "/readyz", "/u/x", "/u/" + "A" * 60, "/p/%ff", "/y/..", "/c/x/1", "/c/x/-1",
    "/c/x/99999999999999999999", "/o/x", "/o/" + "%00" * 20, "/v1/batch#x", "*", "http://a.b/v1/t",
    "/v1/projects/x/settings", "/v1/pixel/track?data=e30",
]  # fmt: skip
METHODS = ["GET", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "BREW"]
HEADERS: list[tuple[str, str | bytes]] = [
    ("Authorization", b"Basic \xff\xfe"), ("Authorization", "Basic"), ("Authorization", "Basic Og=="),
    ("Authorization", "Bearer x"), ("Authorization", "Basic " + "QUFB" * 5_000), ("Authorization", ""),
    ("Content-Type", "multipart/form-data"), ("Content-Type", b"\xff"), ("Content-Encoding", "br"),
    ("Content-Encoding", "gzip"), ("Content-Encoding", "GZIP"), ("Content-Encoding", "gzip, gzip"),
    ("Origin", "null"), ("Origin", b"\xff"), ("Expect", "100-continue"), ("Expect", "x"),
    ("Cookie", "x=" + "y" * 4_000), ("X-Retry-Count", "-1"), ("Accept-Language", "q=,;,;q=9e9"),
    ("User-Agent", b"\x80"), ("Host", ""), ("Transfer-Encoding", ""), ("Range", "bytes=-1"),
]  # fmt: skip
BROKEN = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 50 + b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50 + b"x\r\n\r\n",
    b"POST /v1/t HTTP/1.1\r\nHost : x\r\n\r\n", b"POST /v1/t HTTP/1.1\r\n: x\r\n\r\n",
    request(b"", headers={"Content-Length": "-1"}), request(b"{}", headers={"Content-Length": "1e3"}),
    request(b"", headers={"Content-Length": "18446744073709551616"}),
    request(b"zz\r\n{}", headers={"Content-Length": "", "Transfer-Encoding": "chunked"}),
    request(b"", path="/" + "a" * 70_000), request(b"", headers={f"X{n}": "1" for n in range(200)}),
]  # fmt: skip


BOMB = gzip.compress(b" " * 5_000_000)


class Sent(NamedTuple):
    data: bytes
    good: tuple[str, ...] = ()  # the good events' ids: the answer has to be 200
    way: Way = "asked"


class Maker:
    """The same ``seed`` makes the same requests."""

    def __init__(self, seed: int, key: str) -> None:
        self.chance = random.Random(seed)
        self._key = key
        self._name = f"good-{seed}"
        self._numbers = itertools.count()
        self._kinds = [
            self.flipped, self.truncated, self.of_wrong_types, self.deep, self.oddly_headed,
            self.packed, self.elsewhere, self.mixed, self.mixed, self.good, self.chunked,
        ]  # fmt: skip

    def requests(self, count: int) -> Iterator[Sent]:
        for _ in range(count):
            # A new connection costs a millisecond, so few are broken.
            kinds = [self.broken, self.cut] if self.chance.random() < 0.04 else self._kinds
            yield self.chance.choice(kinds)()

    def good(self) -> Sent:
        events = [self._good_event() for _ in range(self.chance.randint(1, 3))]
        return self._request({"batch": events}, tuple(event["messageId"] for event in events))

    def mixed(self, junk: Sequence[Any] | None = None) -> Sent:
        """Good events with what is none of them in the same batch."""
        first, last = self._good_event(), self._good_event()
        between = (
            junk
            if junk is not None
            else [self._changed(3) for _ in range(self.chance.randint(1, 4))]
        )
        return self._request(
            {"batch": [first, *between, last]}, (first["messageId"], last["messageId"])
        )

    def flipped(self) -> Sent:
        body = bytearray(self._body())
        for _ in range(self.chance.choice((1, 1, 2, 8, 50))):
            body[self.chance.randrange(len(body))] = self.chance.randrange(256)
        return self._request(bytes(body))

    def truncated(self) -> Sent:
        body = self._body()
        begin = self.chance.choice((0, 0, self.chance.randrange(len(body))))
        return self._request(body[begin : self.chance.randrange(len(body) + 1)])

    def of_wrong_types(self) -> Sent:
        envelope: Any = {"batch": [self._changed(self.chance.randint(1, 4)) for _ in range(3)]}
        if self.chance.random() < 0.3:
            name = self.chance.choice(("batch", "sentAt", "context", "writeKey", "integrations"))
            envelope[name] = self.chance.choice(JUNK)
        return self._request(envelope, path=self.chance.choice(PATHS) if self._rarely() else "")

    def deep(self) -> Sent:
        levels = self.chance.choice((60, 70, 300, 900, 1_100, 5_000, 20_000))
        opened, closed = self.chance.choice(((b"[", b"]"), (b'{"a":', b"}")))
        inner = (
            opened * levels
            + b"0"
            + closed * (levels if self.chance.random() < 0.8 else levels // 2)
        )
        place = self.chance.choice(("properties", "traits", "context", "timestamp", "nobody"))
        event = json.dumps({**EVENT, place: {"x": "HERE"}}).encode().replace(b'"HERE"', inner)
        return self._request(b'{"batch":[%b,%b]}' % (json.dumps(EVENT).encode(), event))

    def oddly_headed(self) -> Sent:
        headers = dict(self.chance.choice(HEADERS) for _ in range(self.chance.randint(1, 3)))
        return self._request(self._body(), headers=headers)

    def packed(self) -> Sent:
        body = BOMB if self._rarely() else gzip.compress(self._body(), 1)
        wrong = bytearray(body)
        wrong[self.chance.randrange(len(wrong))] ^= 1 << self.chance.randrange(8)
        content = self.chance.choice(
            (body, bytes(wrong), body[: self.chance.randrange(len(body))], body + body, body + b"\0",
             gzip.compress(body), b"")
        )  # fmt: skip
        return self._request(content, headers={"Content-Encoding": "gzip"})

    def elsewhere(self) -> Sent:
        method = self.chance.choice((*METHODS, "POST", "POST"))
        # HEAD's answer has no body, whatever its length says.
        way: Way = "broken" if method == "HEAD" else "asked"
        return self._request(self._body(), path=self.chance.choice(PATHS), method=method)._replace(
            way=way
        )

    def chunked(self) -> Sent:
        body = self._body()
        cuts = sorted(self.chance.randrange(1, len(body)) for _ in range(3))
        parts = [body[a:b] for a, b in itertools.pairwise((0, *cuts, len(body))) if b > a]
        content = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        return self._request(
            content, headers={"Content-Length": "", "Transfer-Encoding": "chunked"}
        )

    def broken(self) -> Sent:
        if self.chance.random() < 0.5:
            return Sent(self.chance.choice(BROKEN), (), "broken")
        data = bytearray(self.good().data)
        for _ in range(5):  # in the head: its sender knows nothing of the good event any more
            data[self.chance.randrange(80)] = self.chance.randrange(256)
        return Sent(bytes(data), (), "cut")

    def cut(self) -> Sent:
        data = self._request(self._body()).data
        return Sent(data[: self.chance.randrange(len(data))], (), "cut")

    def _rarely(self) -> bool:
        return self.chance.random() < 0.1

    def _good_event(self) -> dict[str, Any]:
        return {**EVENT, "messageId": f"{self._name}-{next(self._numbers)}"}

    def _body(self) -> bytes:
        events = [self.chance.choice(CORPUS) for _ in range(self.chance.choice((1, 1, 2, 20)))]
        value = {"batch": events} if self.chance.random() < 0.8 else events[0]
        return json.dumps(value, ensure_ascii=self.chance.random() < 0.5).encode()

    def _changed(self, times: int) -> Any:
        """A message of the corpus with junk in places at any depth."""
        message: Any = json.loads(json.dumps(self.chance.choice(CORPUS)))
        for _ in range(times):
            place = message
            while True:
                name = self.chance.choice(
                    list(place) if isinstance(place, dict) else range(len(place))
                )
                if (
                    not isinstance(place[name], dict | list)
                    or not place[name]
                    or self.chance.random() < 0.4
                ):
                    break
                place = place[name]
            if isinstance(place, dict) and self._rarely():
                place[str(self.chance.choice(JUNK))] = place.pop(name)
            else:
                place[name] = copy.deepcopy(self.chance.choice(JUNK))
        return message if not self._rarely() else self.chance.choice(JUNK)

    def _request(
        self, body: object, good: tuple[str, ...] = (), *, path: str = "", method: str = "POST",
        headers: dict[str, str | bytes] | None = None,
    ) -> Sent:  # fmt: skip
        return Sent(request(body, self._key, path or "/v1/batch", method, headers), good)


class Sender:
    """Sends groups of requests without waiting in between, and looks at each answer."""

    def __init__(self, port: int) -> None:
        self.answered: set[str] = set()  # good events with a 200
        self.statuses: Counter[int] = Counter()
        self._port = port
        self._wire: Wire | None = None

    def send_all(self, requests: Iterable[Sent], group: int = 30) -> None:
        found = iter(requests)
        while part := list(itertools.islice(found, group)):
            self.send(part)
        self.close()

    def send(self, requests: Sequence[Sent]) -> None:
        """What was not answered because the connection ended before is sent once more."""
        left = list(requests)
        while left:
            number = next((n for n, one in enumerate(left) if one.way != "asked"), len(left))
            asked, rest = left[:number], left[number:]
            left = self._ask(asked) + rest
            if not left or left[0].way == "asked":
                continue
            self._break(left.pop(0))

    def _ask(self, requests: Sequence[Sent]) -> list[Sent]:
        """Those that got no answer."""
        if not requests:
            return []
        done, is_new = 0, self._wire is None
        try:
            wire = self._wire = self._wire or Wire(self._port)
            with suppress(ConnectionError):  # the answers up to there may have come
                wire.send(b"".join(one.data for one in requests))
            for one in requests:
                self._look(one, wire.answer())
                done += 1
        except Closed:
            self.close()
            # A connection is closed after an answer alone: here or, for one that was, earlier.
            assert done or not is_new, requests[0].data[:300]
        return list(requests[done:])

    def _break(self, sent: Sent) -> None:
        self.close()
        with Wire(self._port) as wire, suppress(Closed, ConnectionError, socket.timeout):
            wire.send(sent.data)
            if sent.way == "broken":
                answer = wire.head()
                self.statuses[answer.status] += 1
                assert answer.status < 500, sent.data[:300]

    def _look(self, sent: Sent, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        assert answer.status < 500, (answer, sent.data[:2_000])
        if answer.status >= 400 and "html" not in answer.headers.get("content-type", ""):
            assert answer.json["code"], sent.data[:300]
            assert answer.json["message"], sent.data[:300]
        if sent.good:
            assert answer.status == 200, (answer, sent.data[:2_000])
            self.answered.update(sent.good)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.__exit__(None, None, None)
            self._wire = None
