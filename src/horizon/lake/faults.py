"""What goes wrong with a file of the lake, in one sentence that names it and says what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NoSuchTableError,
    ValidationException,
)

from horizon.errors import HorizonError, LakeError, LakeFileError

_CODE = re.compile(r"AWS Error ([A-Z_]+)")
_REFUSED: Final = frozenset({
    "ACCESS_DENIED", "SIGNATURE_DOES_NOT_MATCH", "INVALID_ACCESS_KEY_ID", "INVALID_SIGNATURE",
    "INVALID_CLIENT_TOKEN_ID", "MISSING_AUTHENTICATION_TOKEN", "UNRECOGNIZED_CLIENT",
})  # fmt: skip
_MISSING: Final = frozenset({"RESOURCE_NOT_FOUND", "NO_SUCH_KEY"})
_ANSWERS: Final = 200  # of somebody else's words, so many

# What is no fault of a file.
_NOT_OURS: Final = (
    CommitFailedException, CommitStateUnknownException, NoSuchTableError, ValidationException,
    psycopg.Error,
)  # fmt: skip


@contextmanager
def naming(location: str) -> Iterator[None]:
    """Raises LakeError for whatever is wrong with this file, or with where it lies."""
    try:
        yield
    except (HorizonError, *_NOT_OURS):
        raise
    except Exception as exc:  # a torn Avro file even brings a SystemError
        raise fault(location, exc) from exc


def fault(location: str, exc: Exception) -> LakeError:
    """LakeFileError where it is the file. Arrow's S3 client says all with OSError, so its words are
    looked at."""
    said = " ".join(str(exc).split())
    code = found[1] if (found := _CODE.search(said)) else ""
    if isinstance(exc, FileNotFoundError) or code in _MISSING or "HTTP status 404" in said:
        return LakeFileError(
            f"{location} is missing: bring it back from a copy of the lake; docs/lake.md says what "
            "to do where there is none."
        )
    if elsewhere := _elsewhere(location, exc, said, code):
        return LakeError(elsewhere)
    return LakeFileError(
        f"{location} is damaged ({said[:_ANSWERS] or type(exc).__name__}): bring it back from a "
        "copy of the lake; docs/lake.md says what to do where there is none."
    )


def _elsewhere(location: str, exc: Exception, said: str, code: str) -> str | None:
    """What is wrong with where it lies."""
    if code == "NO_SUCH_BUCKET" or "NoSuchBucket" in said:
        return f"There is no bucket of {location}: make it, or look at LAKE_URL and S3_ENDPOINT."
    if isinstance(exc, PermissionError) or code in _REFUSED or "HTTP status 403" in said:
        return (
            f"We may not open {location} ({code or 'permission denied'}): look at S3_ACCESS_KEY_ID "
            "and S3_SECRET_ACCESS_KEY, or at who owns the folder."
        )
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full, so that {location} could not be written; the lake is as it was: "
            "free some room, then run it again."
        )
    if code or "AWS Error" in said:
        return (
            f"S3 does not answer for {location} ({code or 'no connection'}), and the lake is as it "
            "was: look at S3_ENDPOINT and at its server, then run it again."
        )
    return None
