"""Settings that can be read and are wrong all the same."""

from __future__ import annotations

import difflib
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from horizon.delivery.channels import sections
from horizon.delivery.channels.smtp.advice import advice
from horizon.doctor.finding import Case, Finding, ok, problem, warning
from horizon.section import Section, masked
from horizon.settings import LOOPBACK, Settings

PART: Final = "settings"
EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - told from others, not bound to
ALIKE: Final = 0.86  # SMTP_PASWORD and SMTP_PASSWORD are; LOG_LEVEL and LOG_KEEP are not


def check_settings(case: Case) -> Iterator[Finding]:
    found = [*_misspelt(case), *_open_secrets(case), *_addresses(case.settings), *_mails(case)]
    yield from found or [ok(PART, f"all can be read; home {case.settings.home}")]


def _kinds() -> list[type[Section]]:
    return [Settings, *sections()]


def _misspelt(case: Case) -> Iterator[Finding]:
    """In horizon.toml an unknown one stops everything; the environment holds others' too."""
    kinds = _kinds()
    known = {name for kind in kinds for name in kind.__struct_fields__}
    known |= {f"{name}_FILE" for kind in kinds for name in kind.secrets}
    for name in sorted(set(case.environ) - known):
        for near in difflib.get_close_matches(name, known, 1, ALIKE):
            yield warning(
                PART, f"the environment has {name}, and there is no such setting",
                f"Write {near} if that is meant.",
            )  # fmt: skip


def _open_secrets(case: Case) -> Iterator[Finding]:
    """Files that hold secrets and that other accounts can read."""
    secrets = [name for kind in _kinds() for name in kind.secrets]
    files = [
        Path(case.environ[f"{name}_FILE"]) for name in secrets if f"{name}_FILE" in case.environ
    ]
    own = case.folder / "horizon.toml"
    if own.exists() and set(tomllib.loads(own.read_text())) & set(secrets):
        files.append(own)
    for path in files:
        if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            yield warning(
                PART, f"{path} holds a secret and other accounts can read it",
                f"Type: chmod 600 {path}",
            )  # fmt: skip


def _addresses(settings: Settings) -> Iterator[Finding]:
    if settings.LISTEN_HOST in EVERYWHERE and not settings.PUBLIC_URL:
        yield problem(
            PART, f"LISTEN_HOST is {settings.LISTEN_HOST} and PUBLIC_URL is not set",
            "Set PUBLIC_URL to the address by which the world reaches the collector.",
        )  # fmt: skip
    for name in ("PUBLIC_URL", "TRACKING_URL"):
        parts = urlsplit(getattr(settings, name))
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            yield warning(
                PART, f"{name} is {masked(parts.geturl())}, so events and clicks travel in the "
                "clear",
                f"Set {name} to an https:// address.",
            )  # fmt: skip
    if settings.METRICS_HOST not in LOOPBACK:
        yield warning(
            PART, f"METRICS_HOST is {settings.METRICS_HOST}, and /metrics asks for no password",
            "Let only your Prometheus reach that port, or set METRICS_HOST to 127.0.0.1.",
        )  # fmt: skip


def _mails(case: Case) -> Iterator[Finding]:
    settings = case.settings
    if not settings.mails_leave:
        return
    if settings.POSTAL_ADDRESS in (Settings().POSTAL_ADDRESS, ""):
        yield problem(
            PART, "mails leave with the example's postal address",
            "Set POSTAL_ADDRESS to your own: most countries' law asks for it.",
        )  # fmt: skip
    if urlsplit(settings.tracking_url).hostname in LOOPBACK | EVERYWHERE:
        yield problem(
            PART, f"mails leave, and their links lead to {masked(settings.tracking_url)}: nobody "
            "can unsubscribe by them",
            "Set TRACKING_URL or PUBLIC_URL to an https:// address that the world reaches.",
        )  # fmt: skip
    for sentence in advice(settings):
        found, _, todo = sentence.rpartition(": ")
        yield warning(PART, found, f"{todo[:1].upper()}{todo[1:]}")
