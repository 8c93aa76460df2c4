"""The rules by which the recorder fails; smtp_recorder.py says what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_PLACES = {"connect", "starttls", "mail", "rcpt", "data", "content", "content-half"}
_ACTIONS = {None, "hang", "close", "slow", "drip", "sip"}


@dataclass
class Rule:
    at: str
    match: str = ""
    nth: int | None = None
    answer: str | None = None
    action: str | None = None
    seconds: float = 1.0
    times: int | None = None
    after_bytes: int = 64
    record: bool = False

    def __post_init__(self) -> None:
        if self.at not in _PLACES:
            raise ValueError(f"at: {self.at}")
        if self.action not in _ACTIONS:
            raise ValueError(f"action: {self.action}")

    def fits(self, at: str, texts: Sequence[str], number: int) -> bool:
        return (
            self.at == at
            and self.times != 0
            and self.nth in (None, number)
            and (not self.match or any(self.match in text for text in texts))
        )


class Script:
    """The rules, and how often each may still be used."""

    def __init__(self, rules: Sequence[dict[str, Any]]) -> None:
        self._rules = [Rule(**rule) for rule in rules]

    def find(self, at: str, texts: Sequence[str], number: int) -> Rule | None:
        for rule in self._rules:
            if rule.fits(at, texts, number):
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None
