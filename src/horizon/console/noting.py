"""What Django would say on stderr goes to the one log, without what it may say of people."""

from __future__ import annotations

import logging
import sys
from typing import Any

from horizon.log import Logger, open_log


class _Lines(logging.Handler):
    def __init__(self, log: Logger) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        self._log.error("request_failed", error=kind.__name__ if kind else record.name)
        if kind is not None and record.exc_info is not None:
            _where(record.exc_info[2])


def _where(trace: Any) -> None:
    """The place alone: a message or a value may be somebody's."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None:
        code = trace.tb_frame.f_code
        print(f"horizon: console {code.co_filename}:{trace.tb_lineno}", file=sys.stderr)


def configure(_: object) -> None:
    from django.conf import settings

    log = open_log(settings.HORIZON).bind(stage="serve", component="console")
    for name in ("django", "waitress", "allauth"):
        logger = logging.getLogger(name)
        logger.handlers = [_Lines(log)]
        logger.propagate = False
