"""What a line becomes, what an answer means, and what identifies a file and a line."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from horizon.observe.shipper import rules, schema
from horizon.observe.shipper.bulk import refusal
from horizon.observe.shipper.client import Answer, Client
from horizon.observe.shipper.rules import Fate, MalformedLineError
from horizon.settings import Settings

TS = "2026-05-05T01:02:03Z"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, b"", "answers 500: it is overloaded or ill; look at its log."),
        (503, b'{"error":{"reason":"no master."}}', "answers 503 (no master): it is overloaded"),
        (429, b"busy", "answers 429 (busy): it is overloaded or ill; look at its log."),
        (404, b"<html>", "answers 404 (<html>): see whether ES_URL is its address, and its log."),
    ],
)
def test_an_answer_that_is_no_success_is_a_sentence_with_what_to_do(
    status: int, body: bytes, said: str
) -> None:
    told = refusal(Client(Settings(ES_URL="http://127.0.0.1:1")), "i", Answer(status, body))
    assert said in told
    assert told.endswith(".")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc.", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    sorted(schema.TAKEN)
)
NAMES = NAMES.filter(lambda name: name not in {*rules.TIMES, "level"})


def encoded(fields: dict[str, Any], ensure_ascii: bool = False) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=ensure_ascii).encode()


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.booleans())
@example({"user": {"id": 1}, "other": "mine"}, False)
@example({"log.level": "INFO"}, True)
def test_a_document_has_what_its_line_has(fields: dict[str, Any], ascii_only: bool) -> None:
    made = json.loads(rules.document(encoded({"ts": TS, **fields}, ascii_only)))
    taken = {name: value for name, value in fields.items() if name in schema.TAKEN}
    assert made.pop("@timestamp") == TS
    assert made.pop(schema.OTHER, {}) == taken
    assert made == {name: value for name, value in fields.items() if name not in taken}


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_where_the_time_stands_makes_no_difference(fields: dict[str, Any]) -> None:
    first = rules.document(encoded({"ts": TS, **fields}))
    assert json.loads(rules.document(encoded({**fields, "ts": TS}))) == json.loads(first)
    assert json.loads(rules.document(encoded({"@timestamp": TS, **fields}))) == json.loads(first)


@given(st.binary(max_size=80))
@example(b'{"ts":"2026-05-05T01:02:03Z"} and more')
@example(b'{"ts":"2026-05-05T01:02:03Z","a":"\xff"}')
@example(b'{"ts":12}')
def test_whatever_is_no_line_is_malformed_and_nothing_else(line: bytes) -> None:
    try:
        made = rules.document(line)
    except MalformedLineError as exc:
        assert "\n" not in str(exc)
    else:
        assert "@timestamp" in json.loads(made)
        assert b"\n" not in made


def test_a_line_of_ours_keeps_its_text() -> None:
    line = b'{"ts":"2026-05-05T01:02:03Z","level":"INFO","score":0.10,"note":"\\u00fc"}'
    assert rules.document(line) == b'{"@timestamp":' + line[6:]


def test_a_level_is_in_capitals() -> None:
    assert (
        json.loads(rules.document(b'{"level":"info","ts":"2026-05-05T01:02:03Z"}'))["level"]
        == "INFO"
    )


@given(st.integers(0, 2**40 - 1), st.binary(max_size=40), st.integers(0, 2**64 - 1))
def test_ids_are_20_letters_that_the_server_keeps_in_15_bytes(
    offset: int, line: bytes, inode: int
) -> None:
    id_ = rules.document_id(rules.file_key(inode, line), offset, line)
    assert len(id_) == 20
    assert len(base64.urlsafe_b64decode(id_)) == 15
    assert rules.offset_of(id_) == offset


@given(st.tuples(st.integers(1, 3), st.sampled_from([b"a", b"b"]), st.integers(0, 2), st.sampled_from([b"x", b"y"])),
       st.tuples(st.integers(1, 3), st.sampled_from([b"a", b"b"]), st.integers(0, 2), st.sampled_from([b"x", b"y"])))  # fmt: skip
def test_two_lines_have_one_id_only_where_they_are_one(one: Any, other: Any) -> None:
    def id_of(inode: int, head: bytes, offset: int, line: bytes) -> bytes:
        return rules.document_id(rules.file_key(inode, head), offset, line)

    assert (id_of(*one) == id_of(*other)) is (one == other)


@given(st.binary(max_size=6000), st.binary(max_size=6000))
def test_what_identifies_a_file_stays_when_it_grows(start: bytes, more: bytes) -> None:
    head = rules.first_line(start, final=False)
    if head is not None:
        assert rules.first_line(start + more, final=False) == head


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (201, "", Fate.THERE), (200, "", Fate.THERE), (409, "version_conflict_engine_exception", Fate.THERE),
        (400, "mapper_parsing_exception", Fate.REFUSED), (400, "document_parsing_exception", Fate.REFUSED),
        (413, "", Fate.REFUSED), (429, "rejected_execution_exception", Fate.LATER),
        (403, "cluster_block_exception", Fate.LATER), (429, "cluster_block_exception", Fate.LATER),
        (403, "security_exception", Fate.LATER), (404, "index_not_found_exception", Fate.LATER),
        (500, "", Fate.LATER), (503, "unavailable_shards_exception", Fate.LATER),
    ],
)  # fmt: skip
def test_fates(status: int, kind: str, expected: Fate) -> None:
    assert rules.fate(status, kind) is expected


@pytest.mark.parametrize(
    ("kind", "cause", "expected"),
    [
        ("strict_dynamic_mapping_exception", "", Fate.REFUSED), ("x_content_parse_exception", "", Fate.REFUSED),
        ("illegal_argument_exception", "max_bytes_length_exceeded_exception", Fate.REFUSED),
        ("mapper_parsing_exception", "illegal_argument_exception", Fate.REFUSED),
        ("index_closed_exception", "", Fate.LATER), ("validation_exception", "", Fate.LATER),
        ("illegal_argument_exception", "", Fate.LATER), ("cluster_block_exception", "", Fate.LATER),
        ("invalid_index_template_exception", "mapper_parsing_exception", Fate.LATER), ("", "", Fate.LATER),
    ],
)  # fmt: skip
def test_a_400_is_for_ever_only_where_it_is_the_document_s(
    kind: str, cause: str, expected: Fate
) -> None:
    assert rules.fate(400, kind, cause) is expected


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_grow_and_end(attempt: int, chance: float) -> None:
    wait = rules.wait_s(attempt, chance)
    assert rules.WAIT_FIRST_S / 2 <= wait <= rules.WAIT_LONGEST_S
    assert wait <= rules.wait_s(attempt + 1, 0)


@pytest.mark.parametrize("line", [b"", b"[]", b"7", b'"ts"', b"\xff", b'{"ts":1}', b"{}"])
def test_a_line_without_a_time_has_no_age(line: bytes) -> None:
    assert rules.line_time(line) is None
