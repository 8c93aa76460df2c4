"""`horizon doctor` about the lake: each state where something is wrong, and what it says then."""

from __future__ import annotations

import importlib.metadata
from datetime import timedelta
from pathlib import Path

import pytest

from horizon import clock
from horizon.doctor.examine import CHECKS
from horizon.doctor.finding import Case, Finding, Verdict
from horizon.doctor.lake import check_lake
from horizon.errors import LakeError
from horizon.pipeline import stages
from tests.lake import LakeWorld
from tests.world import DAY, World


def found(world: World, environ: dict[str, str] | None = None, **values: object) -> list[Finding]:
    settings = world.horizon.settings.changed(**values)
    findings = list(check_lake(Case(settings, clock.now(), environ or {})))
    for one in findings:
        assert (one.verdict == Verdict.OK) == (not one.todo), one
    return findings


def bad(findings: list[Finding]) -> Finding:
    (one,) = [one for one in findings if one.verdict != Verdict.OK]
    return one


def all_is_well(findings: list[Finding]) -> bool:
    return {one.verdict for one in findings} == {Verdict.OK}


@pytest.fixture
def filled(world: World) -> LakeWorld:
    world.put(world.track("ann", DAY))
    lake = LakeWorld(world)
    lake.archive()
    return lake


def test_it_is_one_of_the_checks() -> None:
    assert CHECKS["lake"] is check_lake


def test_before_and_after_the_first_archive_all_is_well(world: World) -> None:
    findings = found(world)
    assert all_is_well(findings)
    assert [one.found for one in findings][1] == "nothing is archived yet"
    assert not (world.horizon.settings.home / "lake").exists()
    world.put(world.track("ann", DAY))
    LakeWorld(world).archive()
    assert all_is_well(found(world))


def test_the_table_s_own_file_is_gone_or_damaged(filled: LakeWorld) -> None:
    path = Path(filled.table.metadata_location.removeprefix("file://"))
    path.write_text("{")
    said = bad(found(filled.world))
    assert f"{path} is damaged" in said.found
    path.unlink()
    said = bad(found(filled.world))
    assert said.found.endswith(f"{path} is missing")
    assert said.todo.startswith("Bring it back")


def test_a_folder_that_is_none(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = bad(found(world, LAKE_URL=(tmp_path / "file" / "lake").as_uri()))
    assert f"{tmp_path / 'file'} cannot be written" in said.found
    assert "LAKE_URL" in said.todo
    said = bad(found(world, LAKE_URL="ftp://lake"))
    assert "Write file:///" in said.todo


def test_how_long_ago_verify_agreed(filled: LakeWorld) -> None:
    assert all_is_well(found(filled.world))
    said = bad(found(filled.world, HOT_DAYS=3))
    assert "verify has not agreed yet" in said.found
    assert "horizon lake verify" in said.todo
    filled.world.runner.run(stages.verify_stage(filled.world.horizon), clock.now())
    findings = found(filled.world, HOT_DAYS=3)
    assert all_is_well(findings)
    assert findings[-1].found == "verify last agreed 0 h ago"
    filled.world.change("UPDATE lake_days SET verified_at = verified_at - %s", timedelta(days=3))
    assert "has not agreed for 3 days" in bad(found(filled.world, HOT_DAYS=3)).found


def test_a_verify_that_failed_is_told_until_one_does_not(filled: LakeWorld) -> None:
    stage = stages.verify_stage(filled.world.horizon)
    filled.world.change("UPDATE events SET name = 'other' || name")
    with pytest.raises(LakeError):
        filled.world.runner.run(stage, clock.now())
    assert "the last verify failed" in bad(found(filled.world)).found
    filled.world.change("UPDATE events SET name = substr(name, 6)")
    filled.world.runner.run(stage, clock.now())
    assert all_is_well(found(filled.world))


def java(folder: Path, version: str) -> dict[str, str]:
    program = folder / "bin" / "java"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-20' >&2\n")
    program.chmod(0o755)
    return {"JAVA_HOME": str(folder)}


def test_what_spark_needs(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"pyspark": "4.1.2"}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    good = java(tmp_path, "17.0.9")
    assert all_is_well(found(world, good, ENGINE="spark"))
    old = bad(found(world, java(tmp_path, "11.0.1"), ENGINE="spark"))
    assert (old.found, old.todo[:15]) == ("Spark needs Java 17, and there is 11", "Install Java 17")
    assert all_is_well(found(world, good))  # DuckDB needs none
    none = bad(found(world, {"PATH": str(tmp_path)}, ENGINE="spark"))
    assert none.found == "Spark needs Java 17, and there is none"
    java(tmp_path, "21.0.1")
    assert "SPARK_PROPERTIES" in bad(
        found(world, good, ENGINE="spark", SPARK_PROPERTIES=str(tmp_path / "gone"))
    ).todo  # fmt: skip
    versions["pyspark"] = "3.5.1"
    assert "pyspark 3.5.1 is not" in bad(found(world, good, ENGINE="spark")).found
    versions.clear()
    assert "pip install 'pyspark>=4.1,<4.2'" in bad(found(world, good, ENGINE="spark")).todo
