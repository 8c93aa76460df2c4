"""The house keeps its own rules: see the style rules that each test names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from horizon import errors
from horizon.stage import STAGES

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for folder in ("src", "bench") for path in (ROOT / folder).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = [ROOT / "requirements.lock", *sorted((ROOT / "requirements").glob("*.lock"))]
APART = sorted((ROOT / "requirements" / "sdks").glob("*.lock"))  # a folder each, no environment
IGNORED = {".git", ".venv", ".horizon", "logs", "__pycache__", ".hypothesis", ".mypy_cache",
           ".ruff_cache", ".pytest_cache", ".import_linter_cache"}  # fmt: skip


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked() -> Iterator[Path]:
    for path in ROOT.rglob("*"):
        if path.is_file() and not IGNORED & set(path.relative_to(ROOT).parts):
            yield path


def test_imports_point_toward_the_ground() -> None:
    check = (
        "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, node.name


CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_time_comes_from_the_clock(path: Path) -> None:
    if path.name == "clock.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = (ast.unparse(node.func.value).rpartition(".")[2], node.func.attr)
            assert called not in CLOCKS, f"line {node.lineno}: ask horizon.clock"


def test_every_stage_is_named_where_last_runs_are_asked_for() -> None:
    texts = "".join(path.read_text() for path in SOURCES)
    made = set(re.findall(r'\bStage\(\s*"(\w+)"', texts))
    made |= set(re.findall(r'\bRecorder\(\s*[\w.]+, [\w.]+, "(\w+)"', texts))
    assert made == set(STAGES)


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^    ([│├└─ ]*)([A-Z]\w+Error)\b", line):
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else "Exception"
    real = {
        name: kind.__base__.__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert drawn == real


def pins(lock: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^ \\;]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


@pytest.mark.parametrize("lock", [*LOCKS, *APART], ids=name_of)
def test_every_locked_package_has_hashes_and_no_address(lock: Path) -> None:
    text = re.sub(r" \\\n\s+", " ", lock.read_text())
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[\w.-]+==\S+( ; .*?)?( --hash=sha256:[0-9a-f]{64})+", line), line


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", PROJECT["dependencies"]),
        *(
            (f"requirements/{extra}.lock", wanted)
            for extra, wanted in PROJECT["optional-dependencies"].items()
            if extra != "spark"  # it has no wheel: requirements/spark.sh fetches it by its SHA-256
        ),
    ],
)
def test_the_locks_are_in_step_with_the_project(lock: str, wanted: list[str]) -> None:
    locked = pins(ROOT / lock)
    for text in wanted:
        requirement = Requirement(text)
        versions = locked.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement.name} is not in {lock}: run make locks"
        for version in versions:
            assert Version(version) in requirement.specifier, f"{lock}: run make locks"


def test_locks_that_go_into_one_environment_agree() -> None:
    together = [lock for lock in LOCKS if lock.stem not in {"data", "locks"}]
    agreed: dict[str, set[str]] = {}
    for lock in together:
        for name, versions in pins(lock).items():
            assert agreed.setdefault(name, versions) == versions, f"{name} in {lock.name}"


def test_what_only_lends_a_file_brings_nothing_along() -> None:
    assert set(pins(ROOT / "requirements" / "data.lock")) == {"lifetimes"}


def test_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))
    assert {"demo", "test", "test-all", "check", "bench", "up", "screenshots", "locks"} <= targets
    assert set(re.findall(r"@echo \"make ([a-z-]+) ", text)) == targets - {"help"}
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == targets


def test_no_file_names_a_machine_s_path_or_a_package_index() -> None:
    # Put together here, so that this file does not hold them itself.
    banned = re.compile("|".join([
        r"(?<![\w.}-])/" + r"work/", "/" + r"root/", "pypi" + r"\.org/simple",
        "python" + r"hosted\.org", "--extra-index" + "-url", "--find" + "-links",
        "registry" + r"\.(?:npmjs|yarnpkg)", '"resol' + 'ved": "',
    ]))  # fmt: skip
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}: {hit}" for hit in banned.findall(text)]
    assert found == []


def test_migrations_and_queries_are_shipped() -> None:
    """They lie in the package, so that the wheel has them."""
    assert list((ROOT / "src" / "horizon" / "postgres" / "schema").glob("*.sql"))
    assert not [
        path
        for path in tracked()
        if path.suffix == ".sql" and not {"src", "bench"} & set(path.parts)
    ]
