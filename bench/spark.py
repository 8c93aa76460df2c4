"""Spark as requirements/spark.sh fetched it, with two executors of their own on this machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".venv" / "spark"
MASTER = "local-cluster[2,1,1024]"

# Compiled quickly rather than well: a query here is over before more would pay.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_PROPERTIES = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
}


class NoSparkError(Exception):
    pass


@contextmanager
def spark_at_hand(folder: Path, java: str = _JAVA) -> Iterator[dict[str, str]]:
    """Makes ``import pyspark`` work; gives what a command's environment needs to run on Spark.

    ``folder`` takes what the executors write. Raises NoSparkError.
    """
    if shutil.which("java") is None:
        raise NoSparkError("Java is missing: apt-get install default-jre-headless")
    if not (FOLDER / "fetched").exists():
        raise NoSparkError("Spark is missing: sh requirements/spark.sh")
    environment = _environment(folder, java)
    before = dict(os.environ)
    os.environ.update({name: environment[name] for name in ("SPARK_HOME", "SPARK_LOCAL_IP")})
    sys.path.insert(0, str(FOLDER))
    try:
        yield environment
    finally:
        _end()
        sys.path.remove(str(FOLDER))
        os.environ.clear()
        os.environ.update(before)


def _environment(folder: Path, java: str) -> dict[str, str]:
    home = folder / "spark-home"  # executors leave their logs in it
    home.mkdir()
    for name in ("bin", "jars"):
        (home / name).symlink_to(FOLDER / "pyspark" / name)
    told = {
        **_PROPERTIES,
        "spark.driver.extraJavaOptions": java,
        "spark.executor.extraJavaOptions": java,
        "spark.local.dir": str(folder),
    }
    file = folder / "spark.properties"
    file.write_text("".join(f"{name} {value}\n" for name, value in told.items()))
    return {
        "ENGINE": "spark", "SPARK_MASTER": MASTER, "SPARK_PROPERTIES": str(file),
        "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": str(FOLDER),
    }  # fmt: skip


def _end() -> None:
    """Spark's Java process lives until its standard input ends."""
    context = getattr(sys.modules.get("pyspark"), "SparkContext", None)
    if context is None or context._gateway is None:
        return
    if context._active_spark_context is not None:
        context._active_spark_context.stop()
    gateway, context._gateway, context._jvm = context._gateway, None, None
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(60)
