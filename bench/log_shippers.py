"""rsyslog's and syslog-ng's Elasticsearch outputs, each a process of its own on its own files.

They make the documents that the shipper makes, but without ids: what they send twice is doubled.

``requirements/log-shippers.sh`` unpacks them; without it the bench leaves them out and says so.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

UNPACKED = Path(__file__).resolve().parents[1] / ".venv" / "log-shippers"

_RSYSLOG = """
global(workDirectory="{folder}")
module(load="imfile" mode="inotify")
module(load="omelasticsearch")
template(name="line" type="string" string="{{\\"@timestamp\\":%msg:7:$%")
ruleset(name="ship") {{
    action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" template="line"
        searchIndex="{index}" searchType="" bulkmode="on" maxbytes="4m"
        queue.type="LinkedList" queue.size="100000" queue.dequeueBatchSize="5000"
        queue.workerThreads="2" action.resumeRetryCount="-1")
}}
input(type="imfile" File="{log}" Tag="cdp" ruleset="ship")
"""
_SYSLOG_NG = """
@version: 3.38
options {{ stats-freq(0); log-msg-size(65536); }};
source s {{
    file("{log}" flags(no-parse) follow-freq(0.1) log-fetch-limit(10000) log-iw-size(100000));
}};
destination d {{
    http(url("http://127.0.0.1:{port}/{index}/_bulk") method("POST") workers(2)
        headers("Content-Type: application/x-ndjson") batch-lines(5000) batch-timeout(1000)
        body("{{\\"index\\":{{}}}}\\n{{\\"@timestamp\\":$(substr $MESSAGE 6)")
        delimiter("\\n") body-suffix("\\n") log-fifo-size(200000));
}};
log {{ source(s); destination(d); flags(flow-control); }};
"""


@dataclass(frozen=True)
class LogShipper:
    """One of the two: what its configuration is, and how it is started on it."""

    name: str
    program: str
    configuration: str
    words: tuple[str, ...]

    def missing(self) -> str:
        """Why it cannot run here, or nothing."""
        if (UNPACKED / self.program).exists():
            return ""
        return f"{self.name} is not here, so it is left out: sh requirements/log-shippers.sh"

    @contextmanager
    def running(self, folder: Path, log: Path, port: int, index: str) -> Iterator[None]:
        names = {"folder": folder, "log": log, "port": port, "index": index, "root": UNPACKED}
        (folder / "configuration").write_text(self.configuration.format(**names).lstrip())
        usr = UNPACKED / "usr" / "lib"
        libraries = [usr / "x86_64-linux-gnu", usr / "syslog-ng", UNPACKED / "lib/x86_64-linux-gnu"]
        process = subprocess.Popen(
            [str(UNPACKED / self.program), *(word.format(**names) for word in self.words)],
            env={**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}, cwd=folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            process.kill()
            process.wait()


RSYSLOG = LogShipper(
    "rsyslog", "usr/sbin/rsyslogd", _RSYSLOG,
    ("-n", "-f", "{folder}/configuration", "-i", "{folder}/pid",
     "-M", "{root}/usr/lib/x86_64-linux-gnu/rsyslog"),
)  # fmt: skip
SYSLOG_NG = LogShipper(
    "syslog-ng", "usr/sbin/syslog-ng", _SYSLOG_NG,
    ("-F", "--no-caps", "-f", "{folder}/configuration", "-p", "{folder}/pid",
     "-R", "{folder}/persist", "-c", "{folder}/control",
     "--module-path={root}/usr/lib/syslog-ng/3.38"),
)  # fmt: skip
