"""What a person reads whose machine has no Spark."""

from __future__ import annotations

import sys

import pytest

from horizon.errors import UsageError
from horizon.lake.engines import session


def test_where_pyspark_is_missing_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    with pytest.raises(UsageError, match=r"pip install 'pyspark>=4.1,<4.2', or set ENGINE=duckdb"):
        session.started("local", "")


def test_s3_is_told_to_spark_in_its_own_words() -> None:
    told = {
        "s3.endpoint": "https://s3.example", "s3.region": "eu-1", "s3.access-key-id": "a",
        "s3.secret-access-key": "b", "s3.connect-timeout": "5", "py-io-impl": "x",
    }  # fmt: skip
    assert session.for_spark(told) == {
        "s3.endpoint": "https://s3.example", "client.region": "eu-1", "s3.access-key-id": "a",
        "s3.secret-access-key": "b", "s3.path-style-access": "true",
    }  # fmt: skip
    assert session.for_spark({"s3.connect-timeout": "5"}) == {}
    own = session.for_spark({"s3.endpoint": "https://s3.example"})
    assert own["client.region"] == "us-east-1"
