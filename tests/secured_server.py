"""The real Elasticsearch of the tests with its own security on: TLS, users, roles.

Users and roles stand in files. This build lacks a module that the index of API keys needs, so it
knows nobody's key: a right one can only be shown to a stand-in (test_ship_faults.py).
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import ssl
from pathlib import Path
from urllib.request import HTTPSHandler, build_opener

from bench.search_server import Elasticsearch, give_to_nobody
from tests.parts import certificate

ADMIN = "admin"
USERS = {ADMIN: "correct horse", "shipper": "battery staple", "looker": "stare"}  # and passwords

_SECURITY = """
xpack.security.enabled: true
xpack.security.autoconfiguration.enabled: false
xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.certificate: server.pem
xpack.security.http.ssl.key: server.key
"""

# What docs/observability.md tells to give the shipper's account.
_ROLES = """
shipper:
  cluster: [manage_index_templates]
  indices:
    - names: [cdp_events]
      privileges: [create_index, create_doc, manage]
looker:
  cluster: [monitor]
"""


class SecuredElasticsearch(Elasticsearch):
    """``authority`` is the file that its certificate is verified with."""

    name = "secured-elasticsearch"

    @property
    def authority(self) -> Path:
        return self.folder / "server.pem"

    def start(self) -> None:
        self.url = f"https://127.0.0.1:{self.port}"
        certificate(self.folder / "server")
        self.opener = build_opener(
            HTTPSHandler(context=ssl.create_default_context(cafile=str(self.authority)))
        )
        super().start()

    def headers(self) -> dict[str, str]:
        both = base64.b64encode(f"{ADMIN}:{USERS[ADMIN]}".encode()).decode()
        return {"Authorization": f"Basic {both}"}

    def _unpacked(self) -> Path:
        home = super()._unpacked()
        config = home / "config"
        plain = config / "elasticsearch.yml"
        plain.write_text(plain.read_text().replace("xpack.security.enabled: false\n", _SECURITY))
        for name in ("server.pem", "server.key"):
            shutil.copy(self.folder / name, config / name)
        (config / "roles.yml").write_text(_ROLES)
        users = [f"{user}:{_hashed(password)}\n" for user, password in USERS.items()]
        (config / "users").write_text("".join(users))
        roles = ["superuser:admin\n", "shipper:shipper\n", "looker:looker\n"]
        (config / "users_roles").write_text("".join(roles))
        if os.geteuid() == 0:
            give_to_nobody(config)
        return home


def _hashed(password: str) -> str:
    """As Elasticsearch's file of users has it."""
    salt = b"horizon's tests, one salt of 32 "
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 10_000, 32)
    return "{PBKDF2}10000$" + "$".join(base64.b64encode(one).decode() for one in (salt, made))
