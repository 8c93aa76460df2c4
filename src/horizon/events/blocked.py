"""Values that stand where an identifier should: many people share them, so they identify nobody."""

from __future__ import annotations

from typing import Final

# What SDKs, templates and spreadsheets write where they know nobody; in lower case. The schema's
# function unblocked has them too.
VALUES: Final = frozenset({
    "null", "nil", "none", "nan", "undefined", "unknown", "anonymous", "anon", "guest", "visitor",
    "user", "userid", "user_id", "distinctid", "distinct_id", "anonymousid", "anonymous_id", "id",
    "email", "true", "false", "n/a", "na", "(null)", "<null>", "(none)", "(not set)", "not set",
    "[object object]", "{}", "[]", "not_authenticated", "not authenticated", "invalid", "-1",
    "-1.0", "0.0",
})  # fmt: skip
LONGEST: Final = max(map(len, VALUES))
# "0", zeros of a UUID, and the all-zero advertising id of a phone that refuses to be followed.
ZEROS: Final = "0-"


def is_blocked(value: str) -> bool:
    """Whether this value of a user id or an anonymous id ties nobody to anything; 0.1 us."""
    if len(value) <= LONGEST and value.lower() in VALUES and value.isascii():
        return True
    return not value.strip(ZEROS)
