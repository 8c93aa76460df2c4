"""The local mail catcher: an SMTP server and a page of what it received, in one process."""

from __future__ import annotations

from horizon.catcher.run import run_catcher
from horizon.catcher.store import MailStore, MailSummary

__all__ = ["MailStore", "MailSummary", "run_catcher"]
