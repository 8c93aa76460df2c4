"""Lines of packed files, and messages out of lines: what holds for any of them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from horizon.errors import HorizonError, UsageError
from horizon.events.model import Source, read_message
from horizon.events.rejection import Rejected
from horizon.sources import lines
from horizon.sources.archived import complete
from horizon.sources.bad_line import BadLineError
from horizon.sources.fields import FieldReader
from horizon.sources.lines import Position, TextLines
from horizon.sources.mapping import Mapping, mapping_digest, read_mapping
from horizon.sources.readers import JsonLinesReader
from horizon.sources.stored import DEFAULT_LIMITS, Limits
from horizon.sources.unpacking import packing_of

RECEIVED = datetime(2026, 1, 2, tzinfo=UTC)
SOURCE = Source(7, "shop", "file")
PACK = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


class Held(io.BytesIO):
    """A file in memory."""

    name = "held"
    identity = None

    @property
    def size_bytes(self) -> int:
        return len(self.getbuffer())

    def check_unchanged(self) -> None:
        pass


def text_of(content: bytes, packing: str = "plain", limits: Limits = DEFAULT_LIMITS) -> TextLines:
    return TextLines(Held(PACK[packing](content)), limits)


LINES = st.lists(
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"").replace(b"\n", b""))
)


@given(some=LINES, packing=st.sampled_from(sorted(PACK)), most=st.integers(1, 30), ends=st.booleans(),
       batch=st.integers(1, 5), size=st.integers(1, 100))  # fmt: skip
@example(some=[b"x" * 40, b"a"], packing="gzip", most=5, ends=True, batch=1, size=100)
def test_lines_are_the_same_from_wherever_one_goes_on(
    some: list[bytes], packing: str, most: int, ends: bool, batch: int, size: int
) -> None:
    content = b"\n".join(some) + (b"\n" if ends else b"")
    # What stands for a packing of its own, or is nothing at all, is told elsewhere.
    if not content or packing_or_none(content) != "plain" or content.startswith(b"\xef\xbb\xbf"):
        return
    text = text_of(content, packing, Limits(line_bytes=most, unpacked_ratio=10**6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BATCH_LINES", batch)
        patch.setattr(lines, "BATCH_BYTES", size)
        found = list(text.batches(Position()))
        expected = [raw[: most + 1] for raw in _split(content)]
        assert [raw for some_lines in found for _, raw in some_lines.items] == expected
        numbers = [number for some_lines in found for number, _ in some_lines.items]
        assert numbers == list(range(1, len(expected) + 1))
        for index, before in enumerate(found):
            assert list(text.batches(before.end)) == found[index + 1 :]


@given(
    st.lists(st.lists(st.text('ab,"\n\r é'), min_size=2, max_size=2), min_size=1, max_size=8),
    st.integers(1, 3),
)
def test_records_with_line_breaks_are_those_of_the_csv_module(
    records: list[list[str]], batch: int
) -> None:
    table = io.StringIO(newline="")
    csv.writer(table, quoting=csv.QUOTE_ALL).writerows(records)
    content = table.getvalue().encode()
    text = text_of(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BATCH_LINES", batch)
        found = list(text.batches(Position(), b'"'))
        for index, before in enumerate(found):
            assert list(text.batches(before.end, b'"')) == found[index + 1 :]
    items = [item for some in found for item in some.items]
    read = [next(csv.reader(io.StringIO(raw.decode(), newline=""))) for _, raw in items]
    assert read == records
    for number, raw in items:  # each has the number of the line that it begins in
        assert content.split(b"\n")[number - 1].startswith(raw.split(b"\n")[0])


def test_quote_that_stays_open_takes_no_more_than_a_line_may_have() -> None:
    content = b'a,"b\n' + b"c,d\n" * 10
    text = text_of(content, limits=Limits(line_bytes=20))
    [batch] = text.batches(Position(), b'"')
    assert [(number, len(raw)) for number, raw in batch.items] == [(1, 21), (6, 4), *(
        (number, 4) for number in range(7, 12)
    )]  # fmt: skip


def packing_or_none(content: bytes) -> str | None:
    try:
        return packing_of("held", content)
    except UsageError:
        return None


def _split(content: bytes) -> list[bytes]:
    parts = content.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"{"])
)
def test_any_bytes_are_lines_or_a_sentence(content: bytes, head: bytes) -> None:
    try:
        text = TextLines(Held(head + content), Limits(line_bytes=20))
        reader = JsonLinesReader(text, None)
        for batch in reader.batches(Position()):
            for number, item in batch.items:
                try:
                    reader.message(f"id:{number}", item)
                except BadLineError as bad:
                    assert bad.code and bad.message
    except HorizonError as said:
        assert "\n" not in str(said)


def test_digest_is_of_what_is_unpacked() -> None:
    digests = {text_of(b"one\ntwo\n", packing).digest(lambda *_: None) for packing in PACK}
    assert len(digests) == 1
    assert text_of(b"one\ntwp\n").digest(lambda *_: None) not in digests


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
TIMES = st.sampled_from(["2025-06-01T10:00:00Z", "", "soon", None, 5, "0001-01-01T00:00:00+05:00"])
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "page", "identify", "buy"]), "event": st.just("Opened"),
     "userId": st.sampled_from(["anna", 7, None])},
    optional={
        "anonymousId": VALUES, "messageId": VALUES | st.just(" ") | st.just("m1"), "timestamp": TIMES,
        "originalTimestamp": TIMES, "sentAt": TIMES, "receivedAt": TIMES, "properties": VALUES,
        "traits": VALUES, "context": VALUES,
    },
)  # fmt: skip


@given(MESSAGES)
def test_any_message_is_the_same_event_each_time(message: dict[str, Any]) -> None:
    line = json.dumps(message).encode()
    read = [_event(line) for _ in range(2)]
    assert read[0] == read[1]
    if not isinstance(read[0], tuple):
        own = message.get("messageId")
        assert read[0].message_id == (own if isinstance(own, str) and own.strip() else "id:1")


def _event(line: bytes) -> Any:
    reader = JsonLinesReader(text_of(b"{}"), None)
    try:
        return read_message(
            reader.message("id:1", line) or b"", source=SOURCE, received_at=RECEIVED,
            sent_at=RECEIVED, node_key=b"k" * 32,
        )  # fmt: skip
    except (Rejected, BadLineError) as bad:
        return (bad.code, bad.message)


def test_whole_line_is_left_as_it_is() -> None:
    line = b'{"messageId" : "m1", "timestamp":"2025-06-01T10:00:00Z", "x": 1e400}'
    assert complete(line, "id:1") is line


def mapping(**changed: str) -> Mapping:
    keys = {"format": '"jsonl"', "user_id_column": '"a.b"', "time_column": '"at"', "event": '"Opened"',
            "properties": "{ p = { column = 'p' } }", **changed}  # fmt: skip
    return read_mapping("\n".join(f"{key} = {value}" for key, value in keys.items()), "m.toml")


def message(row: dict[str, Any], **changed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FieldReader(mapping(**changed)).message("id", row))
    return found


@pytest.mark.parametrize(
    ("row", "user_id"),
    [({"a": {"b": 1}}, 1), ({"a.b": 2, "a": {"b": 1}}, 2), ({"a": 3}, None), ({}, None), ({"a": {}}, None)],
)  # fmt: skip
def test_field_by_its_name_or_by_its_path(row: dict[str, Any], user_id: object) -> None:
    assert message({**row, "at": "2025-06-01"})["userId"] == user_id


@pytest.mark.parametrize(
    ("time_format", "zone", "value", "utc"),
    [
        ("iso8601", None, "2025-06-01T10:00:00Z", "2025-06-01T10:00:00+00:00"),
        ("iso8601", None, "2025-06-01 10:00:00", "2025-06-01T10:00:00+00:00"),
        ("iso8601", "Europe/Berlin", "2025-06-01T10:00", "2025-06-01T08:00:00+00:00"),
        ("iso8601", "Europe/Berlin", "2025-06-01T10:00+00:00", "2025-06-01T10:00:00+00:00"),
        ("unix", None, 1_750_000_000, "2025-06-15T15:06:40+00:00"),
        ("unix", None, "1750000000.5", "2025-06-15T15:06:40.500000+00:00"),
        ("unix_ms", None, 1_750_000_000_250, "2025-06-15T15:06:40.250000+00:00"),
    ],
)
def test_times_of_fields(time_format: str, zone: str | None, value: object, utc: str) -> None:
    changed = {"time_format": f'"{time_format}"', **({"time_zone": f'"{zone}"'} if zone else {})}
    assert message({"at": value}, **changed)["timestamp"] == utc


@pytest.mark.parametrize(
    ("time_format", "value"),
    [("iso8601", "soon"), ("iso8601", None), ("iso8601", 5), ("iso8601", {}), ("unix", True), ("unix", "x"),
     ("unix", 1e300), ("unix", float("nan")), ("unix", []), ("unix_ms", None), ("%Y", 2025)],
)  # fmt: skip
def test_what_is_no_time(time_format: str, value: object) -> None:
    zone = {"time_zone": '"UTC"'} if "%" in time_format else {}
    time_format = '"%Y-%m-%d"' if zone else f'"{time_format}"'
    with pytest.raises(BadLineError) as caught:
        message({"at": value}, time_format=time_format, **zone)
    assert caught.value.code == "time"


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [("", {"x": [1]}, {"x": [1]}), ("", True, True), ("float", "1.5", 1.5), ("int", 7, 7), ("str", 7, "7")],
)  # fmt: skip
def test_properties_are_as_they_are_unless_a_type_is_wanted(
    kind: str, value: object, said: object
) -> None:
    wanted = f", type = '{kind}'" if kind else ""
    read = message(
        {"at": "2025-06-01", "p": value}, properties=f"{{ p = {{ column = 'p'{wanted} }} }}"
    )
    assert read["properties"] == {"p": said}


@pytest.mark.parametrize(
    ("kind", "value"), [("int", 1.5), ("int", True), ("float", "x"), ("str", {})]
)
def test_properties_of_another_type(kind: str, value: object) -> None:
    with pytest.raises(BadLineError) as caught:
        message(
            {"at": "2025-06-01", "p": value},
            properties=f"{{ p = {{ column = 'p', type = '{kind}' }} }}",
        )
    assert caught.value.code == "property"


def test_mapping_is_known_by_what_it_says() -> None:
    text = 'format = "jsonl"\nuser_id_column = "a"\ntime_column = "t"\nevent = "e"\n'
    assert mapping_digest(read_mapping(text, "a")) == mapping_digest(read_mapping(text, "b"))
    assert mapping_digest(read_mapping(text, "a")) != mapping_digest(
        read_mapping(text.replace('"e"', '"f"'), "a")
    )
    assert mapping_digest(None) == ""


@pytest.mark.parametrize(
    "key", ['delimiter = ";"', "header = true", 'columns = ["a"]', 'encoding = "utf-8"']
)
def test_keys_of_csv_stand_in_no_other_mapping(key: str) -> None:
    with pytest.raises(UsageError, match="is of CSV and cannot stand in one of jsonl"):
        mapping(**{key.split(" = ", maxsplit=1)[0]: key.split(" = ")[1]})
