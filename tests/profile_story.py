"""The people, commands and answers of docs/profiles.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "profiles.md"
API_DOCUMENT = DOCUMENT.with_name("profiles-api.md")

_BLOCK = re.compile(r"^```(?:jsonl (?P<file>\S+))?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (?P<typed>.*)\n(?P<answer>(?:(?!\$ ).*\n)*)", re.MULTILINE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOW = re.compile(
    r"(?!2026-06)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
)  # all that the files tell is of that month


def files() -> Iterator[tuple[str, str]]:
    for block in _BLOCK.finditer(DOCUMENT.read_text()):
        if block["file"]:
            yield block["file"], block["body"]


def commands() -> Iterator[tuple[str, str]]:
    """What is typed, and what the document says is answered."""
    for block in _BLOCK.finditer(DOCUMENT.read_text()):
        if not block["file"]:
            for command in _COMMAND.finditer(block["body"]):
                yield command["typed"], command["answer"]


def api_commands() -> list[str]:
    """What docs/profiles-api.md says to type into one shell."""
    [block] = re.findall(r"^```sh\n(.*?)^```$", API_DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return str(block).splitlines()


def plain(answer: str) -> str:
    """Without what differs each time: ids, and times that are now."""
    lines = [line.rstrip() for line in answer.strip().splitlines()]
    return _NOW.sub("NOW", _UUID.sub("ID", "\n".join(lines)))


def typed(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What a shell answers in which ``horizon`` is this one."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env={**environment, "PATH": path},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def begin(folder: Path, environment: Mapping[str, str]) -> None:
    """The people are there: up to the document's first answer about one."""
    for name, text in files():
        (folder / name).write_text(text)
    for command, _ in commands():
        if command.startswith("horizon profile"):
            return
        typed(command, folder, environment)
