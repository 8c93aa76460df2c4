"""Who is named in a log line and on a screen: never by an address or a phone number."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.personal import looks_personal
from horizon.postgres.database import Connection, Database, Role, closing_connection
from horizon.postgres.queries import Queries
from horizon.stage import logged_user

PARTS = st.sampled_from(
    ["@", "\uff20", "\ufe6b", "%40", "%2540", "&#64;", "&#x40;", "&commat;", "%2B", "%252b", "+",
     "(", ")", "tel:", "TEL:", " ", "-", ".", "/", "\n", "\t", "ann", "7", "49171", "1234567", "%"]
)  # fmt: skip


@pytest.fixture(scope="module")
def reader(module_database: Database) -> Iterator[Connection]:
    with closing_connection(module_database.connect(Role.READER)) as connection:
        yield connection


@given(st.lists(PARTS, max_size=8).map("".join))
def test_the_panels_sql_hides_whom_the_log_hides(reader: Connection, text: str) -> None:
    found = re.search(r"~\* '([^']+)'", Queries("horizon.observe.kibana")["top_users"])
    assert found is not None
    pattern = found[1].replace("%%", "%")
    row = reader.execute("SELECT %s::text ~* %s AS hidden", [text, pattern]).fetchone()
    assert row is not None
    assert row.hidden == looks_personal(text)


@pytest.mark.parametrize(
    "text",
    ["ann@example.com", "ann%40example.com", "ANN%2540EXAMPLE.COM", "ann\uff20example.com",
     "+49 171 1234567", "tel:+491711234567", "%2B491711234567", "(0171) 123-4567", None],
)  # fmt: skip
def test_an_address_or_a_phone_is_not_logged(text: str | None) -> None:
    assert logged_user(text, 7) == "p7"


@pytest.mark.parametrize("text", ["ann", "00001", "1234567890", "2024-0012345", "a+b", "+1", "40%"])
def test_a_customer_s_number_is_logged(text: str) -> None:
    assert logged_user(text, 7) == text
