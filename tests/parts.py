"""Parts that only the system's packages bring: a browser, another PostgreSQL."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest


def system_program(names: Iterable[str], package: str) -> Path:
    """The first of these programs (names or paths) that the machine has.

    Where all are missing the test is skipped and says so; in CI nothing may be missing.
    """
    for name in names:
        if path := shutil.which(name):
            return Path(path)
    sentence = f"Debian's package {package} is missing: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)
