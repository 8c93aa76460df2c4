"""Mappings and lines: what is understood, what is refused, and what the sentence says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.errors import MappingError
from horizon.events.model import Event, Source, read_message
from horizon.events.rejection import Rejected
from horizon.sources.bad_line import BadLineError
from horizon.sources.lines import BATCH_BYTES, BATCH_LINES, batches
from horizon.sources.mapping import Mapping, load_mapping, read_mapping
from horizon.sources.rows import RowReader

KEYS = {
    "format": '"csv"',
    "user_id_column": '"who"',
    "time_column": '"when"',
    "time_format": '"%Y-%m-%d %H:%M"',
    "time_zone": '"Europe/Berlin"',
    "event": '"Order Completed"',
    "properties": '{ total = { column = "sum", type = "float" } }',
}
COLUMNS = ["who", "when", "sum"]
MESSAGE_ID = "ab" * 16 + ":17"
SOURCE = Source(7, "shop", "file")
RECEIVED = datetime(2026, 1, 2, tzinfo=UTC)


def toml(**changed: str | None) -> str:
    keys = {**KEYS, **changed}
    return "\n".join(f"{key} = {value}" for key, value in keys.items() if value is not None)


def mapping(**changed: str | None) -> Mapping:
    return read_mapping(toml(**changed), "shop.toml")


def message(line: str | bytes, **changed: str | None) -> Any:
    raw = line.encode() if isinstance(line, str) else line
    return RowReader(mapping(**changed), COLUMNS).message(MESSAGE_ID, raw)


def code_of(line: str | bytes, **changed: str | None) -> str:
    with pytest.raises(BadLineError) as caught:
        message(line, **changed)
    return caught.value.code


class TestMapping:
    def test_own_mapping_is_found_by_its_name(self) -> None:
        cdnow = load_mapping("cdnow")
        assert cdnow.delimiter == "blanks"
        assert cdnow.time_zone == "America/New_York"
        assert list(cdnow.properties) == ["quantity", "total"]

    def test_file_of_the_same_name_goes_before_our_own(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("cdnow").write_text(toml(event='"Mine"'))
        assert load_mapping("cdnow").event == "Mine"

    @pytest.mark.parametrize(
        ("changed", "key", "looks_like"),
        [
            ({"format": '"xlsx"'}, "format", '"csv"'),
            ({"format": None}, "format is missing", '"csv"'),
            ({"delimiter": '""'}, "delimiter", '"blanks"'),
            ({"delimiter": '";;"'}, "delimiter", '"blanks"'),
            ({"delimiter": "'\"'"}, "delimiter", '"blanks"'),
            ({"header": '"no"'}, "header", "header = true"),
            ({"header": "false"}, "columns is missing", "columns ="),
            ({"columns": '["a", "a"]'}, "columns names one column twice", "each name once"),
            ({"columns": '["who", "when"]'}, "properties.total names sum", "column ="),
            ({"columns": '"who"'}, "columns", "columns ="),
            ({"encoding": '"utf-16"'}, "encoding", "ASCII"),
            ({"encoding": '"klingon"'}, "encoding", "ASCII"),
            ({"encoding": '"hex"'}, "encoding", "ASCII"),
            ({"time_format": '"%H:%M"'}, "time_format", "strptime"),
            ({"time_format": '"%Q"'}, "time_format", "strptime"),
            ({"time_zone": None}, "time_zone is missing", "Europe/Berlin"),
            ({"time_zone": None, "time_format": '"%Y-%m-%d%%z"'}, "time_zone is missing", "UTC"),
            ({"time_zone": '"Mars/Olympus"'}, "time_zone", "Europe/Berlin"),
            ({"time_zone": '"../UTC"'}, "time_zone", "Europe/Berlin"),
            ({"time_zone": '"Europe"'}, "time_zone", "Europe/Berlin"),
            ({"time_format": '"%Y-%m-%d%z"'}, "time_zone cannot stand beside", "Europe/Berlin"),
            ({"user_id_column": "3"}, "user_id_column", "customer_id"),
            ({"type": '"identify"'}, "type", '"page"'),
            ({"event": '""'}, "event", "Order Completed"),
            ({"properties": "3"}, "properties", "column ="),
            ({"properties": "{ total = { colum = 'x' } }"}, "properties.total", "column ="),
            ({"properties": "{ total = { column = 'x', type = 'money' } }"}, "total", "float"),
            ({"line_breaks": '"no"'}, "line_breaks", "line_breaks = true"),
            ({"colour": '"red"'}, "there is no key colour", "time_zone"),
            ({"name": '"red"'}, "there is no key name", "time_zone"),
            ({"event": "Order Completed"}, "not TOML", "line 6"),
        ],
    )
    def test_error_names_file_key_and_a_right_value(
        self, changed: dict[str, str | None], key: str, looks_like: str
    ) -> None:
        with pytest.raises(MappingError) as caught:
            mapping(**changed)
        said = str(caught.value)
        assert "shop.toml" in said
        assert key in said
        assert looks_like in said
        assert "\n" not in said

    @pytest.mark.parametrize("name", ["no-such-mapping", ".", "x" * 300])
    def test_mapping_that_cannot_be_opened(self, name: str) -> None:
        with pytest.raises(MappingError, match="cannot be read"):
            load_mapping(name)

    def test_mapping_that_is_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "m.toml").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(MappingError, match="UTF-8"):
            load_mapping(tmp_path / "m.toml")

    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            (["who", "when"], "column sum, which is not in the file: its columns are who, when"),
            (["who", "when", "sum", "sum"], "column sum, which is twice in the file"),
            ([], "its columns are none"),
        ],
    )
    def test_column_that_the_file_lacks(self, columns: list[str], said: str) -> None:
        with pytest.raises(MappingError, match=said):
            RowReader(mapping(), columns)


class TestLine:
    def test_line_becomes_a_message_of_segments_api(self) -> None:
        assert message("anna,1998-06-30 12:30,11.77\r\n") == {
            "type": "track",
            "event": "Order Completed",
            "messageId": MESSAGE_ID,
            "userId": "anna",
            "timestamp": "1998-06-30T10:30:00+00:00",
            "properties": {"total": 11.77},
        }

    def test_page_has_a_name(self) -> None:
        page = message("anna,1998-06-30 12:30,1", type='"page"', event='"Basket"')
        assert (page["type"], page["name"]) == ("page", "Basket")
        assert "event" not in page

    @pytest.mark.parametrize(
        ("delimiter", "line"),
        [
            ('"blanks"', "  anna   1998-06-30 \t 2"),
            ('"\\t"', "anna\t1998-06-30\t2"),
            ('";"', '"anna";"1998-06-30";"2"'),
            ('","', " anna , 1998-06-30 , 2 "),
        ],
    )
    def test_delimiters(self, delimiter: str, line: str) -> None:
        read = message(line, delimiter=delimiter, time_format='"%Y-%m-%d"')
        assert (read["userId"], read["properties"]) == ("anna", {"total": 2.0})

    def test_quoted_cell_holds_delimiter_and_quotes(self) -> None:
        assert message('"a ""b"", c",1998-06-30 12:30,1')["userId"] == 'a "b", c'

    def test_encoding(self) -> None:
        assert message("zoë,1998-06-30 12:30,1".encode("latin-1"), encoding='"latin-1"')[
            "userId"
        ] == ("zoë")

    @pytest.mark.parametrize(
        ("written", "utc"),
        [
            ("1998-01-30 12:30", "1998-01-30T11:30:00+00:00"),
            ("1998-07-30 12:30", "1998-07-30T10:30:00+00:00"),
            ("1998-10-25 02:30", "1998-10-25T00:30:00+00:00"),  # comes twice: the first one
        ],
    )
    def test_time_is_that_of_the_mappings_zone(self, written: str, utc: str) -> None:
        assert message(f"anna,{written},1")["timestamp"] == utc

    def test_time_with_its_own_offset(self) -> None:
        read = message("a,19980630T0000+0200,1", time_zone=None, time_format='"%Y%m%dT%H%M%z"')
        assert read["timestamp"] == "1998-06-29T22:00:00+00:00"

    def test_empty_cell_is_no_property(self) -> None:
        assert message("anna,1998-06-30 12:30,")["properties"] == {}

    @pytest.mark.parametrize("line", ["", "\n", " \r\n", ",,"])
    def test_blank_line_is_nothing(self, line: str) -> None:
        assert message(line) is None

    @pytest.mark.parametrize(
        ("line", "code"),
        [
            ("anna,1998-06-30 12:30", "columns"),
            ("anna,1998-06-30 12:30,1,2", "columns"),
            ("anna,30.6.1998,1", "time"),
            ("anna,,1", "time"),
            ("anna,1998-02-30 12:30,1", "time"),
            ("anna,0001-01-01 00:00,1", "time"),  # in UTC it is before the year 1
            ("anna,1998-06-30 12:30,much", "property"),
            ("anna,1998-06-30 12:30,nan", "property"),
            ("anna,1998-06-30 12:30,1_0", "property"),
            ("anna,1998-06-30 12:30,1e999", "property"),
            ('"anna,1998-06-30 12:30,1', "quotes"),
            (b"ann\xe4,1998-06-30 12:30,1", "encoding"),
        ],
    )
    def test_bad_line_says_why(self, line: str | bytes, code: str) -> None:
        assert code_of(line) == code

    @pytest.mark.parametrize(
        ("cell", "value"), [("12", 12), ("-3", -3), (str(2**63 - 1), 2**63 - 1)]
    )
    def test_whole_numbers(self, cell: str, value: int) -> None:
        whole = "{ total = { column = 'sum', type = 'int' } }"
        read = message(f"a,1998-06-30 12:30,{cell}", properties=whole)
        assert read["properties"] == {"total": value}

    @pytest.mark.parametrize("cell", ["1.0", "1_0", "١", "0x1", str(2**63), "9" * 5000])
    def test_what_is_no_whole_number(self, cell: str) -> None:
        whole = "{ total = { column = 'sum', type = 'int' } }"
        assert code_of(f"a,1998-06-30 12:30,{cell}", properties=whole) == "property"

    def test_reason_never_repeats_what_the_line_held(self) -> None:
        with pytest.raises(BadLineError) as caught:
            message("anna,secret@example.com,1")
        assert "secret" not in caught.value.message


PROPERTIES = "{ i = {column='i', type='int'}, f = {column='f', type='float'}, s = {column='s'} }"
ROWS = {
    delimiter: RowReader(
        mapping(delimiter=delimiter, properties=PROPERTIES), ["who", "when", *"ifs"]
    )
    for delimiter in ('","', '"blanks"')
}
CELLS = st.sampled_from(["anna", "1998-06-30 12:30", "", "1", "1.5", '"', "\0", "é", "inf", ","])


@given(
    delimiter=st.sampled_from(sorted(ROWS)),
    line=st.one_of(
        st.binary(),
        st.text().map(lambda text: text.encode(errors="surrogatepass")),
        st.lists(CELLS, min_size=5, max_size=5).map(lambda cells: ",".join(cells).encode()),
    ),
)
def test_any_line_is_an_event_or_is_refused_or_blank(delimiter: str, line: bytes) -> None:
    try:
        found = ROWS[delimiter].message(MESSAGE_ID, line)
    except BadLineError as bad:
        assert bad.code
        assert bad.message
        return
    if found is None:
        assert all(sign.isspace() or sign in ',"' for sign in line.decode())
        return
    try:
        event = read_message(found, source=SOURCE, received_at=RECEIVED, node_key=b"k" * 32)
    except Rejected as bad:
        assert bad.code
        return
    assert isinstance(event, Event)
    assert event.message_id == MESSAGE_ID
    assert set(json.loads(event.properties or "{}")) <= {"i", "f", "s"}


@given(st.lists(st.integers(1, 2 * BATCH_BYTES // BATCH_LINES), max_size=20))
def test_batches_keep_every_line_in_its_order(sizes: list[int]) -> None:
    lines = [(number, b"x" * size) for number, size in enumerate(sizes, start=1)]
    assert [line for batch in batches(lines) for line in batch] == lines


def test_batches_are_bounded_in_lines_and_in_bytes() -> None:
    short = list(batches((number, b"x") for number in range(BATCH_LINES + 1)))
    assert [len(batch) for batch in short] == [BATCH_LINES, 1]
    long = b"x" * (BATCH_BYTES // 4)
    assert [len(batch) for batch in batches((n, long) for n in range(6))] == [4, 2]
