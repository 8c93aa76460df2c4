"""What other systems' words mean, and how their files are read."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from horizon.consent.files import open_export
from horizon.consent.rules import (
    BadLineError,
    address_is_invalid,
    address_of,
    granted_of,
    time_of,
)

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("code", "error", "invalid"),
    [
        ("550", "5.1.1 The email account that you tried to reach does not exist.", True),
        ("550", "smtp; 550-5.1.1 User unknown", True),
        ("5.1.2", "", True),
        ("550", "5.1.3 bad syntax", True),
        ("550", "5.1.6 moved", True),
        ("556", "5.1.10 Recipient address has null MX", True),
        ("550", "No such mailbox", True),
        ("550", "No Such User Here", True),
        ("550", "Requested action not taken: mailbox unavailable; user not found", True),
        ("553", "unknown recipient", True),
        ("551", "The address doesn't exist", True),
        # Not the address: the sender, the mailbox's state, the network, the policy, nothing said.
        ("550", "5.1.7 Invalid sender address", False),
        ("550", "5.1.8 Bad sender's system address", False),
        ("550", "5.2.1 user unknown, mailbox disabled", False),
        ("552", "5.2.2 Mailbox full", False),
        ("550", "5.7.1 user unknown to our reputation service", False),
        ("550", "Sender address rejected: user unknown", False),
        ("550", "5.4.1 Recipient address rejected: Access denied", False),
        ("550", "", False),
        ("", "", False),
        ("450", "unknown user, greylisted", False),
        ("605", "Not delivering to previously bounced address", False),
        ("498", "No MX for the domain", False),
        ("550", "mentions 15.1.1 as a version", False),
    ],
)  # fmt: skip
def test_only_an_invalid_address_suppresses(code: str, error: str, invalid: bool) -> None:
    assert address_is_invalid(code, error) is invalid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02 03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("Thu, 13 Oct 2011 18:02:00 UTC", datetime(2011, 10, 13, 18, 2, tzinfo=UTC)),
        ("Thu, 13 Oct 2011 18:02:00 +0200", datetime(2011, 10, 13, 16, 2, tzinfo=UTC)),
        ("2020-02-10 23:07:16 +0530 IST", datetime(2020, 2, 10, 17, 37, 16, tzinfo=UTC)),
        ("2020-02-10 23:07:16.199433 +0000 UTC", datetime(2020, 2, 10, 23, 7, 16, 199433, tzinfo=UTC)),
        ("2026-06-16T11:59:00Z", datetime(2026, 6, 16, 11, 59, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_times_as_the_systems_write_them(text: str, expected: datetime | None) -> None:
    assert time_of(text, NOW) == expected


@given(
    st.text(max_size=60)
    | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ ?[+-]?\w*")
)
@example("Thu, 13 Oct 99999999999999999999 18:02:00 UTC")
@example("0001-01-01T00:00:00+14:00")
def test_what_is_no_time_or_answer_is_a_bad_line_and_nothing_else(text: str) -> None:
    for read in (lambda: time_of(text, NOW), lambda: granted_of(text), lambda: address_of(text)):
        try:
            read()
        except BadLineError as bad:
            assert len(text.strip()) < 6 or text not in str(bad)  # nothing of it is told


@given(st.timedeltas(timedelta(0), timedelta(days=18_000)), st.integers(-720, 840))
def test_a_time_of_go_s_is_the_instant_that_it_says(ago: timedelta, minutes: int) -> None:
    instant = NOW - ago
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    text = f"{instant:%Y-%m-%d %H:%M:%S.%f} {sign}{hours:02}{rest:02} XYZ"
    assert time_of(text, NOW) == instant - timedelta(minutes=minutes)


CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=6
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=8),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_spreadsheet_writes_is_read_back_with_its_line_numbers(
    rows: list[tuple[str, str, str]], delimiter: str, end: str, tmp_path: Path
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["email", "b", "c"])
    numbers = []
    for row in rows:
        numbers.append(len(out.getvalue().replace("\r\n", "\n").replace("\r", "\n").split("\n")))
        writer.writerow(row)
    path = tmp_path / "file.csv"
    path.write_text(out.getvalue(), newline="")
    with open_export(path) as export:
        found = list(export.rows("email"))
    assert [number for number, _ in found] == numbers
    assert [tuple(row.values()) for _, row in found if isinstance(row, dict)] == rows


def test_a_quote_that_is_never_closed_costs_its_own_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    lines = ["email", *(f"{n}" for n in range(100)), '"open', *(f"{n}" for n in range(100, 200))]
    path.write_text("\n".join(lines))
    with open_export(path) as export:
        found = list(export.rows("email"))
    assert [number for number, row in found if isinstance(row, BadLineError)] == [102]
    kept = [row["email"] for _, row in found if isinstance(row, dict)]
    assert kept == [f"{n}" for n in range(200)]


def test_a_line_without_end_is_one_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("email\n" + "x" * 500_000 + "\nann@example.com\n")
    with open_export(path) as export:
        found = list(export.rows("email"))
    assert [(number, isinstance(row, BadLineError)) for number, row in found] == [
        (2, True),
        (3, False),
    ]
