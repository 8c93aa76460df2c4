"""What the crash demo says of the messages that it left in doubt."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from uuid import UUID

import pytest
from rich.console import Console

from horizon.demo import crash


def shown(tmp_path: Path, unknown: dict[UUID, bool]) -> str:
    out = StringIO()
    console = Console(width=60, file=out)
    crash._show(console, crash.Count(2_000, 1_990, 0, 0, unknown), 30, tmp_path, "crashed")
    return out.getvalue()


@pytest.mark.parametrize(("received", "lost"), [(0, 0), (1, 0), (0, 2), (3, 2), (7, 1), (5, 9)])
def test_each_line_says_what_became_of_its_message(
    tmp_path: Path, received: int, lost: int
) -> None:
    unknown = {UUID(int=number): number < received for number in range(received + lost)}
    said = shown(tmp_path, unknown)
    assert f"  unknown            {received + lost:>7}\n" in said
    assert f"    of these received{received:>7}\n" in said
    assert said.count("--as sent --database crashed\n") == min(received, 5)
    assert said.count("--as failed --database crashed\n") == min(lost, 5)
    for message_id, came in list(unknown.items())[:1]:
        assert f"settle {message_id} --as {'sent' if came else 'failed'} " in said
    file = tmp_path / "settle.sh"
    assert file.exists() == (max(received, lost) > 5)
    if file.exists():
        lines = file.read_text().splitlines()
        assert len(lines) == received + lost
        assert sum("--as sent" in line for line in lines) == received
