"""Where the SDKs of the tests are, and how a program with one of them is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SDKS = ROOT / ".venv" / "sdks"
HOW = "sh requirements/sdks.sh"

_END_S = 60.0


def python_sdk(name: str) -> Path | None:
    """The folder of ``name==version``; None for what the environment itself has."""
    if not name:
        return None
    return _folder(SDKS / name, f"The SDK {name} is not installed: {HOW}")


def node_modules() -> Path:
    if shutil.which("node") is None:
        _miss("Node.js is missing: install version 20 or newer with npm")
    return _folder(SDKS / "node" / "node_modules", f"The SDKs of npm are not installed: {HOW}")


def _folder(folder: Path, sentence: str) -> Path:
    if not folder.is_dir():
        _miss(sentence)
    return folder


def _miss(sentence: str) -> None:
    """The test is skipped and says so; in CI nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


def run_python(text: str, sdk: Path | None) -> str:
    """Run a program with this SDK before those of the environment; give what it printed."""
    path = {"PYTHONPATH": str(sdk)} if sdk else {}
    return _run([sys.executable, "-c", text], {**os.environ, **path})


def run_node(text: str, folder: Path, complaint: str = "") -> str:
    """Run an ES module with the SDKs of npm at hand; give what it printed."""
    linked = folder / "node_modules"
    if not linked.exists():
        linked.symlink_to(node_modules())
    program = folder / "program.mjs"
    program.write_text(text)
    return _run(["node", str(program)], dict(os.environ), complaint)


def bundle(text: str, folder: Path) -> str:
    """An application's module and the SDKs of npm in it, as a bundler makes one script of them."""
    modules = node_modules()
    entry = folder / "app.js"
    entry.write_text(text)
    words = [modules / ".bin" / "esbuild", entry, "--bundle", "--log-level=error"]
    return _run(list(map(str, words)), {**os.environ, "NODE_PATH": str(modules)})


def _run(words: list[str], environment: dict[str, str], complaint: str = "") -> str:
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=_END_S, check=False
    )
    # What an SDK could not send it complains of, and ends well all the same.
    assert done.returncode == 0, done.stderr
    assert complaint in done.stderr if complaint else not done.stderr, done.stderr
    return done.stdout
