"""S3Proxy: a real S3 server that keeps objects as files of a folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyarrow import fs

from tests.parts import system_program

ROOT = Path(__file__).parents[2]
JAR = ROOT / ".venv" / "s3" / "s3proxy.jar"
KEY, SECRET = "test-key", "test-secret"
START_S = 60


@dataclass
class S3Server:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {"S3_ENDPOINT": self.url, "S3_ACCESS_KEY_ID": KEY, "S3_SECRET_ACCESS_KEY": SECRET}

    def put(self, path: str, content: bytes) -> str:
        """Store an object, or another one in its place; give its address."""
        system = fs.S3FileSystem(
            access_key=KEY, secret_key=SECRET, endpoint_override=self.url, region="us-east-1",
            allow_bucket_creation=True,
        )  # fmt: skip
        system.create_dir(path.partition("/")[0])
        with system.open_output_stream(path, compression=None) as stream:
            stream.write(content)
        return f"s3://{path}"

    def start(self) -> None:
        (self.folder / "objects").mkdir(exist_ok=True)
        values = {
            "s3proxy.authorization": "aws-v2-or-v4", "s3proxy.endpoint": self.url,
            "s3proxy.identity": KEY, "s3proxy.credential": SECRET,
            "jclouds.provider": "filesystem-nio2",
            "jclouds.filesystem.basedir": str(self.folder / "objects"),
        }  # fmt: skip
        file = self.folder / "s3proxy.conf"
        file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        with (self.folder / "s3proxy.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx256m", "-jar", str(JAR), "--properties", str(file)],
                stdout=log, stderr=log,
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while True:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "s3proxy.log").read_text()[-2000:]
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < until, "S3Proxy did not start"
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def s3_server(folder: Path, port: int) -> Iterator[S3Server]:
    """Skips the test where S3Proxy is not there; in CI nothing may be missing."""
    system_program(["java"], "default-jre-headless")
    if not JAR.exists():
        sentence = "S3Proxy is missing: sh requirements/s3-server.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    server = S3Server(folder, port)
    try:
        server.start()
        yield server
    finally:
        server.kill()
