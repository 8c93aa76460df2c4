"""How far the shipper is behind the log."""

from __future__ import annotations

from typing import Final

from horizon.observe.metrics.gauges import Gauge, Sample
from horizon.observe.shipper.state import Lag, lag
from horizon.settings import Settings

SECONDS: Final = Gauge(
    "horizon_shipper_lag_seconds", "Age of the oldest log line that is not in the index.",
    (), "seconds",
)  # fmt: skip
BYTES: Final = Gauge(
    "horizon_shipper_lag_bytes", "Bytes of the log that are not in the index.", (), "bytes"
)
LINES: Final = Gauge(
    "horizon_shipper_lag_lines", "Lines of the log that are not in the index; of a long lag told "
    "from its bytes.",
)  # fmt: skip
RUNNING: Final = Gauge("horizon_shipper_running", "1 where a shipper runs.")
SERVER: Final = Gauge("horizon_search_server_up", "1 where the running shipper is answered.")
REFUSED: Final = Gauge(
    "horizon_shipper_refused_lines", "Lines that the running shipper put among the dead letters."
)
LOST: Final = Gauge(
    "horizon_shipper_lost_bytes", "Bytes that rotation took away before they were shipped.",
    (), "bytes",
)  # fmt: skip


def shipper_samples(settings: Settings) -> list[Sample]:
    behind: Lag = lag(settings)
    told = behind.status
    up = behind.running and told is not None and told.server == "well"
    values = {
        SECONDS: behind.seconds, BYTES: behind.bytes, LINES: behind.lines, RUNNING: behind.running,
        SERVER: up, REFUSED: told.refused if told else 0, LOST: behind.lost_bytes,
    }  # fmt: skip
    return [Sample(gauge, (), float(value)) for gauge, value in values.items()]
